"""From readings to what the server is told, whatever the sensor does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from powmonman.config.schema import ServerConfig
from powmonman.config.sources import Ups
from powmonman.core.power import PowerState, Reading
from powmonman.server import monitor as module
from powmonman.server.monitor import Monitor, supply_for
from powmonman.service.clock import boottime

if TYPE_CHECKING:
    from collections.abc import Callable

    from powmonman.core.gauge import Gauge

UPS = Ups(confirm=0.0, restore_confirm=0.0)


class Sensor:
    """Gives readings that are written beforehand, the last one for ever."""

    poll = 0.0
    patience = 5.0
    verify_takes = 0.0

    def __init__(self, *readings: Reading | BaseException | None) -> None:
        self._readings = list(readings)
        self.closed = False
        self.at_each_read: Callable[[], object] = lambda: None

    def describe(self) -> str:
        return "written"

    async def read(self) -> Reading:
        self.at_each_read()
        reading = self._readings.pop(0) if len(self._readings) > 1 else self._readings[0]
        if reading is None:
            await asyncio.sleep(60)
        if isinstance(reading, BaseException):
            raise reading
        assert reading is not None
        return reading

    async def verify(self) -> Reading:
        return await self.read()

    def close(self) -> None:
        self.closed = True


ON, OFF = Reading(mains=True), Reading(mains=False)


def watch(sensor: Sensor, until: int, ups: Ups = UPS) -> list[tuple[PowerState, str]]:
    """Return the first `until` changes that are told, with the reason."""
    told: list[tuple[PowerState, str]] = []

    async def run() -> None:
        enough = asyncio.Event()

        async def changed(monitor: Monitor) -> None:
            told.append((monitor.supply.state, monitor.supply.reading.reason))
            if len(told) == until:
                enough.set()

        supply = supply_for(ups, sensor, ServerConfig())
        monitor = Monitor("ups", ups, sensor, supply, changed)
        task = asyncio.create_task(monitor.run())
        await asyncio.wait_for(enough.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert sensor.closed
    return told


def test_each_change_is_told_once() -> None:
    sensor = Sensor(ON, ON, OFF, OFF, OFF, ON, ON)
    assert [state for state, _ in watch(sensor, 3)] == ["on_mains", "on_battery", "on_mains"]


def test_a_sensor_that_raises_is_unknown_with_the_reason() -> None:
    sensor = Sensor(ON, RuntimeError("chip gone"), ON)
    assert watch(sensor, 3) == [
        (PowerState.ON_MAINS, ""),
        (PowerState.UNKNOWN, "the sensor failed: RuntimeError: chip gone"),
        (PowerState.ON_MAINS, ""),
    ]


def test_a_sensor_that_hangs_is_unknown_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sensor, "patience", 0.05)
    assert watch(Sensor(ON, None, ON), 3)[1] == (
        PowerState.UNKNOWN,
        "the sensor did not answer within 0.05 s",
    )


@pytest.mark.parametrize("delay", range(6))
def test_a_monitor_ends_at_whatever_moment_it_is_told_to(delay: int) -> None:
    """Else a server would never stop, and after a reload an old monitor would go on beside."""

    async def run() -> None:
        sensor = Sensor(ON)
        supply = supply_for(UPS, sensor, ServerConfig())
        monitor = Monitor("ups", UPS, sensor, supply, ignore)
        task = asyncio.create_task(monitor.run())
        steps = iter(range(1000))

        def cancel_in(left: int) -> None:
            if left:
                asyncio.get_running_loop().call_soon(cancel_in, left - 1)
            else:
                task.cancel()

        sensor.at_each_read = lambda: cancel_in(delay) if next(steps) == 3 else None
        await asyncio.wait([task], timeout=2)
        assert task.cancelled()
        assert sensor.closed

    asyncio.run(run())


async def ignore(_: Monitor) -> None:
    pass


def test_watching_is_known_to_go_on_until_it_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    supply = supply_for(UPS, Sensor(ON), ServerConfig())
    monitor = Monitor("ups", UPS, Sensor(ON), supply, ignore)
    assert monitor.looking
    asyncio.run(monitor._look())
    assert monitor.looking
    now = boottime()
    monkeypatch.setattr(module, "boottime", lambda: now + 12)
    assert not monitor.looking


class Alarm(Sensor):
    """Hears of a change, or fails to listen; polled once a minute."""

    poll = 60.0

    def __init__(self, *readings: Reading, fault: Exception | None = None) -> None:
        super().__init__(*readings)
        self._fault = fault

    async def wait(self) -> None:
        if self._fault:
            raise self._fault


def test_a_sensor_that_hears_of_a_change_is_read_at_once() -> None:
    assert [state for state, _ in watch(Alarm(ON, OFF, OFF, ON), 3)] == [
        "on_mains",
        "on_battery",
        "on_mains",
    ]


def test_a_sensor_that_hears_nothing_is_polled(monkeypatch: pytest.MonkeyPatch) -> None:
    async def deaf(_: Sensor) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Alarm, "wait", deaf)
    monkeypatch.setattr(Alarm, "poll", 0.05)
    assert [state for state, _ in watch(Alarm(ON, OFF), 2)] == ["on_mains", "on_battery"]


def test_a_sensor_that_fails_to_listen_is_polled_no_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Alarm, "poll", 0.2)
    began = boottime()
    told = watch(Alarm(ON, OFF, fault=RuntimeError("deaf")), 2)
    assert [state for state, _ in told] == ["on_mains", "on_battery"]
    assert boottime() - began >= 0.19


def test_a_change_that_is_due_sooner_than_the_next_poll_does_not_wait_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Confirmed is after `confirm`, however seldom the sensor is polled."""
    monkeypatch.setattr(Sensor, "poll", 60.0)
    began = boottime()
    ups = Ups(confirm=0.05, restore_confirm=0.05)
    assert watch(Sensor(OFF), 2, ups)[1] == (PowerState.ON_BATTERY, "")
    assert 0.05 <= boottime() - began < 10


async def run_until(event: asyncio.Event, monitor: Monitor) -> None:
    task = asyncio.create_task(monitor.run())
    await asyncio.wait_for(event.wait(), 10)
    task.cancel()
    await asyncio.wait([task])


def test_a_change_that_became_due_right_after_a_look_does_not_wait_for_the_next_poll(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What took the time was telling another change, or whatever else the server did."""
    monkeypatch.setattr(Sensor, "poll", 60.0)
    ups, sensor = Ups(confirm=0.05, restore_confirm=0.05), Sensor(ON)
    told: list[PowerState] = []

    async def run() -> None:
        known = asyncio.Event()

        async def changed(monitor: Monitor) -> None:
            told.append(monitor.supply.state)
            if monitor.supply.state is PowerState.ON_MAINS:
                known.set()
            await asyncio.sleep(0.1)

        supply = supply_for(ups, sensor, ServerConfig())
        await run_until(known, Monitor("ups", ups, sensor, supply, changed))

    asyncio.run(run())
    assert told == [PowerState.UNKNOWN, PowerState.ON_MAINS]


def test_a_battery_is_not_believed_for_being_looked_at_between_two_polls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The look that confirms the loss comes too soon after the last one to confirm its charge."""
    monkeypatch.setattr(Sensor, "poll", 60.0)
    empty = Reading(mains=False, charge=0.0, low_battery=True)
    believed: list[Gauge] = []

    async def run() -> None:
        ups, sensor = Ups(confirm=0.05, restore_confirm=0.05), Sensor(empty)
        told = asyncio.Event()

        async def changed(monitor: Monitor) -> None:
            if monitor.supply.state is PowerState.ON_BATTERY:
                believed.append(monitor.supply.gauge)
                told.set()

        supply = supply_for(ups, sensor, ServerConfig())
        await run_until(told, Monitor("ups", ups, sensor, supply, changed))

    asyncio.run(run())
    assert [(None, False)] == [(gauge.charge, gauge.low_battery) for gauge in believed]
