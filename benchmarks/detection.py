"""From the level of a sensor to the outage that it opens, and what the looking costs.

The product's own monitor polls the product's own sensors; the benchmark writes the simulated
sensor's file, which lies in memory as /run does, and stands in for the library that reads a GPIO.
So what a real pin costs beside that is not in it: docs/gpio-lab.md has measured that. `confirm` and
`restore_confirm` are taken off what was measured. They are no multiple of every poll, so that a
poll which comes late for them would show.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from powmonman import sensors
from powmonman.config.schema import ServerConfig
from powmonman.config.sources import Gpio, Simulated, Ups
from powmonman.core.power import PowerState
from powmonman.sensors.simulated import render
from powmonman.server.monitor import Monitor, supply_for
from powmonman.simulate import write

from . import deployed
from .gpio_stand_in import wired
from .process import rate, spent
from .result import Goal, Result, Series

if TYPE_CHECKING:
    from collections.abc import Callable

POLLS = (0.01, 0.05, 0.25, 1.0)
DEFAULT = 0.25
CONFIRM = 0.6
# Header pins that nothing else of a Raspberry Pi wants.
PINS = (5, 6, 12, 13, 16, 17, 19, 20, 22, 23)
PATIENCE = 30.0
# One on this machine is late by as much; a wake-up that comes late is nobody's poll.
SLACK = 0.005
KINDS = ("simulated", "gpio")
NOTHING = "asyncio, doing nothing"
QUICK_POLLS = (0.05, 0.25)


class Supply:
    """One UPS, its level, and the monitor that watches it."""

    def __init__(self, kind: str, poll: float, set_level: Callable[[bool], None], ups: Ups) -> None:
        self._set = set_level
        self._states: asyncio.Queue[tuple[PowerState, float]] = asyncio.Queue()
        sensor = sensors.create(ups)
        supply = supply_for(ups, sensor, ServerConfig())
        self._monitor = Monitor(f"{kind}-{poll:g}", ups, sensor, supply, self._changed)

    async def _changed(self, monitor: Monitor) -> None:
        self._states.put_nowait((monitor.supply.state, time.monotonic()))

    async def run(self, rounds: int, chance: random.Random) -> list[tuple[float, float]]:
        """Return the seconds of each loss and return, `confirm` taken off."""
        self._set(True)
        watch = asyncio.create_task(self._monitor.run())
        try:
            await self._until(PowerState.ON_MAINS)
            return [await self._outage(chance) for _ in range(rounds)]
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _outage(self, chance: random.Random) -> tuple[float, float]:
        poll = self._monitor.sensor.poll
        took = []
        for level, state in ((False, PowerState.ON_BATTERY), (True, PowerState.ON_MAINS)):
            await asyncio.sleep(chance.uniform(0, poll))
            self._set(level)
            changed = time.monotonic()
            took.append(await self._until(state) - changed - CONFIRM)
        return took[0], took[1]

    async def _until(self, wanted: PowerState) -> float:
        async with asyncio.timeout(PATIENCE):
            while True:
                state, at = await self._states.get()
                if state is wanted:
                    return at

    async def idle(self, seconds: float) -> tuple[float, float]:
        """Return CPU seconds a minute and wake-ups a second of watching good mains."""
        self._set(True)
        watch = asyncio.create_task(self._monitor.run())
        try:
            await self._until(PowerState.ON_MAINS)
            return await costs(seconds)
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)


async def costs(seconds: float) -> tuple[float, float]:
    """Return what this process uses while it lets others run: CPU s/min, wake-ups/s."""
    before = spent(os.getpid())
    await asyncio.sleep(seconds)
    found = rate(before, spent(os.getpid()))
    return found.cpu_s_per_min, found.wakeups_per_s


async def bare(poll: float, seconds: float) -> tuple[float, float, tuple[float, ...]]:
    """Return what a loop costs that wakes up as often and does nothing, and how late, in ms."""
    late: list[float] = []

    async def wake() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(poll)
            late.append(1000 * (time.monotonic() - began - poll))

    task = asyncio.create_task(wake())
    try:
        return *await costs(seconds), tuple(late)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def supplies(kind: str, poll: float, directory: Path, pins: dict[int, bool]) -> list[Supply]:
    """Return the UPSes that are watched at once, each with a level of its own."""
    made = []
    # At short polls each would make the others late.
    for number in range(10 if poll >= DEFAULT else 4):
        common = Ups(sensor=kind, confirm=CONFIRM, restore_confirm=CONFIRM)  # type: ignore[arg-type]
        if kind == "simulated":
            file = directory / f"mains-{number}.yml"

            def put(level: bool, file: Path = file) -> None:
                write(file, render("on" if level else "off", low_battery=False))

            ups = replace(common, simulated=Simulated(file=str(file), poll=poll))
        else:
            pin = PINS[number]

            def put(level: bool, pin: int = pin) -> None:  # type: ignore[misc]
                pins[pin] = level

            ups = replace(common, gpio=Gpio(pin=pin, poll=poll))
        made.append(Supply(kind, poll, put, ups))
    return made


def run(*, quick: bool) -> Result:
    """Measure both sensors at every poll."""
    logging.getLogger("powmonman").setLevel(logging.CRITICAL)
    chance = random.Random(7)  # noqa: S311 - so that another run takes the same moments
    polls, each, seconds = (QUICK_POLLS, 4, 1.0) if quick else (POLLS, 20, 6.0)
    series: list[Series] = []
    pins: dict[int, bool] = {}
    bound: dict[Series, float] = {}
    with tempfile.TemporaryDirectory(dir=deployed.volatile()) as place, wired(pins):
        for kind in KINDS:
            for poll in polls:
                print(f"  {kind}, read every {poll:g} s", file=sys.stderr, flush=True)
                watched = supplies(kind, poll, Path(place), pins)
                losses, returns = asyncio.run(_levels(watched, each, chance))
                (alone, *_) = supplies(kind, poll, Path(place), pins)
                cpu, wakeups = asyncio.run(alone.idle(seconds))
                what = f"{kind}, read every {poll:g} s"
                lost = Series(f"{what}: loss to outage, less confirm", "ms", losses)
                back = Series(f"{what}: return to its end, less confirm", "ms", returns)
                series += [lost, back, *_idle(what, cpu, wakeups)]
                bound |= dict.fromkeys((lost, back), 1000 * (poll + SLACK))
        series.append(Series("gpio: the wire check alone", "ms", asyncio.run(_wire_checks(pins))))
        for poll in polls:
            cpu, wakeups, late = asyncio.run(bare(poll, seconds))
            what = f"woken every {poll:g} s"
            series += _idle(what, cpu, wakeups, NOTHING)
            series.append(Series(f"{what}: late by", "ms", late, NOTHING))
    latest = max(each.max for each in series if each.name.endswith("late by"))
    why = f"a loop that does nothing was late by up to {latest:.1f} ms, in the same run"
    goals = tuple(
        Goal(f"{each.name}, max: one poll", each.max, most, "ms", why=why)
        for each, most in bound.items()
    )
    return Result("detection", tuple(series), goals)


async def _wire_checks(pins: dict[int, bool]) -> tuple[float, ...]:
    """Return what a closer look at a pin takes that is low, in ms."""
    pin = PINS[0]
    pins[pin] = False
    sensor = sensors.create(Ups(sensor="gpio", gpio=Gpio(pin=pin)))
    await sensor.read()
    took = []
    for _ in range(10):
        began = time.monotonic()
        await sensor.verify()
        took.append(1000 * (time.monotonic() - began))
    sensor.close()
    return tuple(took)


async def _levels(
    watched: list[Supply], times: int, chance: random.Random
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    rounds = -(-times // len(watched))
    took = await asyncio.gather(*(each.run(rounds, chance) for each in watched))
    both = [pair for pairs in took for pair in pairs]
    return tuple(1000 * lost for lost, _ in both), tuple(1000 * back for _, back in both)


def _idle(what: str, cpu: float, wakeups: float, product: str = "PowMonMan") -> tuple[Series, ...]:
    return (
        Series(f"{what}: CPU", "CPU s/min", (cpu,), product),
        Series(f"{what}: wake-ups", "wake-ups/s", (wakeups,), product),
    )
