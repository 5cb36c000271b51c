"""A tree like /sys/class/power_supply, a file a line: `BAT0/status=Discharging`.

A line `--` ends one reading and begins the next, with the files as they are and those that follow.
A value `!fifo`, `!link`, `!dir` or `!fault` makes the file what it should not be.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fuzzing import emptied

from powmonman.config.sources import Battery
from powmonman.sensors.battery import BatterySensor
from targets.nut import check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORDS = (
    *(
        b"\n--\n",
        b"AC/online=1\n",
        b"AC/type=Mains\n",
        b"BAT0/type=Battery\n",
        b"BAT0/scope=Device\n",
    ),
    *(b"BAT0/status=Discharging\n", b"BAT0/status=Charging\n", b"BAT0/status=Full\n", b"!fifo\n"),
    *(b"BAT0/charge_now=", b"BAT0/charge_full=", b"BAT0/energy_now=", b"BAT0/capacity=", b"!dir\n"),
    *(
        b"BAT0/current_now=-",
        b"BAT0/voltage_now=",
        b"BAT0/present=0\n",
        b"BAT0/alarm=",
        b"!fault\n",
    ),
    *(
        b"BAT0/time_to_empty_now=",
        b"USB0/type=USB\n",
        b"1e-320",
        b"1e999",
        b"nan",
        b"1_0",
        b"!link\n",
    ),
)
LARGEST = 2048
MOST_FILES = 100


def target(data: bytes) -> None:
    root = emptied("supplies")
    sensor = BatterySensor(Battery(root=str(root)), platform="linux")
    so_far = b""
    files = 0
    for reading in data.split(b"\n--\n")[:6]:
        so_far += b"\n" + reading
        for line in reading.split(b"\n"):
            files += 1
            if files <= MOST_FILES:
                _place(root, line)
        found = sensor._read()
        said = (b"STATUS=DISCHARGING", b"ONLINE=0")
        check(found, so_far, (b"ONLINE=", b"STATUS="), said)


def hostile() -> Iterator[bytes]:
    page = b"x" * 5000
    yield b"BAT0/type=" + page
    yield b"BAT0/type=Battery\nBAT0/status=" + page
    yield b"BAT0/type=Battery\nBAT0/capacity=" + b"9" * 5000
    yield b"\n".join(b"BAT%d/type=Battery\nBAT%d/capacity=1e-320" % (n, n) for n in range(50))
    tiny = b"energy_now", b"energy_full", b"power_now", b"charge_full", b"charge_now"
    yield b"BAT0/type=Battery\nBAT0/status=Discharging\n" + b"\n".join(
        b"BAT0/%b=5e-324" % name for name in tiny
    )


def _place(root: Path, line: bytes) -> None:
    path, given, value = line.partition(b"=")
    supply, _, name = path.decode("utf-8", "replace").partition("/")
    if not given or not _fits(supply) or not _fits(name):
        return
    try:
        directory = root / supply
        directory.mkdir(exist_ok=True)
        file = directory / name
        file.unlink(missing_ok=True)
        if value == b"!fifo":
            os.mkfifo(file)
        elif value == b"!dir":
            file.mkdir()
        elif value == b"!link":
            file.symlink_to(file)
        elif value == b"!fault":
            # The memory at address 0 of whoever reads it.
            file.symlink_to("/proc/self/mem")
        else:
            file.write_bytes(value + b"\n")
    except OSError:
        return


def _fits(name: str) -> bool:
    return bool(name) and name.isascii() and name.isprintable() and len(name) < 40 and (
        "/" not in name and name not in {".", ".."}
    )  # fmt: skip
