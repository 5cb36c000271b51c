"""The 2009 script, today: a laptop on a tree of power supplies, and its battery drains."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from powmonman.service.clock import boottime

from .daemon import sleep_until, wait_for
from .stage import together

if TYPE_CHECKING:
    from .daemon import Daemon
    from .fleet import Fleet

FULL = 5_200_000  # µAh


class Laptop:
    """An adapter and a battery, as the kernel shows them, and the guard that watches them."""

    def __init__(self, fleet: Fleet, **changes: object) -> None:
        policy = {"min_observe": 1, "confirm": 0.3}
        self.guard: Daemon = fleet.guard("save", ups=None, policy=policy)
        self._tree = self.guard.directory / "power_supply"
        adapter = {"type": "Mains", "online": 1}
        battery = {
            "type": "Battery",
            "present": 1,
            "charge_full": FULL,
            "voltage_now": 12_350_000,
            "status": "Full",
        }
        for name, files in {"AC": adapter, "BAT0": battery}.items():
            (self._tree / name).mkdir(parents=True)
            for file, value in files.items():
                self._write(f"{name}/{file}", value)
        self.charge(80)
        self.guard.configure(
            ups={
                "battery": {"root": str(self._tree), "poll": 0.1},
                "confirm": 0.3,
                "restore_confirm": 0.3,
            },
            **changes,
        )
        self._fleet = fleet
        self.guard.start().says("INFO +on mains")

    def _write(self, file: str, value: object) -> None:
        """Replace a file in one step: the kernel never shows half of a value."""
        descriptor, temporary = tempfile.mkstemp(dir=self.guard.directory)
        with os.fdopen(descriptor, "w", encoding="ascii") as new:
            os.fchmod(new.fileno(), 0o644)
            new.write(f"{value}\n")
        Path(temporary).replace(self._tree / file)

    def charge(self, percent: float) -> None:
        """Set the charge."""
        self._write("BAT0/charge_now", round(FULL * percent / 100))

    def adapter(self, *, plugged: bool) -> float:
        """Plug the adapter in or out; return when."""
        self._write("AC/online", int(plugged))
        self._write("BAT0/status", "Charging" if plugged else "Discharging")
        return boottime()

    @property
    def published(self) -> dict[str, object]:
        """What the server part knows of the battery."""
        (ups,) = self._fleet.report(self.guard)["upses"].values()
        return dict(ups)

    def drains_to(self, percent: float) -> None:
        """Set the charge, and wait until it is known."""
        self.charge(percent)
        wait_for(f"{percent} %", lambda: self.published["charge"] == percent)


@together
def test_an_unplugged_adapter_is_seen_with_charge_and_voltage(fleet: Fleet) -> None:
    laptop = Laptop(fleet)
    laptop.adapter(plugged=False)
    laptop.guard.says("WARNING on battery · outage")
    wait_for("the charge at the start", lambda: laptop.published["charge_at_start"] == 80)
    assert laptop.published["voltage"] == 12.35


@together
def test_half_of_the_charge_at_the_start_shuts_the_laptop_down(fleet: Fleet) -> None:
    laptop = Laptop(fleet)
    laptop.adapter(plugged=False)
    laptop.guard.says("WARNING on battery · outage")
    for percent in (75, 70, 65, 60, 55, 50, 45, 41):
        laptop.drains_to(percent)
    sleep_until(boottime() + 2)
    assert fleet.history == []
    laptop.drains_to(40)
    fleet.down("laptop")
    assert fleet.ran("laptop") == ["save", "poweroff"]
    assert laptop.guard.said("charge 40 %, down from 80 % when the outage began")


@together
def test_the_adapter_back_in_time_cancels_and_the_log_tells_the_story(fleet: Fleet) -> None:
    laptop = Laptop(fleet)
    laptop.adapter(plugged=False)
    laptop.guard.says("WARNING on battery · outage")
    laptop.drains_to(71)
    laptop.adapter(plugged=True)
    laptop.guard.says("mains are back · outage .* · shutdown cancelled")
    laptop.drains_to(30)
    sleep_until(boottime() + 3)
    assert fleet.history == []
    wanted = ["INFO +on mains", "WARNING on battery · outage", "mains are back"]
    told = [laptop.guard.log.index(laptop.guard.said(line)[0]) for line in wanted]
    assert told == sorted(told)


@together
def test_a_low_battery_shuts_the_laptop_down_before_half(fleet: Fleet) -> None:
    laptop = Laptop(fleet)
    laptop.drains_to(14)
    laptop.adapter(plugged=False)
    laptop.guard.says("WARNING on battery · outage")
    laptop.drains_to(9)
    fleet.down("laptop")
    assert laptop.guard.said("low battery")
