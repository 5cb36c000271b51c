"""The shutdown commands, checked up to the last of them: found, executable, permitted. None is run.

What *is* run are the preflights of presets, which by contract change nothing. Under systemd root
does all this in powmonman-shutdown-check.service, at the word of the unprivileged client; it reads
nothing but root's configuration, and writes its result where only root can.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from powmonman.client.shutdown import PATH, check_trusted
from powmonman.config.client_schema import ClientConfig
from powmonman.config.loader import ConfigError, load
from powmonman.net import ethtool
from powmonman.service.clock import boot_id, boottime
from powmonman.service.files import write_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from powmonman.config.shutdown_keys import Command, Shutdown

REQUEST = "shutdown-check"
RESULT = Path("/run/powmonman-check/result.json")
UNIT = "powmonman-shutdown"
MOST_FAULTS = 20
LONGEST_FAULT = 300
ASKING = 10.0
# Their first argument that is no option is a program too.
_READERS = frozenset({"sh", "bash", "dash", "python3", "perl"})


def main(path: Path) -> int:
    """Check what root would run, and leave the result; returns 0 if all is in order.

    By hand, without the unit, it is printed.
    """
    result = check(path)
    if RESULT.parent.is_dir() and os.access(RESULT.parent, os.W_OK):
        write(result, RESULT)
    print(json.dumps(result, indent=2))
    return 1 if result["faults"] else 0


def check(path: Path) -> dict[str, Any]:
    """Check the commands of the configuration in `path`, as root would run them now."""
    try:
        config = load(check_trusted(path), ClientConfig)
    except (ConfigError, OSError) as error:
        # The real thing would run the default final command alone.
        return _result(boottime(), [f"{UNIT} would not run the commands: {error}"])
    return check_commands(config.shutdown)


def check_commands(shutdown: Shutdown) -> dict[str, Any]:
    """Check these commands; returns what `write` writes."""
    began = boottime()
    return _result(began, list(faults(shutdown)))


def write(result: dict[str, Any], place: Path) -> None:
    """Leave the result where the client reads it, whatever the umask.

    Raises:
        OSError: It can't be written.
    """
    write_json(place, result, durable=False, mode=0o644)
    place.chmod(0o644)


def _result(began: float, found: Sequence[str]) -> dict[str, Any]:
    cards = ethtool.cards()
    return {
        "boot_id": boot_id(),
        "began": began,
        "faults": [fault[:LONGEST_FAULT] for fault in found[:MOST_FAULTS]],
        "wake_armed": ethtool.armed(cards),
        "cards": [asdict(card) for card in cards],
    }


def faults(shutdown: Shutdown) -> Iterator[str]:
    """Yield what would keep this host from shutting down as it is meant to."""
    ready_made, faults_of_presets = _of_presets(shutdown.presets)
    for command in (*ready_made, *shutdown.commands, shutdown.final):
        yield from missing(command.command)
    yield from faults_of_presets
    if shutdown.via == "unit":
        yield from units()


def _of_presets(names: Sequence[str]) -> tuple[Sequence[Command], Sequence[str]]:
    """Return the commands of presets, and what their preflights find wrong."""
    if not names:
        return (), ()
    from powmonman.client import presets

    return presets.expand(names), [fault for name in names for fault in presets.preflight(name)]


def missing(command: Sequence[str]) -> Iterator[str]:
    """Yield what of one command is not there, or may not be run."""
    search = os.environ.get("PATH", PATH)
    if not command:
        yield "a shutdown command is empty"
        return
    if shutil.which(command[0], path=search) is None:
        yield f"shutdown command not found or not executable: {command[0]}"
        return
    if Path(command[0]).name in _READERS and len(command) > 1:
        script = command[1]
        if script.startswith("/") and not os.access(script, os.R_OK):
            yield f"script of a shutdown command not found or not readable: {script}"


def units() -> Iterator[str]:
    """Yield what of the way to root is missing."""
    for path, loss in (
        (f"{UNIT}.path", "nothing would shut this host down"),
        (f"{UNIT}-check.path", "no drill could check the commands"),
    ):
        if _systemctl("is-active", "--quiet", path)[0] != 0:
            yield f"{path} is not active: {loss}"
    loaded = _systemctl("show", "--property=LoadState", "--value", f"{UNIT}.service")[1]
    if loaded.strip() != "loaded":
        yield f"{UNIT}.service is {loaded.strip() or 'not known'}: nothing would run the commands"


@cache
def circles(unit: str = "powmonman-client.service") -> tuple[str, ...]:
    """Return what is wrong with the order in which the units start; systemd itself finds it."""
    try:
        done = subprocess.run(
            ["systemd-analyze", "verify", unit],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "LC_ALL": "C"},
            timeout=ASKING,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    # Each circle begins with one line of the first kind and goes on with some of the second.
    found: list[list[str]] = []
    for line in done.stderr.splitlines():
        if match := re.search(r"Found ordering cycle on (\S+?)/start", line):
            found.append([match[1]])
        elif (match := re.search(r"Found dependency on (\S+?)/start", line)) and found:
            found[-1].append(match[1])
    name = unit.rpartition("/")[2]
    circle = min((each for each in found if name in each), key=len, default=None)
    if circle is None:
        return ()
    text = f"{name} is to start in a circle ({', '.join(circle)}): systemd would leave one of them"
    return (f"{text} out. Take what starts early out of powmonman_client_outlives",)


def _systemctl(*arguments: str) -> tuple[int, str]:
    try:
        done = subprocess.run(
            ["systemctl", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=ASKING,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 1, ""
    return done.returncode, done.stdout
