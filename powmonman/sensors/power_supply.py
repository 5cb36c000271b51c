"""The kernel's power supplies: what stands in /sys/class/power_supply at one moment.

What the files mean is the kernel's Documentation/ABI/testing/sysfs-class-power. Reading them asks
drivers and embedded controllers, which may take their time, fail, or be gone in mid-read.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

# The kernel gives a page at most.
_PAGE = 4096
# How the kernel says that a supply was taken away between two reads.
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO})

_WITH_BATTERY = frozenset({"Battery", "UPS"})
_OF_ADAPTER = ("online",)
_OF_BATTERY = (
    "present",
    "status",
    "charge_now",
    "charge_full",
    "energy_now",
    "energy_full",
    "capacity",
    "alarm",
    "capacity_alert_min",
    "voltage_now",
    "voltage_min_design",
    "power_now",
    "current_now",
    "time_to_empty_now",
)


@dataclass(frozen=True)
class PowerSupply:
    """One supply.

    Attributes:
        name: Of its directory: AC, BAT0.
        attributes: What its files hold. None: the file is there, but can't be read. What isn't
            there is not in here.
    """

    name: str
    attributes: Mapping[str, str | None]

    @property
    def feeds_the_host(self) -> bool:
        """Whether it belongs to the host itself: not to a mouse, headset or graphics card."""
        return self.attributes.get("scope") != "Device"

    @property
    def is_mains(self) -> bool:
        """Whether it is the host's own adapter, not a port that may or may not feed it."""
        return self.is_adapter and self.attributes["type"] == "Mains"

    @property
    def is_adapter(self) -> bool:
        """Whether it brings power from outside, and says whether it does."""
        return (
            self.feeds_the_host
            and _is_adapter(self.attributes.get("type") or "")
            and "online" in self.attributes
        )

    @property
    def is_battery(self) -> bool:
        """Whether it is a battery that is in its place. A UPS of the kernel's is one as well."""
        return (
            self.feeds_the_host
            and self.attributes.get("type") in _WITH_BATTERY
            and self.attributes.get("present") != "0"
        )

    @property
    def online(self) -> bool | None:
        """Whether an adapter brings power (1: fixed, 2: programmable); None: it can't tell."""
        return {"0": False, "1": True, "2": True}.get(self.attributes.get("online") or "")

    @property
    def status(self) -> str:
        """What a battery does: Charging, Discharging, Not charging, Full, else Unknown."""
        return self.attributes.get("status") or "Unknown"

    def number(self, key: str) -> float | None:
        """Return what a file holds, if it is a number and not below 0."""
        value = self._float(key)
        return None if value is None or value < 0 else value

    def rate(self, key: str) -> float | None:
        """Return a power or current without its sign, on which drivers don't agree."""
        value = self._float(key)
        return None if value is None else abs(value)

    def _float(self, key: str) -> float | None:
        try:
            value = float(self.attributes.get(key) or "")
        except ValueError:
            return None
        # Not above 1 MWh in µWh either: no battery is that large, and sums stay finite.
        return value if abs(value) <= 1e12 else None


def read_supplies(root: Path, ignore: Iterable[str] = ()) -> list[PowerSupply]:
    """Return the supplies below `root`, but for names that match a pattern of `ignore`.

    May take as long as the slowest driver does.

    Raises:
        OSError: The directory can't be read, or what a supply is and whom it feeds.
    """
    patterns = tuple(ignore)
    names = (
        name
        for name in sorted(os.listdir(root))  # noqa: PTH208 - names, not paths
        if not any(fnmatchcase(name, pattern) for pattern in patterns)
    )
    return [supply for name in names if (supply := _supply(root / name)) is not None]


def _is_adapter(kind: str) -> bool:
    return kind in {"Mains", "BrickID", "Wireless"} or kind.startswith("USB")


def _supply(directory: Path) -> PowerSupply | None:
    try:
        kind = _contents(directory / "type")
        scope = _contents(directory / "scope", missing="")
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise
    attributes: dict[str, str | None] = {"type": kind, "scope": scope}
    keys = _OF_ADAPTER if _is_adapter(kind) else _OF_BATTERY if kind in _WITH_BATTERY else ()
    for key in keys if scope != "Device" else ():
        try:
            attributes[key] = _contents(directory / key)
        except FileNotFoundError:
            continue
        except OSError:
            attributes[key] = None
    return PowerSupply(directory.name, attributes)


def _contents(path: Path, missing: str | None = None) -> str:
    try:
        # Without O_NONBLOCK a FIFO of this name would hold the thread for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        if missing is None:
            raise
        return missing
    try:
        return os.read(descriptor, _PAGE).decode("utf-8", "replace").strip()
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(descriptor)
