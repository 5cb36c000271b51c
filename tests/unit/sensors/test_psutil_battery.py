"""The battery by psutil: a psutil that says what we like, and the real one's interface."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
import pytest
from supplies import Tree

from powmonman.config.sources import Battery
from powmonman.core.power import Reading
from powmonman.sensors import battery, psutil_battery

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

UNKNOWN, UNLIMITED = psutil.POWER_TIME_UNKNOWN, psutil.POWER_TIME_UNLIMITED


class Told(NamedTuple):
    """What psutil answers."""

    percent: Any
    secsleft: Any
    power_plugged: Any


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a psutil into place that answers so, or raises so."""

    def put(answer: Any = None, error: Exception | None = None) -> None:
        module: Any = ModuleType("psutil")

        def sensors_battery() -> Any:
            if error:
                raise error
            return answer

        module.sensors_battery = sensors_battery
        monkeypatch.setitem(sys.modules, "psutil", module)

    return put


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ((80, 3600, False), Reading(mains=False, charge=80, runtime=3600)),
        ((10, 300, False), Reading(mains=False, charge=10, runtime=300, low_battery=True)),
        ((5, UNLIMITED, True), Reading(mains=True, charge=5)),
        ((100, UNKNOWN, False), Reading(mains=False, charge=100)),
        ((100, 4_294_967_295, True), Reading(mains=True, charge=100)),
        ((255, UNKNOWN, True), Reading(mains=True)),
        ((None, None, False), Reading(mains=False)),
        ((float("nan"), float("inf"), 0), Reading(mains=False)),
    ],
)
def test_what_psutil_tells_becomes_a_reading(told: tuple[Any, Any, Any], expected: Reading) -> None:
    assert psutil_battery.reading(Told(*told), 10.0) == expected


def test_a_plug_that_is_not_known_is_unknown(install: Callable[..., None]) -> None:
    install(Told(50, UNKNOWN, None))
    assert psutil_battery.read(10.0).mains is None


def test_no_battery_is_unknown_and_names_the_way_out(install: Callable[..., None]) -> None:
    install(None)
    assert psutil_battery.read(10.0).reason == (
        "psutil finds no battery in this host; use another sensor"
    )


def test_a_psutil_that_fails_is_unknown_with_what_it_said(install: Callable[..., None]) -> None:
    install(error=OSError("the service is down"))
    assert "OSError: the service is down; " in psutil_battery.read(10.0).reason


def test_without_psutil_the_reason_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert psutil_battery.read(10.0).reason == (
        "psutil is not installed; pip install 'powmonman[battery]'"
    )


def test_a_system_that_psutil_knows_no_batteries_of_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psutil", ModuleType("psutil"))
    assert "knows no batteries" in psutil_battery.read(10.0).reason


def test_the_real_psutil_is_called_as_it_wants_to_be() -> None:
    """Whether this machine has a battery or not: its answer is understood."""
    real = psutil.sensors_battery()
    reading = psutil_battery.read(10.0)
    if real is None:
        assert (reading.mains, "no battery" in reading.reason) == (None, True)
    else:
        assert reading.mains is real.power_plugged


@pytest.mark.skipif(sys.platform != "linux", reason="psutil reads files on Linux alone")
def test_the_real_psutils_battery_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree(tmp_path, "thinkpad")
    monkeypatch.setattr("psutil._pslinux.POWER_SUPPLY_PATH", str(tree.root))
    on = psutil_battery.read(10.0)
    tree.set({"AC/online": "0", "BAT0/status": "Discharging", "BAT0/power_now": "65440000"})
    off = psutil_battery.read(95.0)
    assert (on.mains, round(on.charge or 0), on.runtime, on.low_battery) == (True, 95, None, False)
    assert (off.mains, off.runtime, off.low_battery) == (False, 3600, True)


@pytest.mark.parametrize("platform", ["darwin", "win32", "freebsd14"])
def test_off_linux_the_sensor_asks_psutil(platform: str, install: Callable[..., None]) -> None:
    install(Told(42, 600, False))
    sensor = battery.BatterySensor(Battery(root="/nowhere"), platform)
    assert asyncio.run(sensor.read()) == Reading(mains=False, charge=42, runtime=600)
    assert sensor.describe() == "battery: by psutil, polled every 2 s"
    sensor.close()
