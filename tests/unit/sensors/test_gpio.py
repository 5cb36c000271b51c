"""What is special about a wire on a pin: the wire check, the library, the ways it fails."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from powmonman.config.sources import Gpio, Ups
from powmonman.sensors import create, remedies
from powmonman.sensors.gpio import CHECK_AGAIN, LAST_RETRY, GpioSensor

if TYPE_CHECKING:
    from powmonman.core.power import Reading

DOWN, UP = 21, 22


def read(sensor: GpioSensor) -> Reading:
    return asyncio.run(sensor.read())


def verify(sensor: GpioSensor) -> Reading:
    return asyncio.run(sensor.verify())


async def turned(board: Any) -> None:
    for _ in range(100_000):
        if board.pulls.get(17) == UP:
            return
        await asyncio.sleep(0)


def test_a_cut_wire_reads_off_but_a_closer_look_finds_it(board: Any) -> None:
    sensor = GpioSensor(Gpio(pin=17))
    board.wire(17, "cut")
    assert read(sensor).mains is False
    reading = verify(sensor)
    assert reading.mains is None
    assert "nothing drives it: a broken wire" in reading.reason
    assert "wire_check: false" in reading.reason


def test_the_closer_look_turns_the_pull_back(board: Any) -> None:
    sensor = GpioSensor(Gpio(pin=17))
    board.wire(17, "cut")
    verify(sensor)
    assert board.pulls[17] == DOWN


def test_a_broken_wire_stays_unknown_with_its_reason(board: Any, clock: Any) -> None:
    sensor = GpioSensor(Gpio(pin=17), clock)
    board.wire(17, "cut")
    found = verify(sensor)
    for _ in range(100):
        clock.now += 0.25
        assert read(sensor) == found


def test_a_wire_mended_on_good_mains_reads_on_at_once(board: Any, clock: Any) -> None:
    sensor = GpioSensor(Gpio(pin=17), clock)
    board.wire(17, "cut")
    verify(sensor)
    board.wire(17, "high")
    assert read(sensor).mains is True
    board.wire(17, "low")
    assert read(sensor).mains is False


def test_a_wire_mended_in_an_outage_reads_off_within_5_s(board: Any, clock: Any) -> None:
    sensor = GpioSensor(Gpio(pin=17), clock)
    board.wire(17, "cut")
    verify(sensor)
    board.wire(17, "low")
    assert read(sensor).mains is None
    clock.now += CHECK_AGAIN
    assert read(sensor).mains is False


def test_a_closer_look_that_is_cut_short_leaves_no_pull_up_behind(board: Any) -> None:
    sensor = GpioSensor(Gpio(pin=17))
    board.wire(17, "cut")

    async def hurried() -> Reading:
        look = asyncio.ensure_future(sensor.verify())
        await turned(board)
        look.cancel()
        await asyncio.gather(look, return_exceptions=True)
        return await sensor.read()

    assert asyncio.run(hurried()).mains is False
    assert board.pulls[17] == DOWN


def test_nobody_reads_the_level_while_the_pull_is_turned(board: Any) -> None:
    """With the pull-up a cut wire would read as mains on."""
    sensor = GpioSensor(Gpio(pin=17))
    board.wire(17, "cut")
    read(sensor)

    async def both() -> Reading:
        look = asyncio.ensure_future(sensor.verify())
        await turned(board)
        reading = await sensor.read()
        assert look.done()
        return reading

    assert asyncio.run(both()).mains is None
    assert board.pulls[17] == DOWN


def test_mains_that_return_during_the_closer_look_are_on(board: Any) -> None:
    sensor = GpioSensor(Gpio(pin=17))
    board.wire(17, "low")

    async def returned() -> Reading:
        look = asyncio.ensure_future(sensor.verify())
        await turned(board)
        board.wire(17, "high")
        return await look

    assert asyncio.run(returned()).mains is True


def test_one_high_among_the_looks_gives_a_loose_wire_away(board: Any) -> None:
    """Loose, beside a mains cable: low at most looks, high at some."""
    sensor = GpioSensor(Gpio(pin=17))
    board.wire(17, "hum")
    assert read(sensor).mains is False
    assert verify(sensor).mains is None


@pytest.mark.parametrize(
    ("settings", "cut_wire_reads"),
    [
        (Gpio(pin=17, wire_check=False), False),
        (Gpio(pin=17, pull="up"), True),
        (Gpio(pin=17, active_low=True, pull="up"), False),
    ],
)
def test_where_the_wire_check_can_not_tell_it_is_not_made(
    board: Any, settings: Gpio, cut_wire_reads: bool
) -> None:
    sensor = GpioSensor(settings)
    board.wire(17, "cut")
    read(sensor)
    before = board.claims[17]
    assert verify(sensor).mains is cut_wire_reads
    assert board.claims[17] == before
    assert sensor.verify_takes == 0


@pytest.mark.parametrize("pull", ["down", "off"])
def test_the_closer_look_takes_no_less_than_it_says(
    board: Any, pull: Literal["down", "off"]
) -> None:
    """It is begun so much before an outage is due, and may not be over before that."""
    sensor = GpioSensor(Gpio(pin=17, pull=pull))
    board.wire(17, "low")
    assert read(sensor).mains is False
    began = time.monotonic()
    assert verify(sensor).mains is False
    assert time.monotonic() - began >= sensor.verify_takes > 0.03


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Gpio(), "wire check on"),
        (Gpio(pull="off"), "wire check on"),
        (Gpio(wire_check=False), "no wire check, a cut wire reads as an outage"),
        (
            Gpio(active_low=True, pull="up"),
            "no wire check (it can't tell on this circuit), a cut wire reads as an outage",
        ),
        (
            Gpio(active_low=True, pull="off"),
            "no wire check (it can't tell on this circuit), a cut wire reads as it floats",
        ),
        (
            Gpio(pull="up"),
            "no wire check (it can't tell on this circuit), a cut wire reads as mains on",
        ),
    ],
)
def test_the_description_says_what_becomes_of_a_cut_wire(settings: Gpio, words: str) -> None:
    assert f", {words};" in GpioSensor(settings).describe()


def test_active_low_with_a_pull_down_is_refused() -> None:
    """An opto-isolator that opens would read as mains on for ever."""
    with pytest.raises(ValueError, match="active_low needs `pull: up`"):
        GpioSensor(Gpio(active_low=True, pull="down"))


def test_a_pin_that_is_no_gpio_is_refused_before_anything_is_touched() -> None:
    with pytest.raises(ValueError, match="pin 40 is no GPIO"):
        create(Ups(gpio=Gpio(pin=40)))


def test_the_log_names_pin_ground_library_and_version(
    board: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    board.library = "RPi.GPIO"
    board.wire(4, "high")
    read(GpioSensor(Gpio()))
    assert caplog.messages[0].startswith(
        "GPIO4 (physical pin 7, ground on 9 or 6): high while the mains are on, pull down"
    )
    assert caplog.messages[0].endswith("read every 0.25 s by RPi.GPIO (API 0.7.1)")


def test_a_pin_that_is_pulled_up_on_the_board_is_warned_of(
    board: Any, caplog: pytest.LogCaptureFixture
) -> None:
    board.wire(3, "high")
    read(GpioSensor(Gpio(pin=3)))
    assert [record.levelname for record in caplog.records if "fixed" in record.message] == [
        "WARNING"
    ]


def test_a_fault_is_logged_once_and_so_is_its_end(
    board: Any, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sensor = GpioSensor(Gpio(pin=17), clock)
    board.wire(17, "high")
    board.busy.add(17)
    for _ in range(100):
        assert read(sensor).mains is None
        clock.now += 0.25
    board.busy.clear()
    clock.now += LAST_RETRY
    assert read(sensor).mains is True
    told = [(record.levelname, record.message.split(": ")[-1]) for record in caplog.records]
    assert [level for level, _ in told] == ["WARNING", "INFO", "INFO"]
    assert told[0][1] == "gpioinfo names it"
    assert told[2][1].endswith("can be read again")


def test_a_lasting_fault_is_tried_again_ever_less_often(board: Any, clock: Any) -> None:
    """After 1, 2, 4 and 8 s, then every 10 s."""
    sensor = GpioSensor(Gpio(pin=17), clock)
    board.busy.add(17)
    tried = []
    for quarter in range(4 * 60):
        clock.now = 1000 + quarter / 4
        before = board.claims[17]
        read(sensor)
        if board.claims[17] > before:
            tried.append(quarter / 4)
    assert tried == [0, 1, 3, 7, 15, 25, 35, 45, 55]


def test_the_fault_is_reported_with_its_reason_between_the_tries_too(
    board: Any, clock: Any
) -> None:
    sensor = GpioSensor(Gpio(pin=4), clock)
    board.busy.add(4)
    first = read(sensor).reason
    assert first.startswith(
        "GPIO4 (physical pin 7, ground on 9 or 6): GPIO busy; something else holds GPIO4: "
        "gpioinfo names it; 1-Wire takes GPIO4"
    )
    clock.now += 0.25
    assert read(sensor).reason == first


def test_a_library_that_is_installed_later_is_found(board: Any, clock: Any) -> None:
    sensor = GpioSensor(Gpio(pin=17), clock)
    board.installed = False
    board.wire(17, "high")
    assert "apt install python3-rpi-lgpio" in read(sensor).reason
    board.installed = True
    clock.now += LAST_RETRY
    assert read(sensor).mains is True


def test_without_permission_the_group_is_named(board: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remedies, "remedy", lambda *_: "join group gpio")
    board.permitted = False
    reading = read(GpioSensor(Gpio(pin=17)))
    assert reading.mains is None
    assert reading.reason.endswith("can not open gpiochip; join group gpio")


@pytest.mark.parametrize("library", ["rpi-lgpio", "RPi.GPIO"])
def test_closing_one_sensor_leaves_the_others_reading(board: Any, library: str) -> None:
    board.library = library
    one, other = GpioSensor(Gpio(pin=17)), GpioSensor(Gpio(pin=27))
    board.wire(17, "high")
    board.wire(27, "high")
    assert (read(one).mains, read(other).mains) == (True, True)
    one.close()
    assert board.pulls == {27: DOWN}
    assert read(other).mains is True


def test_a_fault_on_one_pin_leaves_the_others_reading(board: Any) -> None:
    sound, busy = GpioSensor(Gpio(pin=17)), GpioSensor(Gpio(pin=27))
    board.wire(17, "high")
    board.busy.add(27)
    assert read(sound).mains is True
    assert read(busy).mains is None
    assert read(sound).mains is True


def test_all_sensors_come_back_with_the_chip(board: Any, clock: Any) -> None:
    sensors = [GpioSensor(Gpio(pin=pin), clock) for pin in (17, 22, 27)]
    for pin in (17, 22, 27):
        board.wire(pin, "high")
    assert [read(sensor).mains for sensor in sensors] == [True, True, True]
    board.remove_chip()
    assert [read(sensor).mains for sensor in sensors] == [None, None, None]
    board.restore_chip()
    clock.now += LAST_RETRY
    assert [read(sensor).mains for sensor in sensors] == [True, True, True]


def test_the_library_does_not_move_the_process(board: Any, tmp_path: Path) -> None:
    """Importing lgpio makes LG_WD the working directory of the whole process."""
    board.wire(17, "high")
    read(GpioSensor(Gpio(pin=17)))
    assert Path.cwd() == tmp_path


def test_lgpio_gets_a_directory_that_it_can_write_to(
    board: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A first failure would last until the process ends: lgpio keeps the directory."""
    monkeypatch.setenv("LG_WD", str(tmp_path / "absent"))
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path / 'run'}:/elsewhere")
    board.wire(17, "high")
    assert read(GpioSensor(Gpio(pin=17))).mains is True
    assert os.environ["LG_WD"] == str(tmp_path / "run")
