"""The sensor `apcupsd` against a real apcupsd whose UPS is on a pseudo-terminal."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from apcupsd import (
    APCUPSD,
    CAL,
    HOW_TO_GET_IT,
    LOWBATT,
    ONBATT,
    ONLINE,
    TRIM,
    Apcupsd,
    SmartUps,
)
from daemons import needs
from reader import Reader

from powmonman.config import sources
from powmonman.core.power import Reading
from powmonman.sensors.apcupsd import ApcupsdSensor

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def line() -> Iterator[SmartUps]:
    with SmartUps() as ups:
        yield ups


@pytest.fixture(scope="module")
def daemon(line: SmartUps) -> Iterator[Apcupsd]:
    needs(APCUPSD, package=HOW_TO_GET_IT)
    # None of its own limits: it goes down only where a test wants it.
    with Apcupsd(line.line, "BATTERYLEVEL -1", "MINUTES -1") as daemon:
        yield daemon


@pytest.fixture
def ups(line: SmartUps, daemon: Apcupsd) -> SmartUps:
    line.say()
    daemon.await_status(lambda said: said["STATUS"] == "ONLINE" and said["BCHARGE"][:2] == "98")
    return line


def desk_of(daemon: Apcupsd) -> Reader:
    settings = sources.Apcupsd(port=daemon.port)
    return Reader(lambda clock: ApcupsdSensor(settings, clock))


@pytest.fixture
def desk(daemon: Apcupsd) -> Iterator[Reader]:
    with desk_of(daemon) as desk:
        yield desk


def await_bits(daemon: Apcupsd, bits: int) -> None:
    daemon.await_status(lambda said: int(said["STATFLAG"], 16) & 0xFF == bits)


@pytest.mark.usefixtures("ups")
def test_charge_runtime_and_voltage_are_read(desk: Reader) -> None:
    expected = Reading(mains=True, charge=98.0, runtime=45 * 60, voltage=27.2)
    assert expected == desk.read()


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (ONLINE | TRIM, Reading(mains=True)),
        (ONBATT, Reading(mains=False)),
        (ONBATT | LOWBATT, Reading(mains=False, low_battery=True)),
        (ONLINE | LOWBATT, Reading(mains=True, reason="low battery (LB): ignored on mains")),
        (ONBATT | CAL, Reading(mains=True, reason="calibration")),
    ],
)
def test_the_reading_follows_the_ups(
    ups: SmartUps, daemon: Apcupsd, desk: Reader, bits: int, expected: Reading
) -> None:
    ups.say(status=bits, charge=60, minutes=20)
    await_bits(daemon, bits)
    assert replace(expected, charge=60.0, runtime=1200.0, voltage=27.2) == desk.read()


def test_a_calibration_is_an_outage_once_the_charge_is_below_its_floor(
    ups: SmartUps, daemon: Apcupsd, desk: Reader
) -> None:
    ups.say(status=ONBATT | CAL, charge=19)
    await_bits(daemon, ONBATT | CAL)
    assert desk.read().mains is False


@pytest.mark.usefixtures("ups")
def test_one_connection_serves_every_reading(desk: Reader) -> None:
    sensor = desk.sensor
    assert isinstance(sensor, ApcupsdSensor)
    ports = set()
    for _ in range(5):
        desk.read()
        assert sensor._peer._socket is not None
        ports.add(sensor._peer._socket.getsockname()[1])
    assert len(ports) == 1


@pytest.mark.usefixtures("ups")
def test_while_apcupsd_is_gone_the_power_is_unknown(
    daemon: Apcupsd, desk: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert desk.read().mains is True
    daemon.stop()
    for _ in range(3):
        said = desk.read()
        assert said.mains is None
        assert "nothing listens there; start apcupsd" in said.reason
    daemon.start()
    assert desk.read().mains is True
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


@pytest.mark.usefixtures("ups")
def test_an_apcupsd_that_hangs_is_unknown_in_time(daemon: Apcupsd, desk: Reader) -> None:
    assert desk.read().mains is True
    with daemon.frozen():
        began = time.monotonic()
        said = desk.read()
        assert time.monotonic() - began < desk.sensor.patience
    assert said.mains is None
    assert "no answer within 3 s" in said.reason
    assert desk.read().mains is True


def test_a_reading_that_is_given_up_never_repeats_an_old_answer(
    ups: SmartUps, daemon: Apcupsd, desk: Reader
) -> None:
    async def story() -> bool | None:
        await desk.look()
        with daemon.frozen():
            given_up = asyncio.ensure_future(desk.look())
            await asyncio.sleep(0.1)
            given_up.cancel()
            await asyncio.gather(given_up, return_exceptions=True)
        ups.say(status=ONBATT)
        await asyncio.to_thread(await_bits, daemon, ONBATT)
        return (await desk.look()).mains

    assert asyncio.run(story()) is False


def test_a_cut_serial_line_is_unknown_once_apcupsd_says_so(
    ups: SmartUps, daemon: Apcupsd, desk: Reader
) -> None:
    ups.silent = True
    daemon.await_status(lambda said: said["STATUS"] == "COMMLOST")
    said = desk.read()
    ups.silent = False
    assert said.mains is None
    assert "the UPS does not answer its driver; see what it says: apcaccess" in said.reason
    daemon.await_status(lambda said: said["STATUS"] == "ONLINE")
    assert desk.read().mains is True


def test_an_apcupsd_that_shuts_its_own_host_down_counts_as_low_battery() -> None:
    needs(APCUPSD, package=HOW_TO_GET_IT)
    with (
        SmartUps() as ups,
        Apcupsd(ups.line, "BATTERYLEVEL 5", "MINUTES -1") as daemon,
        desk_of(daemon) as desk,
    ):
        ups.say(status=ONBATT, charge=4)
        daemon.await_status(lambda said: said["STATUS"] == "SHUTTING DOWN")
        said = desk.read()
        assert (said.mains, said.low_battery, said.charge) == (False, True, 4.0)
        ups.say()
        await_bits(daemon, ONLINE)
        said = desk.read()
        assert (said.mains, said.low_battery) == (True, False)
        assert said.reason.endswith("(FSD): ignored on mains")
