"""The sensor `nut` against a real upsd with dummy-ups."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from daemons import eventually, needs
from reader import Reader
from upsd import DRIVER, UPSD, Upsd

from powmonman.config.sources import Nut
from powmonman.core.power import Reading
from powmonman.sensors.nut import NutSensor

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDED = Path(__file__).parents[2] / "recorded" / "nut"
DUMPS = {path.stem: path.read_text("utf-8") for path in sorted(RECORDED.glob("*.dev"))}


def nut(port: int, ups: str = "ups", **settings: Any) -> Reader:
    return Reader(lambda clock: NutSensor(Nut(port=port, ups=ups, **settings), clock))


@pytest.fixture(scope="module")
def upsd() -> Iterator[Upsd]:
    needs(UPSD, DRIVER, package="nut-server")
    with Upsd() as upsd:
        yield upsd


@pytest.fixture
def rack(upsd: Upsd) -> Iterator[Reader]:
    upsd.set_status("OL")
    upsd.set("battery.charge", "100")
    with nut(upsd.port) as made:
        yield made


@pytest.fixture(scope="module")
def collection() -> Iterator[Upsd]:
    needs(UPSD, DRIVER, package="nut-server")
    with Upsd(DUMPS) as upsd:
        yield upsd


DEVICES = {
    "apc-back-ups-es-700": Reading(mains=True, charge=100, runtime=1284, voltage=13.5),
    "apc-smart-ups-750-rb": Reading(
        mains=True,
        charge=97,
        runtime=540,
        voltage=27.44,
        reason="replace the battery, alarm: Replace battery!",
    ),
    "cyberpower-cp1500pfclcd": Reading(mains=False, charge=83, runtime=1242, voltage=23.1),
    "eaton-5e1100i": Reading(mains=False, charge=18, runtime=176, low_battery=True),
    "eaton-9px-bypass": Reading(
        mains=True,
        charge=100,
        runtime=2280,
        voltage=81.6,
        reason="bypass: the load is not protected, alarm: UPS on bypass! Manual bypass mode!",
    ),
    "megatec-line-interactive": Reading(mains=True, voltage=13.6),
}


def test_every_recorded_device_is_tried() -> None:
    assert set(DUMPS) == set(DEVICES)


@pytest.mark.parametrize("device", DEVICES)
def test_a_real_device_reads(collection: Upsd, device: str) -> None:
    with nut(collection.port, device) as made:
        assert made.read() == DEVICES[device]


@pytest.mark.parametrize(
    ("words", "mains", "low"),
    [
        ("OL CHRG", True, False),
        ("OB DISCHRG", False, False),
        ("OB LB", False, True),
        ("OL LB", True, False),
        ("FSD OB LB", False, True),
        ("FSD OL", True, False),
        ("OB CAL", True, False),
        ("OL BYPASS", True, False),
        ("OL TRIM", True, False),
        ("OL BOOST RB", True, False),
        ("OFF", None, False),
        ("OVER ALARM", None, False),
        ("OL OB", None, False),
        ("NONSENSE", None, False),
    ],
)
def test_the_reading_follows_the_status(
    upsd: Upsd, rack: Reader, words: str, mains: bool | None, low: bool
) -> None:
    upsd.set_status(words)
    said = rack.read()
    assert (said.mains, said.low_battery) == (mains, low)
    upsd.set_status("OL")
    assert rack.read().mains is True


def test_a_calibration_is_an_outage_once_the_charge_is_below_its_floor(upsd: Upsd) -> None:
    upsd.set_status("OB CAL")
    told = []
    with nut(upsd.port, calibration_floor=40.0) as made:
        for charge in ("90", "40", "39"):
            upsd.set("battery.charge", charge)
            told.append((said := made.read()).mains)
            assert said.charge == float(charge)
    assert told == [True, True, False]


def test_a_battery_that_drains_is_followed(upsd: Upsd, rack: Reader) -> None:
    upsd.set_status("OB DISCHRG")
    for charge, runtime in (("80", "900"), ("40.5", "450"), ("7", "60")):
        upsd.set("battery.charge", charge)
        upsd.set("battery.runtime", runtime)
        said = rack.read()
        assert (said.charge, said.runtime) == (float(charge), float(runtime))


def test_one_connection_serves_every_reading(rack: Reader) -> None:
    sensor = rack.sensor
    assert isinstance(sensor, NutSensor)
    ports = set()
    for _ in range(5):
        rack.read()
        assert sensor._peer._socket is not None
        ports.add(sensor._peer._socket.getsockname()[1])
    assert len(ports) == 1


def test_a_restart_of_upsd_between_two_readings_goes_unnoticed(
    upsd: Upsd, rack: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        assert rack.read().mains is True
        upsd.stop_upsd()
        upsd.start_upsd()
    assert rack.read().mains is True
    assert caplog.records == []


def test_while_upsd_is_gone_the_power_is_unknown(
    upsd: Upsd, rack: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rack.read()
    upsd.stop_upsd()
    for _ in range(3):
        said = rack.read()
        assert said.mains is None
        assert "nothing listens there; start upsd" in said.reason
    upsd.start_upsd()
    assert rack.read().mains is True
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_a_upsd_that_hangs_is_unknown_in_time_and_its_late_answer_is_dropped(
    upsd: Upsd, rack: Reader
) -> None:
    assert rack.read().mains is True
    with upsd.frozen():
        began = time.monotonic()
        said = rack.read()
        assert time.monotonic() - began < rack.sensor.patience
        assert said.mains is None
        assert "no answer within 3 s" in said.reason
    upsd.set_status("OB")
    assert rack.read().mains is False
    upsd.set_status("OL")
    assert rack.read().mains is True


def test_a_reading_that_is_given_up_never_repeats_an_old_answer(upsd: Upsd, rack: Reader) -> None:
    """The fault that aionut 4.3.4 has: from here on it is one answer behind."""

    async def story() -> list[bool | None]:
        told = [(await rack.look()).mains]
        with upsd.frozen():
            given_up = asyncio.ensure_future(rack.look())
            await asyncio.sleep(0.1)
            given_up.cancel()
            await asyncio.gather(given_up, return_exceptions=True)
        for words in ("OB", "OL", "OB"):
            await asyncio.to_thread(upsd.set_status, words)
            told.append((await rack.look()).mains)
        return told

    assert asyncio.run(story()) == [True, False, True, False]


def test_a_driver_that_dies_is_unknown_until_it_is_started(upsd: Upsd, rack: Reader) -> None:
    upsd.stop_driver()
    said = rack.read()
    assert said.mains is None
    assert "DRIVER-NOT-CONNECTED" in said.reason
    assert "; start it: systemctl restart nut-driver@ups" in said.reason
    upsd.start_driver()
    assert rack.read().mains is True


def test_a_driver_that_hangs_is_unknown_once_upsd_calls_its_data_stale() -> None:
    needs(UPSD, DRIVER, package="nut-server")
    with Upsd(max_age=1) as upsd, nut(upsd.port) as made:
        assert made.read().mains is True
        with upsd.frozen("driver ups"):
            upsd.await_stale()
            said = made.read()
            assert said.mains is None
            assert "(DATA-STALE); check its cable" in said.reason
        eventually("it reads again", lambda: made.read().mains is True)


def test_a_name_that_upsd_does_not_know_is_answered_with_those_it_knows(collection: Upsd) -> None:
    with nut(collection.port, "rack") as made:
        said = made.read()
    assert said.mains is None
    assert said.reason.endswith("set nut.ups to one that it knows: " + ", ".join(sorted(DUMPS)))


def test_several_upses_of_one_upsd_are_told_apart(collection: Upsd) -> None:
    names = ("apc-back-ups-es-700", "eaton-5e1100i")
    with nut(collection.port, names[0]) as first, nut(collection.port, names[1]) as second:
        assert (first.read().mains, second.read().mains) == (True, False)


def test_it_is_no_client_that_upsd_waits_for(upsd: Upsd, rack: Reader) -> None:
    """A shutdown by NUT's own upsmon waits for every client that has logged in."""
    rack.read()
    assert upsd.ask("GET NUMLOGINS ups").startswith("NUMLOGINS ups 0")
