"""`powmonman simulate`: pull the plug of a simulated UPS, or put it back.

Writes the file that the sensor `simulated` reads, whole or not at all: the server never sees half
of it. What is not given on the command line is not in the file.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from pathlib import Path

from powmonman.config import loader
from powmonman.guard.derive import server_of
from powmonman.sensors.simulated import render

SERVER_CONFIG = "/etc/powmonman/server.yml"


class TargetError(Exception):
    """There is no simulated UPS of this description."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `powmonman simulate` takes."""
    parser.add_argument("mains", choices=("on", "off", "unknown"), help="what the mains are to be")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--file", type=Path, help="write this file")
    where.add_argument(
        "--config",
        type=Path,
        help=f"write the file that this server.yml or guard.yml names (default: {SERVER_CONFIG})",
    )
    parser.add_argument("--ups", help="the UPS, where the configuration has several")
    parser.add_argument("--charge", type=_percent, help="charge of the battery in percent")
    parser.add_argument("--runtime", type=_seconds, help="seconds that the battery still lasts")
    parser.add_argument("--low-battery", action="store_true", help="the battery is nearly empty")


def run(args: argparse.Namespace) -> int:
    """Write the file; return the exit code of the command."""
    try:
        path = _target(args.file, args.config, args.ups)
    except (TargetError, loader.ConfigError) as error:
        print(error, file=sys.stderr)
        return 2
    text = render(args.mains, args.charge, args.runtime, low_battery=args.low_battery)
    try:
        write(path, text)
    except OSError as error:
        print(f"{path}: {(error.strerror or str(error)).lower()}", file=sys.stderr)
        return 1
    print(f"mains {args.mains}: {path}")
    return 0


def write(path: Path, text: str) -> None:
    """Replace the file at `path` in one step, readable for everyone.

    A symbolic link is replaced, not followed: root may run this in a directory that belongs to
    the service.

    Raises:
        OSError: It could not be written; what was there is whole.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def _target(file: Path | None, config: Path | None, ups: str | None) -> Path:
    if file is not None:
        if ups is not None:
            raise TargetError("--ups goes with --config, not with --file")
        return file
    path = config or Path(SERVER_CONFIG)
    if config is None and not path.exists():
        raise TargetError(f"no {path} on this host: give --file FILE or --config server.yml")
    upses = server_of(path).upses
    simulated = {name: u.simulated.file for name, u in upses.items() if u.sensor == "simulated"}
    known = ", ".join(sorted(simulated)) or "none"
    if ups is None and len(simulated) == 1:
        return Path(*simulated.values())
    if ups is None:
        raise TargetError(f"{path}: name one with --ups (simulated: {known})")
    if ups not in upses:
        raise TargetError(f"{path}: there is no UPS {ups!r} (simulated: {known})")
    if ups not in simulated:
        raise TargetError(
            f"{path}: UPS {ups!r} has the sensor {upses[ups].sensor!r}; set "
            f"`sensor: simulated` to simulate it"
        )
    return Path(simulated[ups])


def _percent(text: str) -> float:
    return _number(text, 100, "from 0 to 100")


def _seconds(text: str) -> float:
    return _number(text, sys.float_info.max, "of 0 or more")


def _number(text: str, maximum: float, bounds: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= maximum:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number {bounds}")
    return value
