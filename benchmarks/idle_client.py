"""What one idle client costs its host, beside NUT's upsmon, in the same minutes.

The client is deployed as the roles do it, and told a state at each third of the default lease.

PSS depends on who else has the interpreter and its libraries in memory. So it is measured with no
other process of that interpreter, where all of it counts, and again with one beside, as most hosts
have one. What a Python holds that does nothing, with the modules that no client of this kind can do
without, was measured alone before.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from . import deployed, nut
from .fleet import Fleet, client_config
from .process import memory, rate, spent, with_the_same_interpreter
from .result import OURS, Goal, Result, Series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .process import Memory, Rate

SETTLE, QUICK_SETTLE = 30.0, 6.0
SLICES, SLICE, QUICK_SLICE = 4, 30.0, 10.0
LEASE = 15.0
BARE = "Python with ssl, json and logging"
_SLEEPS = "import {}; ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT); print(flush=True); time.sleep(600)"
_NEEDED = "dataclasses, json, logging, pathlib, selectors, ssl, subprocess, threading, time"
BESIDE = "PSS, beside another Python"


def run(*, quick: bool) -> Result:
    """Measure an idle client for two minutes, and one that counts down for half of one."""
    slices, length = (1, QUICK_SLICE) if quick else (SLICES, SLICE)
    left_out: list[str] = []
    versions: dict[str, str] = {}
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="powmonman-bench-")))
        run_dir = stack.enter_context(tempfile.TemporaryDirectory(dir=deployed.volatile()))
        fleet = stack.enter_context(Fleet(clients=1, lease=LEASE))
        command = deployed.in_one_file(place)
        with _sleeping() as bare:
            held = memory(bare)
        config = client_config(
            place,
            port=fleet.port,
            identity=fleet.identity(fleet.names[0]),
            runtime=Path(run_dir) / "run",
        )
        service = stack.enter_context(
            deployed.Service([command, "client", "--config", config], place)
        )
        service.says("connected to")
        watched: dict[str, Sequence[int]] = {OURS: (service.pid,)}
        if why := nut.missing():
            left_out.append(why)
        else:
            versions |= nut.versions()
            for settings in (nut.DEFAULT, nut.FASTEST):
                other = stack.enter_context(nut.Nut(settings))
                other.start_monitors(1)
                watched[settings.name] = other.monitors()[0]
        service.rest(QUICK_SETTLE if quick else SETTLE)
        series = idle_costs(watched, service.rest, slices, length)
        same = with_the_same_interpreter(service.pid)
        series += _beside(held, service.pid)
        series += _counting(fleet, service, QUICK_SLICE if quick else SLICE)
    idle = Result("idle_client", tuple(series))
    bare_mb = idle.find("PSS", product=BARE).median / 1000
    goals = (
        Goal("PSS of a client, beside another Python", idle.find(BESIDE).median / 1000, 16.0, "MB"),
        Goal(
            f"PSS of a client, {f'{same} more of its' if same else 'no other'} Python on its host",
            idle.find("PSS").median / 1000,
            16.0,
            "MB",
            why=f"a {BARE} that does nothing holds {bare_mb:.1f} MB",
        ),
        Goal("wake-ups of an idle client", idle.find("wake-ups").median, 0.3, "wake-ups/s"),
    )
    runs_in = "memory" if deployed.volatile() else "a directory on disk"
    notes = (
        f"deployed in one file, run by {deployed.unit_python()}, its runtime_dir in {runs_in}",
        f"processes with the same interpreter meanwhile: {same}",
        "upsmon is two processes: their sum",
    )
    return Result("idle_client", idle.series, goals, notes, tuple(left_out), versions=versions)


def idle_costs(
    watched: dict[str, Sequence[int]], rest: Callable[[float], None], slices: int, length: float
) -> list[Series]:
    """Measure what the processes behind each name cost together, in slices of `length` seconds."""
    held: dict[str, list[Memory]] = {name: [] for name in watched}
    used: dict[str, list[list[Rate]]] = {name: [] for name in watched}
    for at in range(slices):
        print(f"idle: {at * length:.0f} of {slices * length:.0f} s", file=sys.stderr)
        before = {pid: spent(pid) for pids in watched.values() for pid in pids}
        rest(length)
        for name, pids in watched.items():
            used[name].append([rate(before[pid], spent(pid)) for pid in pids])
            held[name] += [_sum([memory(pid) for pid in pids])]
    series = []
    for name in watched:
        for what, of in (("PSS", "pss"), ("USS", "uss"), ("RSS", "rss")):
            values = tuple(float(getattr(each, of)) for each in held[name])
            series.append(Series(what, "kB", values, name))
        cpu = tuple(sum(each.cpu_s_per_min for each in rates) for rates in used[name])
        wakes = tuple(sum(each.wakeups_per_s for each in rates) for rates in used[name])
        series.append(Series("CPU", "CPU s/min", cpu, name))
        series.append(Series("wake-ups", "wake-ups/s", wakes, name))
    return sorted(series, key=lambda each: each.name)


def _counting(fleet: Fleet, service: deployed.Service, length: float) -> list[Series]:
    """Measure what the countdown of an outage costs, for which there is no goal."""
    fleet.lose_mains()
    service.rest(5)
    before = spent(service.pid)
    service.rest(length)
    counting = rate(before, spent(service.pid))
    return [
        Series("CPU, counting down", "CPU s/min", (counting.cpu_s_per_min,)),
        Series("wake-ups, counting down", "wake-ups/s", (counting.wakeups_per_s,)),
    ]


@contextmanager
def _sleeping() -> Iterator[int]:
    """Run a Python that has loaded what a client needs, and does nothing; yield its process id."""
    command = [deployed.unit_python(), "-I", "-c", _SLEEPS.format(_NEEDED)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            if process.stdout is not None:
                process.stdout.readline()
            yield process.pid
        finally:
            process.kill()


def _beside(bare: Memory, client: int) -> list[Series]:
    """Measure the client with another Python beside it."""
    with _sleeping():
        shared = memory(client)
    return [
        Series(BESIDE, "kB", (float(shared.pss),)),
        Series("PSS", "kB", (float(bare.pss),), BARE),
        Series("USS", "kB", (float(bare.uss),), BARE),
    ]


def _sum(parts: Sequence[Memory]) -> Memory:
    return type(parts[0])(
        rss=sum(each.rss for each in parts),
        pss=sum(each.pss for each in parts),
        uss=sum(each.uss for each in parts),
    )
