"""What running processes cost, as the kernel counts it. Linux only."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

_ROLLUP = re.compile(r"^(\w+): +(\d+) kB$", re.MULTILINE)
_SWITCHES = re.compile(r"^voluntary_ctxt_switches:\s+(\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Memory:
    """In kB (1,024 bytes), as the kernel's files say.

    Attributes:
        pss: Shared pages count in parts.
        uss: Pages that nobody else has: what the end of the process would free.
    """

    rss: int
    pss: int
    uss: int


@dataclass(frozen=True)
class Spent:
    """What a process with all its threads has used since it began.

    Attributes:
        at: Seconds of CLOCK_MONOTONIC.
        cpu: Seconds on a processor.
        switches: How often one of its threads went to sleep of its own accord: each is a wake-up.
    """

    at: float
    cpu: float
    switches: int


@dataclass(frozen=True)
class Rate:
    """What it uses in a minute, or in a second."""

    cpu_s_per_min: float
    wakeups_per_s: float


def memory(pid: int) -> Memory:
    """Return what the process `pid` holds; another user's needs root."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
    kb = {name: int(value) for name, value in _ROLLUP.findall(text)}
    return Memory(kb["Rss"], kb["Pss"], kb["Private_Clean"] + kb["Private_Dirty"])


def with_the_same_interpreter(pid: int) -> int:
    """Count the other processes that run the same file, and so share it with the process `pid`."""
    ours = Path(f"/proc/{pid}/exe").stat()
    found = 0
    for other in Path("/proc").glob("[0-9]*/exe"):
        try:
            found += os.path.samestat(ours, other.stat())
        except OSError:
            continue
    return found - 1


def spent(pid: int) -> Spent:
    """Return what the process `pid` has used so far, threads that have ended left out."""
    cpu_ns = switches = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            # In nanoseconds; the clock ticks of /proc/PID/stat are too coarse for an idle minute.
            cpu_ns += int((thread / "schedstat").read_text("ascii").split()[0])
            found = _SWITCHES.search((thread / "status").read_text("utf-8"))
        except FileNotFoundError:
            continue
        switches += int(found[1]) if found else 0
    return Spent(time.monotonic(), cpu_ns / 1e9, switches)


def rate(before: Spent, after: Spent) -> Rate:
    """Return what was used between two moments."""
    seconds = after.at - before.at
    return Rate(
        cpu_s_per_min=(after.cpu - before.cpu) / seconds * 60,
        wakeups_per_s=(after.switches - before.switches) / seconds,
    )
