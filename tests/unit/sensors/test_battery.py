"""The sensor around the table: threads, memory, logs, and hosts that hang."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING

import pytest
from daemons import eventually
from supplies import Tree

from powmonman.config.sources import Battery, Ups
from powmonman.sensors import battery, create

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from powmonman.core.power import Reading
    from powmonman.sensors.power_supply import PowerSupply


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path, "thinkpad")


@pytest.fixture
def sensor(tree: Tree) -> Iterator[battery.BatterySensor]:
    sensor = battery.BatterySensor(Battery(root=str(tree.root)))
    yield sensor
    sensor.close()


def read(sensor: battery.BatterySensor) -> Reading:
    return asyncio.run(sensor.read())


def test_the_configuration_makes_it() -> None:
    sensor = create(Ups(sensor="battery", battery=Battery(root="/nowhere", poll=7)))
    assert (type(sensor), sensor.poll) == (battery.BatterySensor, 7)


def test_an_outage_from_plug_to_plug(tree: Tree, sensor: battery.BatterySensor) -> None:
    """The embedded controller is slower than the adapter: what lags behind is never an outage."""
    told = []
    for online, status, energy in [
        ("1", "Not charging", 65440000),
        ("0", "Not charging", 65440000),
        ("0", "Discharging", 65440000),
        ("0", "Discharging", 3000000),
        ("1", "Discharging", 3000000),
        ("1", "Charging", 3000000),
        ("0", "Charging", 3000000),
    ]:
        values = {"AC/online": online, "BAT0/status": status, "BAT0/energy_now": str(energy)}
        tree.set(values | {"BAT0/power_now": "10000000"})
        reading = read(sensor)
        told.append((reading.mains, reading.charge, reading.low_battery, reading.runtime))
    assert told == [
        (True, 94.5, False, None),
        (False, 94.5, False, None),
        (False, 94.5, False, 23558),
        (False, 4.3, True, 1080),
        (True, 4.3, False, None),
        (True, 4.3, False, None),
        (None, None, False, None),
    ]


def test_a_sensor_that_starts_in_an_outage_believes_the_battery_not_the_adapter(
    tree: Tree, sensor: battery.BatterySensor
) -> None:
    tree.set({"AC/online": "0"})
    assert read(sensor).mains is None
    tree.set({"BAT0/status": "Discharging"})
    assert read(sensor).mains is False


def test_a_battery_that_vanishes_in_an_outage_is_unknown(
    tree: Tree, sensor: battery.BatterySensor
) -> None:
    tree.set({"AC/online": "0", "BAT0/status": "Discharging"})
    assert read(sensor).mains is False
    tree.remove("BAT0")
    assert read(sensor).reason == "AC offline and the battery is gone; put it back, or see dmesg"


def test_a_wrong_root_is_unknown_and_names_the_setting(tmp_path: Path) -> None:
    reading = read(battery.BatterySensor(Battery(root=str(tmp_path / "gone"))))
    assert reading.reason == (
        f"{tmp_path}/gone: no such file or directory; this kernel shows no power supplies there: "
        "set `root`, or use another sensor"
    )


def test_a_root_that_is_no_directory_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    reading = read(battery.BatterySensor(Battery(root=str(tmp_path / "file"))))
    assert reading.reason == (
        f"{tmp_path}/file: not a directory; is `root` right, and may the service read it?"
    )


def test_supplies_to_ignore_come_from_the_configuration(tmp_path: Path) -> None:
    root = str(Tree(tmp_path, "macbook").root)
    assert read(battery.BatterySensor(Battery(root=root))).mains is True
    assert read(battery.BatterySensor(Battery(root=root, ignore=("sbs-charger",)))).mains is False


class SlowController:
    """A driver that answers only when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer = threading.Event()
        self.asked = 0
        self._read = battery.read_supplies
        monkeypatch.setattr(battery, "read_supplies", self.read_supplies)

    def read_supplies(self, root: Path, ignore: tuple[str, ...]) -> list[PowerSupply]:
        self.asked += 1
        supplies = self._read(root, ignore)
        assert self.answer.wait(30)
        return supplies


def test_a_slow_controller_does_not_hold_up_the_loop(
    sensor: battery.BatterySensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller = SlowController(monkeypatch)

    async def run() -> tuple[Reading, float]:
        reading = asyncio.create_task(sensor.read())
        longest, ticks = 0.0, 0
        while ticks < 50:
            before = time.perf_counter()
            await asyncio.sleep(0)
            longest, ticks = max(longest, time.perf_counter() - before), ticks + 1
        assert not reading.done()
        controller.answer.set()
        return await reading, longest

    reading, longest = asyncio.run(run())
    assert reading.mains is True
    assert longest < 1


def test_a_controller_that_hangs_is_asked_once_and_its_old_answer_is_not_taken(
    tree: Tree, sensor: battery.BatterySensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else every poll would take one more thread, and the disk would find none left."""
    controller = SlowController(monkeypatch)

    async def run() -> Reading:
        for _ in range(5):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(sensor.read(), 0.02)
        # Its thread may not even have begun.
        await asyncio.to_thread(eventually, "it is asked", lambda: controller.asked)
        assert controller.asked == 1
        tree.set({"AC/online": "0", "BAT0/status": "Discharging"})
        controller.answer.set()
        return await sensor.read()

    assert asyncio.run(run()).mains is False
    assert controller.asked == 2


def test_a_tree_that_is_not_the_kernels_has_no_events(
    sensor: battery.BatterySensor, tree: Tree
) -> None:
    read(sensor)
    assert sensor.describe() == (
        f"battery: power supplies in {tree.root}, "
        "polled every 2 s (no kernel events: not below /sys)"
    )


def test_how_changes_are_noticed_is_logged_once(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(battery, "KERNELS", tree.root)
    caplog.set_level(logging.INFO, "powmonman.sensors")
    sensor = battery.BatterySensor(Battery(root=str(tree.root), poll=0.5))
    before = sensor.describe()
    for _ in range(3):
        read(sensor)
    assert before == f"battery: power supplies in {tree.root}, polled every 0.5 s"
    assert caplog.messages == [sensor.describe()]
    assert "kernel events" in sensor.describe()
    sensor.close()
