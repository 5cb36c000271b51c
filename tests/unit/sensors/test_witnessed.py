"""Several sensors asked at once; what one of them does to itself, it does to nobody else."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from powmonman.config.sources import Gpio, Simulated, Source, Ups
from powmonman.core.power import Reading, unknown
from powmonman.sensors import create
from powmonman.sensors.witnessed import WitnessedSensor

if TYPE_CHECKING:
    from pathlib import Path

ON, OFF = Reading(mains=True), Reading(mains=False)


class Written:
    """Says what is written beforehand, or raises it, or says nothing for ever."""

    def __init__(
        self,
        said: Reading | Exception | None,
        closer: Reading | None = None,
        *,
        name: str = "written",
        poll: float = 1.0,
        patience: float = 5.0,
        verify_takes: float = 0.0,
    ) -> None:
        self._said, self._closer, self._name = said, closer, name
        self.poll, self.patience, self.verify_takes = poll, patience, verify_takes
        self.closed = 0
        self.cancelled = False

    def describe(self) -> str:
        return f"{self._name}: as written"

    async def read(self) -> Reading:
        if self._said is None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cancelled = True
                raise
        if isinstance(self._said, Exception):
            raise self._said
        assert self._said is not None
        return self._said

    async def verify(self) -> Reading:
        return self._closer or await self.read()

    def close(self) -> None:
        self.closed += 1


def read(sensor: WitnessedSensor) -> Reading:
    return asyncio.run(sensor.read())


def test_both_must_say_off() -> None:
    assert read(WitnessedSensor([Written(OFF), Written(OFF)])).mains is False
    assert read(WitnessedSensor([Written(OFF), Written(ON)])).mains is True
    assert read(WitnessedSensor([Written(OFF), Written(ON)], 1)).mains is False


def test_a_sensor_that_raises_is_unknown_and_the_others_are_heard() -> None:
    broken = Written(RuntimeError("chip gone"), name="gpio")
    together = read(WitnessedSensor([broken, Written(OFF), Written(OFF)], 2))
    assert together.mains is False
    together = read(WitnessedSensor([broken, Written(OFF, name="ping")]))
    assert (together.mains, together.reason) == (
        None,
        "ping says off, 2 must · gpio: the sensor failed: RuntimeError: chip gone",
    )


def test_a_sensor_that_hangs_is_unknown_after_its_own_time_and_the_others_are_heard() -> None:
    hung = Written(None, name="nut", patience=0.05)
    began = time.monotonic()
    together = read(WitnessedSensor([hung, Written(OFF, name="ping", patience=30)]))
    assert time.monotonic() - began < 10
    assert (together.mains, together.reason) == (
        None,
        "ping says off, 2 must · nut: the sensor did not answer within 0.05 s",
    )
    assert hung.cancelled


def test_the_closer_look_is_of_each() -> None:
    """A broken wire that only the wire check finds keeps the outage shut."""
    wire = Written(OFF, unknown("a broken wire"), name="gpio")
    sensor = WitnessedSensor([wire, Written(OFF, name="ping")])
    assert read(sensor).mains is False
    closer = asyncio.run(sensor.verify())
    assert (closer.mains, closer.reason) == (None, "ping says off, 2 must · gpio: a broken wire")


def test_it_is_as_slow_as_the_slowest_of_them() -> None:
    sensor = WitnessedSensor([Written(ON, poll=0.25, patience=6), Written(ON, poll=5, patience=2)])
    assert sensor.poll == 5
    assert 6 < sensor.patience <= 8


def test_its_closer_look_takes_as_long_as_the_longest_of_them() -> None:
    sensor = WitnessedSensor([Written(ON), Written(ON, verify_takes=0.04)])
    assert sensor.verify_takes == 0.04
    assert WitnessedSensor([Written(ON), Written(ON)]).verify_takes == 0


def test_closing_closes_all() -> None:
    class Stuck(Written):
        def close(self) -> None:
            super().close()
            raise RuntimeError("stuck")

    members = [Written(ON), Stuck(ON), Written(ON)]
    with pytest.raises(RuntimeError):
        WitnessedSensor(members).close()
    assert [member.closed for member in members] == [1, 1, 1]


def test_an_end_in_mid_read_ends_all() -> None:
    members = [Written(None), Written(None)]

    async def hurried() -> None:
        look = asyncio.ensure_future(WitnessedSensor(members).read())
        await asyncio.sleep(0.01)
        look.cancel()
        with pytest.raises(asyncio.CancelledError):
            await look

    asyncio.run(hurried())
    assert all(member.cancelled for member in members)


def test_an_end_before_the_first_step_is_quiet() -> None:
    """No coroutine is left that nobody ever awaits."""

    async def hurried(steps: int) -> None:
        look = asyncio.ensure_future(WitnessedSensor([Written(None), Written(ON)]).read())
        for _ in range(steps):
            await asyncio.sleep(0)
        look.cancel()
        with pytest.raises(asyncio.CancelledError):
            await look

    for steps in range(5):
        asyncio.run(hurried(steps))


def test_two_of_a_kind_are_told_apart() -> None:
    members = [Written(unknown("x"), name="simulated"), Written(unknown("y"), name="simulated")]
    assert read(WitnessedSensor(members)).reason == "simulated #1: x · simulated #2: y"


def test_a_name_is_short() -> None:
    gpio = Written(unknown("x"), name="GPIO17 (physical pin 11, ground on 9 or 14)")
    assert read(WitnessedSensor([gpio, Written(OFF, name="ping")])).reason == (
        "ping says off, 2 must · GPIO17: x"
    )


def test_the_configuration_makes_one(tmp_path: Path) -> None:
    files = [tmp_path / "one.yml", tmp_path / "two.yml"]
    for file in files:
        file.write_text("mains: off\n")
    first, second = (Simulated(file=str(file)) for file in files)
    ups = Ups(
        sensor="simulated",
        simulated=first,
        witnesses=(Source(sensor="simulated", simulated=second),),
    )
    sensor = create(ups)
    assert sensor.describe().startswith("2 of 2 must say off: simulated: mains as ")
    assert asyncio.run(sensor.read()).mains is False
    files[1].write_text("mains: on\ncharge: 50\n")
    assert asyncio.run(sensor.read()).mains is True


def test_the_description_says_how_many_must_agree() -> None:
    members = [Written(ON, name=name) for name in ("gpio", "nut", "ping")]
    assert WitnessedSensor(members, 2).describe() == (
        "2 of 3 must say off: gpio: as written · nut: as written · ping: as written"
    )


def test_a_sensor_without_witnesses_stands_alone() -> None:
    assert not isinstance(create(Ups(sensor="gpio", gpio=Gpio(pin=17))), WitnessedSensor)


class Alerting(Written):
    """Has news when it is told so."""

    def __init__(self) -> None:
        super().__init__(ON)
        self.news = asyncio.Event()
        self.left_alone = False

    async def wait(self) -> None:
        try:
            await self.news.wait()
        finally:
            self.left_alone = True


def test_news_of_one_sensor_are_news_of_all() -> None:
    async def run() -> None:
        quiet, loud = Alerting(), Alerting()
        waiting = asyncio.ensure_future(WitnessedSensor([Written(ON), quiet, loud]).wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        loud.news.set()
        await asyncio.wait_for(waiting, 5)
        assert quiet.left_alone

    asyncio.run(run())


def test_sensors_without_news_are_waited_for_in_vain() -> None:
    async def run() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(WitnessedSensor([Written(ON), Written(ON)]).wait(), 0.05)

    asyncio.run(run())
