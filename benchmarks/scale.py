"""Where the limit of one server is: files, memory, handshakes and CPU of one core.

The server has one core to itself, as on the smallest machine that it may run on; the clients have
the others. What is measured at each size: how many join in a second and what that costs, what all
of them cost while nothing happens, how long the last one waits for the news of an outage, and how
long it takes until all are back after the server was killed.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from powmonman.core.power import PowerState

from .fleet import Fleet
from .growth import LINEAR, exponent
from .process import memory, rate, spent
from .result import Goal, Result, Series
from .swarm import Swarm

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (0, 1000, 3000, 10_000)
QUICK = (0, 100, 400)
LEASE = 15.0
PATIENCE = 120.0
# For all to be back: more than the longest back-off, several times.
BACK_WITHIN = 90.0
OUTAGES = 3
MAINS, BATTERY = PowerState.ON_MAINS, PowerState.ON_BATTERY
# Of one core, for a server that is to stay quick.
SHARE = 0.5
# Of what grows faster than the number of clients where it does, as far as it is known.
REASONS = {
    "CPU of coming back": (
        "of 3,000 each costs what it costs of 1,000; of 10,000 a third of the time goes into what "
        "is done each second for all who are due to come back: is it there, and the record of it"
    ),
    "first to last client told": "runs of the same code differ by as much",
}


@dataclass
class Found:
    """What was measured of one size; CPU in seconds, memory in kB.

    Attributes:
        join_s: Until all had joined, one after the other, 32 at once.
        join_cpu: Of the server meanwhile.
        told_ms: From the loss, and from the return, to the last one told.
        spread_ms: From the first one told to the last.
        back_s: From the kill of the server, and the start of a new one, to the last one told.
        back_cpu: Of the new server meanwhile, its start included.
        missing: Where not all came back in time: how many did, in words.
    """

    files: int
    pss: int
    cpu_min: float
    wakeups: float
    join_s: float = 0.0
    join_cpu: float = 0.0
    told_ms: tuple[float, ...] = ()
    spread_ms: tuple[float, ...] = ()
    back_s: float = 0.0
    back_cpu: float = 0.0
    missing: str = ""


def run(*, quick: bool) -> Result:
    """Measure every size until one fails."""
    found: dict[int, Found] = {}
    left_out: list[str] = []
    for size in QUICK if quick else SIZES:
        print(f"  {size} clients", file=sys.stderr, flush=True)
        try:
            found[size] = _measured(size, 5.0 if quick else 15.0)
        except (TimeoutError, RuntimeError, OSError) as error:
            left_out.append(f"{size} clients and more: {error}")
            break
    largest = max(found)
    return Result(
        "scale",
        tuple(_series(found)),
        tuple(_goals(found)),
        notes=tuple(_limits(found[largest], found[0], largest)),
        left_out=(
            *(f"{n} clients back and told: {f.missing}" for n, f in found.items() if f.missing),
            *left_out,
        ),
    )


def _measured(size: int, seconds: float) -> Found:
    with Fleet(clients=size, lease=LEASE) as fleet:
        _pin(fleet.pid, server=True)
        if not size:
            time.sleep(2.0)
            result = _idle(fleet, seconds)
            _back(fleet, None, result)
            return result
        before = spent(fleet.pid)
        with Swarm(fleet, processes=1) as swarm:
            for pid in swarm.pids:
                _pin(pid, server=False)
            swarm.gather(PATIENCE)
            joined = spent(fleet.pid)
            time.sleep(2.0)
            result = _idle(fleet, seconds)
            result.join_s = joined.at - before.at
            result.join_cpu = joined.cpu - before.cpu
            changes = (fleet.lose_mains, BATTERY), (fleet.restore_mains, MAINS)
            told = [_told(swarm, *change) for _ in range(OUTAGES) for change in changes]
            result.told_ms = tuple(last for _, last in told)
            result.spread_ms = tuple(last - first for first, last in told)
            _back(fleet, swarm, result)
            return result


def _pin(pid: int, *, server: bool) -> None:
    """Keep the server on one core and the clients off it, where there are two."""
    first, *others = sorted(os.sched_getaffinity(0))
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {first} if server else set(others) or {first})


def _idle(fleet: Fleet, seconds: float) -> Found:
    before = spent(fleet.pid)
    time.sleep(seconds)
    used = rate(before, spent(fleet.pid))
    files = len(list(Path(f"/proc/{fleet.pid}/fd").iterdir()))
    return Found(files, memory(fleet.pid).pss, used.cpu_s_per_min, used.wakeups_per_s)


def _told(swarm: Swarm, change: Callable[[], float], power: PowerState) -> tuple[float, float]:
    swarm.expect("power", power)
    moment = change()
    told = swarm.moments(PATIENCE).values()
    time.sleep(1.0)
    return 1000 * (min(told) - moment), 1000 * (max(told) - moment)


def _back(fleet: Fleet, swarm: Swarm | None, result: Found) -> None:
    fleet.stop(kill=True)
    began = time.monotonic()
    fleet.start()
    _pin(fleet.pid, server=True)
    try:
        last = max(swarm.wait("told", began, BACK_WITHIN).values()) if swarm else began
    except TimeoutError as error:
        result.missing = str(error)
        return
    result.back_s, result.back_cpu = last - began, spent(fleet.pid).cpu


def _series(found: dict[int, Found]) -> list[Series]:
    series, start = [], found[0].back_cpu
    for n, each in found.items():
        series += [
            Series("open files", "files", (each.files,), n=n),
            Series("memory (PSS)", "kB", (each.pss,), n=n),
            Series("idle, one core: CPU", "CPU s/min", (each.cpu_min,), n=n),
            Series("idle, one core: wake-ups", "wake-ups/s", (each.wakeups,), n=n),
        ]
        if n:
            series += [
                Series("joined, one core", "clients/s", (n / each.join_s,), n=n),
                Series("CPU of a join", "ms", (1000 * each.join_cpu / n,), n=n),
                Series("change to last client told, one core", "ms", each.told_ms, n=n),
                Series("first to last client told, one core", "ms", each.spread_ms, n=n),
            ]
        if n and not each.missing:
            cpu = 1000 * (each.back_cpu - start) / n
            series += [
                Series("server killed to all back and told, one core", "s", (each.back_s,), n=n),
                Series("CPU of a return", "ms", (cpu,), n=n),
            ]
    return series


def _goals(found: dict[int, Found]) -> list[Goal]:
    """Nothing may cost more than linearly."""
    costs: dict[str, dict[int, float]] = {
        "open files": {n: each.files for n, each in found.items()},
        "memory": {n: each.pss for n, each in found.items()},
        "idle CPU": {n: each.cpu_min for n, each in found.items()},
        "CPU of joining": {n: each.join_cpu for n, each in found.items() if n},
        "CPU of coming back": {n: each.back_cpu for n, each in found.items() if not each.missing},
        "first to last client told": {n: median(each.spread_ms) for n, each in found.items() if n},
    }
    fits = {what: exponent(by_size) for what, by_size in costs.items()}
    return [
        Goal(
            f"{what}: growth with the clients",
            fit,
            LINEAR,
            "(exponent)",
            why=REASONS.get(what, ""),
        )
        for what, fit in fits.items()
        if fit is not None
    ]


def _limits(most: Found, none: Found, n: int) -> list[str]:
    """Say where each resource ends, from the largest size that worked."""
    handshakes = n / most.join_cpu
    idle = (most.cpu_min - none.cpu_min) / n
    each_kb = (most.pss - none.pss) / n
    return [
        f"by {n:,} clients, one core full: {handshakes:,.0f} clients can join in a second",
        f"half a core is {(SHARE * 60 - none.cpu_min) / idle:,.0f} idle clients",
        f"1 GiB of memory is {(2**20 - none.pss) / each_kb:,.0f} clients",
        f"{(most.files - none.files) / n:.2f} open files for each client",
    ]
