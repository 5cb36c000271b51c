"""From the level of a pin to the outage, in the product's own monitor and sensor: never too soon,
and never later than it must be.

What really happened is the level of the wire, as a function of time, and what was read of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from virtual_loop import VirtualLoop, run

from powmonman.config.schema import ServerConfig
from powmonman.config.sources import Gpio, Ups
from powmonman.core.power import PowerState, Reading
from powmonman.sensors import gpio
from powmonman.server import monitor as module
from powmonman.server.monitor import SHORTEST, Monitor, supply_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from powmonman.sensors import Sensor

ON_MAINS, ON_BATTERY, UNKNOWN = PowerState
OFF = Reading(mains=False)
LOOK = 0.04
# Sleeps between the loss and the outage: until the look that sees it, until the one that begins
# the closer look, and those within that.
SLEEPS = 2 + 7
# Of sums of floats.
HAIR = 1e-6


@dataclass
class Wire:
    """Stands where the sensor has its pin: held high or low, or cut, and then as it is pulled."""

    story: list[tuple[float, str]]
    clock: Callable[[], float]
    library: str = "a wire"
    claimed: bool = False
    high_against_the_pull: list[float] = field(default_factory=list)

    def claim(self, pull: str) -> None:
        self.claimed, self._pull = True, pull

    def release(self) -> None:
        self.claimed = False

    def level(self, at: float) -> str:
        """Return what holds the wire: the last entry of the story lasts for ever."""
        for until, level in self.story[:-1]:
            if at < until:
                return level
        return self.story[-1][1]

    def is_high(self) -> bool:
        level = self.level(self.clock())
        high = level == "high" or (level == "cut" and self._pull == "up")
        if high and self._pull == "up":
            self.high_against_the_pull.append(self.clock())
        return high


@dataclass
class Heard:
    """Stands between monitor and sensor, and keeps what was read, and when it was known."""

    sensor: Sensor
    clock: Callable[[], float]
    readings: list[tuple[float, bool | None]] = field(default_factory=list)
    closer_looks: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.poll, self.patience = self.sensor.poll, self.sensor.patience
        self.verify_takes = self.sensor.verify_takes

    def describe(self) -> str:
        return self.sensor.describe()

    def close(self) -> None:
        self.sensor.close()

    async def read(self) -> Reading:
        return await self._keep(self.sensor.read)

    async def verify(self) -> Reading:
        self.closer_looks.append(self.clock())
        return await self._keep(self.sensor.verify)

    async def _keep(self, look: Callable[[], Awaitable[Reading]]) -> Reading:
        reading = await look()
        self.readings.append((self.clock(), reading.mains))
        return reading

    def off_for(self, now: float) -> float:
        """Return for how long until `now` nothing but off was read."""
        since = now
        for at, mains in reversed(self.readings):
            if mains is not False:
                break
            since = at
        return now - since


@dataclass
class Watched:
    """What came of it: each change of state with its time, and what was read."""

    changes: list[tuple[float, PowerState]]
    heard: Heard

    def first(self, state: PowerState) -> float:
        """Return when `state` was entered first."""
        return next(at for at, entered in self.changes if entered is state)


def watch(
    made: Callable[[VirtualLoop], Sensor],
    ups: Ups,
    seconds: float,
    late: Callable[[], float],
    check: Callable[[float, PowerState, Heard], None] = lambda *_: None,
) -> Watched:
    """Let a monitor watch for so long; `check` is called at each change."""
    watched: list[Watched] = []

    async def story(loop: VirtualLoop) -> None:
        heard = Heard(made(loop), loop.time)
        changes: list[tuple[float, PowerState]] = []
        watched.append(Watched(changes, heard))

        async def changed(monitor: Monitor) -> None:
            state = monitor.supply.state
            if state is not (changes[-1][1] if changes else UNKNOWN):
                changes.append((loop.time(), state))
                check(loop.time(), state, heard)

        supply = supply_for(ups, heard, ServerConfig())
        watching = Monitor("rack", ups, heard, supply, changed).run()
        with mock.patch.object(module, "boottime", loop.time), contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await watching

    run(story, late)
    return watched[0]


def wired(ups: Ups, story: list[tuple[float, str]]) -> Callable[[VirtualLoop], Sensor]:
    """Return what makes the sensor `gpio` on a wire of this story, in seconds since the start."""

    def made(loop: VirtualLoop) -> Sensor:
        began = loop.time()
        wire = Wire([(began + at, level) for at, level in story], loop.time)
        with mock.patch.object(gpio, "InputPin", return_value=wire):
            return gpio.GpioSensor(ups.gpio, loop.time)

    return made


def rack(confirm: float, poll: float) -> Ups:
    """Return a UPS with a wire; the mains count as returned as soon as they may."""
    return Ups(confirm=confirm, restore_confirm=confirm, gpio=Gpio(poll=poll))


def lateness(most: float, seed: int) -> Callable[[], float]:
    chance = random.Random(seed)
    return lambda: chance.uniform(0, most)


confirms = st.one_of(st.sampled_from([0.0, 0.02, LOOK, 0.6, 2.0]), st.floats(0, 2))
polls = st.one_of(st.sampled_from([0.01, 0.25, 1.0]), st.floats(0.05, 2))
# After the first reading, for which the pin must settle.
BEFORE = 0.1


@given(confirms, polls, st.floats(0, 2), st.sampled_from([0.0, 0.002]), st.integers(0, 999))
@example(confirm=2.0, poll=0.25, lost=0.1, most=0.0, seed=0)
@example(confirm=0.0, poll=0.25, lost=0.1, most=0.0, seed=0)
def test_an_outage_is_opened_one_poll_after_confirm_at_the_latest(
    confirm: float, poll: float, lost: float, most: float, seed: int
) -> None:
    """With the wire check in it, where `confirm` is as long as that; and never before `confirm`."""
    ups, settled = rack(confirm, poll), BEFORE + confirm + 2 * poll
    story = [(settled + lost, "high"), (0.0, "low")]
    seconds = settled + lost + confirm + poll + 1
    found = watch(wired(ups, story), ups, seconds, lateness(most, seed))
    opened = found.first(ON_BATTERY) - 1000 - settled - lost
    assert opened >= confirm - HAIR
    assert opened <= max(confirm, LOOK) + poll + SHORTEST + SLEEPS * most + HAIR
    assert len(found.heard.closer_looks) == 1


levels = st.sampled_from(["high", "low", "low", "low", "cut"])
stories = st.lists(st.tuples(st.floats(0.005, 2), levels), min_size=1, max_size=8)


@given(st.one_of(st.just(0.0), st.floats(0, 1)), polls, stories, st.integers(0, 999))
def test_whatever_the_wire_does_battery_is_entered_only_on_confirm_of_nothing_but_off(
    confirm: float, poll: float, story: list[tuple[float, str]], seed: int
) -> None:
    """And only after a closer look that nothing answered with a high level."""
    ups, at, absolute = rack(confirm, poll), 0.0, []
    for lasts, level in story:
        at += lasts
        absolute.append((at, level))

    def check(now: float, state: PowerState, heard: Heard) -> None:
        if state is ON_BATTERY:
            assert heard.off_for(now) >= confirm - HAIR
            assert heard.closer_looks[-1] <= now - LOOK + HAIR
            wire = heard.sensor._pin  # type: ignore[attr-defined]
            assert not [each for each in wire.high_against_the_pull if each > now - LOOK]

    found = watch(wired(ups, absolute), ups, at + 1, lateness(0.002, seed), check)
    # No busy loop: one look a poll, two for each run that begins, and the closer ones.
    said = [mains for _, mains in found.heard.readings]
    runs = 1 + sum(one is not next_one for one, next_one in pairwise(said))
    assert len(said) <= 2 + (at + 1) / poll + 3 * runs


@given(confirms, polls, st.floats(0, 2))
def test_a_cut_wire_is_unknown_and_never_an_outage(confirm: float, poll: float, cut: float) -> None:
    ups, settled = rack(confirm, poll), BEFORE + confirm + 2 * poll
    story = [(settled + cut, "high"), (0.0, "cut")]
    found = watch(wired(ups, story), ups, settled + cut + confirm + poll + 12, lambda: 0.0)
    assert [state for _, state in found.changes] == [ON_MAINS, UNKNOWN]
    told = found.first(UNKNOWN) - 1000 - settled - cut
    assert told <= max(confirm, LOOK) + poll + SHORTEST + HAIR


@given(st.floats(0, LOOK), st.sampled_from([0.01, 0.05, 0.25]))
def test_mains_that_return_during_the_closer_look_stay_on(into: float, poll: float) -> None:
    ups = rack(0.6, poll)
    look = 1.0 + 0.6 - LOOK
    story = [(1.0, "high"), (look + into, "low"), (0.0, "high")]
    found = watch(wired(ups, story), ups, 4, lambda: 0.0)
    assert [state for _, state in found.changes] == [ON_MAINS]


class Hasty:
    """Always off, and its closer look is over sooner than it says."""

    patience = 5.0

    def __init__(self, poll: float, *, says: float, takes: float) -> None:
        self.poll, self.verify_takes, self._takes = poll, says, takes

    def describe(self) -> str:
        return "hasty"

    async def read(self) -> Reading:
        return OFF

    async def verify(self) -> Reading:
        await asyncio.sleep(self._takes)
        return OFF

    def close(self) -> None:
        pass


@pytest.mark.parametrize("takes", [0.0, 0.01, LOOK - 2 * SHORTEST])
@given(st.floats(0.1, 2), st.floats(0.01, 2))
def test_a_closer_look_that_was_over_too_soon_is_had_again(
    takes: float, confirm: float, poll: float
) -> None:
    """It opens nothing before `confirm`, and the next one is not put off for a whole poll."""
    ups = rack(confirm, poll)
    sensor = Hasty(poll, says=LOOK, takes=takes)
    found = watch(lambda _: sensor, ups, confirm + poll + 1, lambda: 0.0)
    opened = found.first(ON_BATTERY) - 1000
    assert confirm - HAIR <= opened <= confirm + takes + SHORTEST + HAIR
    assert 2 <= len(found.heard.closer_looks) <= 2 + LOOK / poll
