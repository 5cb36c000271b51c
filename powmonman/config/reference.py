"""Writes docs/configuration.md from the schema.

`python -m powmonman.config.reference` writes it, with `--check` it only compares.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from powmonman.config.keys import described
from powmonman.config.scalars import bounds, shown
from powmonman.config.schema import ClientConfig, GuardConfig, ServerConfig

PAGE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"

INTRODUCTION = """\
<!-- Written by `python -m powmonman.config.reference`. Change powmonman/config/schema.py. -->

# Configuration

The server reads `/etc/powmonman/server.yml`, every client `/etc/powmonman/client.yml`. The roles
write both; by hand they work the same. A single machine that guards itself has one file for both
parts, `/etc/powmonman/guard.yml` ([laptop.md](laptop.md)). Every key has a default, so a file holds
only what differs.

```sh
powmonman check-config /etc/powmonman/client.yml   # every fault, or "ok"
systemctl reload powmonman-client                  # a bad file changes nothing: the old one stays
```

All faults of a file are reported at once, each with its place and what to do:

```
client.yml:3:3: policy.aftr: unknown key (did you mean 'after'?)
client.yml:4:12: policy.confirm: expected a number of seconds, found the text '2s': write seconds: 2
```

What to know:

- Durations are seconds. `10m` is refused, with the number to write.
- `on`, `off`, `yes` and `no` are true and false in YAML. Where text is meant, quote them: `"off"`.
- An empty section or list means its default. `null` in a key whose default is *empty* means empty.
- A program and its arguments are a list. No shell reads it: for pipes, name one
  (`[sh, -c, "…"]`).
- Anchors and aliases work. Merging with `<<` doesn't.
- A warning doesn't keep a file from being used; a fault does.

"""

SERVER_EXAMPLE = """\
fleet: home
upses:
  rack:
    gpio: {pin: 4}            # BCM number: GPIO4 is physical pin 7, ground on 9 or 6
    runtime: 1800             # what the full battery carries
policy:
  after: 600                  # hosts shut down after 10 minutes on battery
clients: [nas, hypervisor, db, desktop]
tls:
  identity: /etc/powmonman/server-identity.pem
"""

CLIENT_EXAMPLE = """\
fleet: home
servers: [192.0.2.7]          # optional: discovery finds the server on the same LAN
upses: [rack]
policy:
  after: 300                  # earlier than the fleet's
shutdown:
  commands:
    - command: [systemctl, stop, postgresql]
      timeout: 120
  final:
    command: [systemctl, poweroff]
  via: unit
"""

GUARD_EXAMPLE = """\
policy:
  charge_drop: 0.5            # half of the charge at the outage's start
  after: 7200                 # and never longer than two hours
shutdown:
  commands:
    - command: [systemctl, stop, postgresql]
      timeout: 120
user: powmonman
"""


def page() -> str:
    """Return the whole page."""
    server: dict[str, str] = {}
    client: dict[str, str] = {}
    return INTRODUCTION + "\n".join(
        [
            "## server.yml\n",
            "An example; every other key has its default.\n",
            f"```yaml\n{SERVER_EXAMPLE}```\n",
            *_section(ServerConfig, ServerConfig(), "", "server.yml", server),
            "## client.yml\n",
            "An example; every other key has its default.\n",
            f"```yaml\n{CLIENT_EXAMPLE}```\n",
            *_section(ClientConfig, ClientConfig(), "", "client.yml", client),
            "## guard.yml\n",
            "An example; every other key has its default. What is as above is only named.\n",
            f"```yaml\n{GUARD_EXAMPLE}```\n",
            *_section(GuardConfig, GuardConfig(), "", "guard.yml", client | server),
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Write the page, or with --check only compare it; 1 if it is out of date."""
    parser = argparse.ArgumentParser(prog="python -m powmonman.config.reference")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if out of date")
    parser.add_argument("page", nargs="?", type=Path, default=PAGE, help=f"the file ({PAGE.name})")
    args = parser.parse_args(argv)
    written = args.page.read_text("utf-8") if args.page.exists() else ""
    if written == page():
        return 0
    if args.check:
        print(
            f"{args.page}: out of date: run python -m powmonman.config.reference", file=sys.stderr
        )
        return 1
    args.page.write_text(page(), "utf-8")
    return 0


def _section(cls: type, default: Any, path: str, title: str, told: dict[str, str]) -> list[str]:
    """Describe a section's keys in a table, and below it the sections in it.

    `told` says where the page describes a section with these defaults already.
    """
    hints = get_type_hints(cls)
    rows, below = [], []
    for part in fields(cls):
        value = getattr(default, part.name)
        own = f"{path}.{part.name}" if path else part.name
        inner, where, example = _inner(hints[part.name], own, value)
        rows.append(_row(own, hints[part.name], part, value, told.get(repr(example), "")))
        if inner is not None and repr(example) not in told:
            told[repr(example)] = where
            below += _section(inner, example, where, f"`{where}`", told)
    head = [f"### {title if path else 'Keys of ' + title}\n", f"{_doc(cls)}\n"]
    table = ["| key | type | default | allowed | meaning |", "|---|---|---|---|---|", *rows, ""]
    return [*head, "\n".join(table), *below]


def _inner(hint: Any, path: str, value: Any) -> tuple[Any, str, Any]:
    """Return the class of the section or sections under a key, their path, and their defaults."""
    if is_dataclass(hint):
        return hint, path, value
    if get_origin(hint) is dict:
        cls = get_args(hint)[1]
        return cls, f"{path}.NAME", cls()
    if get_origin(hint) is tuple and is_dataclass(get_args(hint)[0]):
        cls = get_args(hint)[0]
        return cls, f"{path}[]", cls()
    return None, "", None


def _row(path: str, hint: Any, part: Field[Any], value: Any, like: str) -> str:
    key = described(part)
    allowed = bounds(key)
    choices = get_args(hint)[0] if get_origin(hint) is tuple else hint
    if get_origin(choices) is Literal:
        allowed = ", ".join(f"`{_yaml(choice)}`" for choice in get_args(choices))
    elif key.form:
        allowed = f"names: {key.form.words}" if get_origin(hint) is dict else key.form.words
    if key.distinct:
        allowed += "; no duplicates"
    default = f"as `{like}`" if like else _default(hint, value)
    cells = [f"`{path}`", _type(hint), default, allowed, key.doc]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


_LISTS = {float: "list of numbers"}


def _type(hint: Any) -> str:
    if get_origin(hint) is UnionType:
        return _type(next(one for one in get_args(hint) if one is not NoneType))
    if get_origin(hint) is tuple:
        entry = get_args(hint)[0]
        return "list of sections" if is_dataclass(entry) else _LISTS.get(entry, "list of texts")
    if get_origin(hint) is dict:
        return "section of names"
    if is_dataclass(hint):
        return "section"
    if get_origin(hint) is Literal:
        return "text"
    return {str: "text", bool: "true or false", int: "whole number", float: "number"}[hint]


def _default(hint: Any, value: Any) -> str:
    if is_dataclass(hint):
        return "below"
    if isinstance(value, dict):
        return f"`{', '.join(value)}`, with the defaults below" if value else "empty"
    if value is None or value in ("", ()):
        return "empty"
    return f"`{_yaml(value)}`"


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return shown(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_yaml, value))}]"
    return json.dumps(value) if value in {"on", "off", "yes", "no"} else str(value)


def _doc(cls: type) -> str:
    return (cls.__doc__ or "").strip().partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
