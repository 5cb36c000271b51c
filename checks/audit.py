"""Ask whether any package that we install is known to be vulnerable; say plainly if nobody answers.

What is asked about are the very versions of this environment: what the roll-out puts on hosts, what
the control node needs, and what the tests and these checks bring in.

Exit code 0: every package was looked up, and nothing is known of any. 1: something is known.
2: LEFT OUT, since the service could not be reached or does not know a package; where
POWMONMAN_AUDIT_OPTIONAL is set that is 0, for a machine without a network.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OURS = "powmonman"
# What goes onto hosts, as our dependencies say, and what the control node installs beside it.
GROUPS = (("hosts", ""), ("control node", "ca"), ("control node", "ansible"), ("server", "notify"))
# Identifiers of what does not concern us, each with the reason.
ACCEPTED: dict[str, str] = {}
OPTIONAL = "POWMONMAN_AUDIT_OPTIONAL"
FINE, VULNERABLE, LEFT_OUT = 0, 1, 2


@dataclass(frozen=True)
class Answer:
    """What the service says.

    Attributes:
        known: What is known, a line each.
        asked: How many packages were looked up.
        fault: Why the answer is not whole; empty if it is.
    """

    known: tuple[str, ...] = ()
    asked: int = 0
    fault: str = ""


def installed() -> dict[str, str]:
    """Return the packages of this environment, name and version, ours excepted."""
    found = {
        canonicalize_name(each.metadata["Name"]): each.version for each in metadata.distributions()
    }
    found.pop(OURS, None)
    return found


def needed(extra: str) -> set[str]:
    """Return the packages that we need with `extra`, and what those need in turn."""
    found: set[str] = set()
    due = [(OURS, frozenset({extra}))]
    while due:
        name, extras = due.pop()
        try:
            requires = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        for requirement in map(Requirement, requires):
            marker, each = requirement.marker, canonicalize_name(requirement.name)
            if marker and not any(marker.evaluate({"extra": e}) for e in extras or {""}):
                continue
            if each not in found:
                found.add(each)
                due.append((each, frozenset(requirement.extras) or frozenset({""})))
    return found


def places(name: str) -> str:
    """Return where a package of this environment ends up."""
    found = dict.fromkeys(place for place, extra in GROUPS if name in needed(extra))
    return ", ".join(found) or "tests and checks"


def ask(packages: dict[str, str], program: tuple[str, ...]) -> Answer:
    """Ask the service about these versions."""
    with tempfile.TemporaryDirectory(prefix="powmonman-audit-") as place:
        listed = Path(place) / "requirements.txt"
        listed.write_text("".join(f"{n}=={v}\n" for n, v in sorted(packages.items())), "utf-8")
        options = ("--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off")
        try:
            ran = subprocess.run(
                [*program, "--requirement", str(listed), *options],
                capture_output=True,
                text=True,
                timeout=90,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return Answer(fault=str(error))
    return read(ran.stdout, ran.stderr, packages)


def read(output: str, errors: str, packages: dict[str, str]) -> Answer:
    """Return what the auditor's words come to; what it has not looked up is no answer."""
    try:
        rows = json.loads(output)["dependencies"]
        looked_up = {row["name"]: row["vulns"] for row in rows if "skip_reason" not in row}
        known = tuple(
            f"{name} {packages[canonicalize_name(name)]} ({places(canonicalize_name(name))}):"
            f" {flaw['id']}, mended in {', '.join(flaw['fix_versions']) or 'no version yet'}"
            for name, flaws in looked_up.items()
            for flaw in flaws
            if not {flaw["id"], *flaw.get("aliases", ())} & ACCEPTED.keys()
        )
    except (ValueError, KeyError, TypeError):
        lines = errors.strip().splitlines() or ["no answer"]
        return Answer(fault=lines[-1][:300])
    missing = sorted(packages.keys() - {canonicalize_name(name) for name in looked_up})
    fault = f"the service does not know {', '.join(missing)}" if missing else ""
    if not looked_up:
        fault = f"the service knows none of {len(packages)} packages: is it the true one?"
    return Answer(known, len(looked_up), fault)


def judge(answer: Answer, *, optional: bool) -> tuple[int, str]:
    """Return the exit code, and what to say."""
    said = [f"VULNERABLE: {line}" for line in answer.known]
    if answer.fault:
        bar = "=" * 80
        said += [bar, f"LEFT OUT: the audit of {'some' if answer.asked else 'all'} dependencies."]
        said += [answer.fault, bar]
    elif not answer.known:
        said.append(f"{answer.asked} packages were looked up: nothing is known against them")
    if answer.known:
        return VULNERABLE, "\n".join(said)
    return (LEFT_OUT if answer.fault and not optional else FINE), "\n".join(said)


def main() -> int:
    """Audit this environment."""
    answer = ask(installed(), (sys.executable, "-m", "pip_audit"))
    code, text = judge(answer, optional=bool(os.environ.get(OPTIONAL)))
    print(text, file=sys.stderr if answer.known or answer.fault else sys.stdout)
    return code


if __name__ == "__main__":
    sys.exit(main())
