#!/usr/bin/env python3
"""Write the table of variables in each role's README from the role's argument specs.

`roles/readme.py` writes, `roles/readme.py --check` says whether anything is out of date.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parent
_BEGIN = "<!-- Written by roles/readme.py from meta/argument_specs.yml -->"
_END = "<!-- to here -->"


def specs(role: str) -> dict[str, Any]:
    """Return the options of a role, by variable."""
    text = (ROLES / role / "meta" / "argument_specs.yml").read_text("utf-8")
    options: dict[str, Any] = yaml.safe_load(text)["argument_specs"]["main"]["options"]
    return options


def table(options: dict[str, Any]) -> str:
    """Return a Markdown table of variables, each option of a variable in a line of its own."""
    lines = ["| variable | type | default | meaning |", "|---|---|---|---|"]
    for name, option in options.items():
        lines.append(_line(f"`{name}`", option))
        lines += [
            _line(f"&nbsp;&nbsp;`{inner}`", described)
            for inner, described in option.get("options", {}).items()
        ]
    return "\n".join(lines)


def rendered(role: str) -> str:
    """Return the role's README with its table up to date."""
    text = (ROLES / role / "README.md").read_text("utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{table(specs(role))}\n{_END}{after}"


def roles() -> list[str]:
    """Return the names of the roles."""
    return sorted(path.parent.name for path in ROLES.glob("*/README.md"))


def main(arguments: list[str]) -> int:
    """Write the READMEs, or with --check return 1 if one is out of date."""
    old = [
        role
        for role in roles()
        if rendered(role) != (ROLES / role / "README.md").read_text("utf-8")
    ]
    for role in old:
        path = ROLES / role / "README.md"
        if "--check" in arguments:
            print(f"{path}: out of date, run roles/readme.py", file=sys.stderr)
        else:
            path.write_text(rendered(role), "utf-8")
    return 1 if old and "--check" in arguments else 0


def _line(name: str, option: dict[str, Any]) -> str:
    kind = option["type"]
    if "elements" in option:
        kind += f" of {option['elements']}"
    meaning = option["description"]
    text = meaning if isinstance(meaning, str) else " ".join(meaning)
    if "choices" in option:
        text += " One of " + ", ".join(f"`{choice}`" for choice in option["choices"]) + "."
    text = re.sub(r"C\(([^)]*)\)", r"`\1`", text)
    default = "required" if option.get("required") else ""
    if "default" in option:
        default = f"`{json.dumps(option['default'])}`"
    return f"| {name} | {kind} | {default} | {text} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
