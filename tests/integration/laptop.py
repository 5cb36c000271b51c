"""A laptop: an adapter and a battery as the kernel shows them, and the guard that watches them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from powmonman.service.clock import boottime

from .daemon import wait_for

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
