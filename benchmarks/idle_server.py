"""What the server costs while nothing happens, by the number of clients; upsd beside it.

Ours is the whole program, deployed as the roles do it, with its default settings: it reads a sensor
every 2 s, keeps the record, and repeats the state to every client at each third of the lease, who
acknowledges it. NUT's is upsd with its driver, asked by as many clients as often as upsmon asks by
default.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import nut, power_supply
from .deployed import in_one_file, unit_python
from .fleet import PREFIX, Fleet
from .growth import LINEAR, exponent
from .nut_pollers import Pollers
from .process import Memory, Rate, Spent, memory, rate, spent, with_the_same_interpreter
from .result import OURS, Goal, Result, Series
from .swarm import Swarm

PSS, USS, RSS, CPU, WAKE_UPS = "PSS", "USS", "RSS", "CPU", "wake-ups"
NUT = "NUT, default"
NOTIFYING = "PowMonMan, notifications on"
CLIENTS = (0, 100, 1000, 5000)
# Goals: in kB as the kernel counts them, and CPU seconds a minute with so many clients.
BASE, EACH = 24_000.0, 55.0
CPU_BOUND, CPU_CLIENTS = 1.0, 1000
_PSS_NOTE = (
    "PSS counts what several processes share in parts. So what a client adds, and its growth, are "
    "taken from USS, which knows no neighbours."
)
_SENSOR_NOTE = (
    "The sensor is `battery`. The one of the other benchmarks, `simulated`, has YAML's parser in "
    "memory, as no server on real mains has. What reading more often costs: see Detection."
)
# A laptop on mains, as the kernel shows it.
_SUPPLIES = {
    "AC": {"type": "Mains", "online": "1"},
    "BAT0": {"type": "Battery", "present": "1", "status": "Full", "capacity": "100"},
}
ALONE = (
    "no other Python shares the interpreter and OpenSSL with it; of its own (USS) it has {:.1f} MB"
)
_UNITS = {PSS: "kB", USS: "kB", RSS: "kB", CPU: "CPU s/min", WAKE_UPS: "wake-ups/s"}


@dataclass(frozen=True)
class Windows:
    """How long is measured, in seconds: whole heartbeats, and whole intervals of upsmon.

    Attributes:
        settle: Before, after all are connected.
    """

    clients: tuple[int, ...] = CLIENTS
    count: int = 3
    length: float = 15.0
    settle: float = 15.0


QUICK = Windows(clients=(0, 100), count=1, length=5.0, settle=0.5)


def run(*, quick: bool) -> Result:
    """Measure ours for each number of clients, then NUT's."""
    windows = QUICK if quick else Windows()
    series: list[Series] = []
    notes = [f"deployed in one file, run by {unit_python()}", _PSS_NOTE, _SENSOR_NOTE]
    with tempfile.TemporaryDirectory(prefix=PREFIX) as directory:
        program = in_one_file(Path(directory))
        sensor = _battery(Path(directory) / "power_supply")
        for clients in windows.clients:
            more, note = _ours(program, clients, windows, upses=sensor)
            series += more
            notes += note
        if CPU_CLIENTS in windows.clients:
            settings = {"upses": sensor, "notify__enabled": True}
            series += _ours(program, CPU_CLIENTS, windows, NOTIFYING, **settings)[0]
    left_out: tuple[str, ...] = ()
    versions: dict[str, str] = {}
    if why := nut.missing():
        left_out = (why,)
    else:
        versions = nut.versions()
        for clients in windows.clients:
            more, note = _nuts(clients, windows)
            series += more
            notes += note
    found = Result("idle_server", tuple(series))
    return Result(
        "idle_server",
        found.series,
        goals=(*_memory_goals(found), *_cpu_goals(found), *_growth_goals(found)),
        notes=tuple(notes),
        left_out=left_out,
        versions=versions,
    )


def _ours(
    program: Path, clients: int, windows: Windows, product: str = OURS, **settings: Any
) -> tuple[list[Series], list[str]]:
    _progress(f"{product}, {clients} clients")
    with ExitStack() as stack:
        fleet = stack.enter_context(Fleet(clients=clients, program=program, **settings))
        if clients:
            stack.enter_context(Swarm(fleet)).gather()
        series = _watched([fleet.pid], product, clients, windows)
        if clients:
            return series, []
        same = with_the_same_interpreter(fleet.pid)
        return series, [f"processes with its interpreter beside the server without clients: {same}"]


def _battery(root: Path) -> dict[str, Any]:
    """Make power supplies below `root`; return the UPSes of a server.yml that read them."""
    power_supply.lay(root, _SUPPLIES)
    return {"ups": {"sensor": "battery", "battery": {"root": str(root)}}}


def _nuts(clients: int, windows: Windows) -> tuple[list[Series], list[str]]:
    _progress(f"{NUT}, {clients} clients")
    with ExitStack() as stack:
        nuts = stack.enter_context(nut.Nut(connections=clients))
        pids = [nuts.upsd, nuts.driver]
        if not clients:
            return _watched(pids, NUT, clients, windows), []
        pollers = stack.enter_context(Pollers(nuts.port, clients))
        pollers.wait_connected()
        pollers.counts()
        began = time.monotonic()
        series = _watched(pids, NUT, clients, windows)
        good, bad = pollers.counts()
        due = clients * (time.monotonic() - began) / pollers.every
        if good >= due * 0.95 and not bad:
            return series, []
        return series, [f"upsd answered {good:,} of {due:,.0f} questions of {clients:,} clients."]


def _watched(pids: list[int], product: str, clients: int, windows: Windows) -> list[Series]:
    """Return what these processes cost together in each window."""
    time.sleep(windows.settle)
    values: dict[str, list[float]] = {name: [] for name in _UNITS}
    for _ in range(windows.count):
        before = [spent(pid) for pid in pids]
        time.sleep(windows.length)
        _add(values, before, [spent(pid) for pid in pids], [memory(pid) for pid in pids])
    return [
        Series(name, unit, tuple(values[name]), product, clients) for name, unit in _UNITS.items()
    ]


def _add(
    values: dict[str, list[float]], before: list[Spent], after: list[Spent], held: list[Memory]
) -> None:
    rates: list[Rate] = [rate(*each) for each in zip(before, after, strict=True)]
    values[PSS].append(sum(each.pss for each in held))
    values[USS].append(sum(each.uss for each in held))
    values[RSS].append(sum(each.rss for each in held))
    values[CPU].append(sum(each.cpu_s_per_min for each in rates))
    values[WAKE_UPS].append(sum(each.wakeups_per_s for each in rates))


def _memory_goals(found: Result) -> list[Goal]:
    base, own = found.find(PSS, n=0).median, found.find(USS, n=0).median
    why = ALONE.format(own / 1000)
    goals = [Goal("server without clients, PSS", base, BASE, "kB", why=why)]
    for clients, held in _medians(found, USS).items():
        if clients:
            each = (held - own) / clients
            goals.append(Goal(f"each of {clients:,} clients, USS", each, EACH, "kB"))
    return goals


def _cpu_goals(found: Result) -> list[Goal]:
    return [
        Goal(
            f"{each.product}: {each.n:,} clients, CPU seconds a minute", each.median, CPU_BOUND, "s"
        )
        for each in found.series
        if each.name == CPU and each.n == CPU_CLIENTS and each.product in (OURS, NOTIFYING)
    ]


def _growth_goals(found: Result) -> list[Goal]:
    fits = {name: exponent(_medians(found, name)) for name in (USS, CPU)}
    return [
        Goal(f"server, {name}: exponent of its growth", grows, LINEAR, "")
        for name, grows in fits.items()
        if grows is not None
    ]


def _medians(found: Result, name: str) -> dict[int, float]:
    """Return ours by the number of clients."""
    return {
        each.n: each.median
        for each in found.series
        if each.name == name and each.product == OURS and each.n is not None
    }


def _progress(text: str) -> None:
    print(f"idle_server · {text}", file=sys.stderr, flush=True)
