"""The battery as psutil knows it: on macOS, Windows and FreeBSD, not on Linux.

psutil tells of one battery, and of the plug. On Linux it takes a mouse for the battery and one
battery of two for both, so there `power_supply` is read instead.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

from powmonman.core.power import Reading, unknown

_INSTALL = "pip install 'powmonman[battery]'"


def read(low: float) -> Reading:
    """Return what psutil says now; `low` is the percentage at or below which a battery is low."""
    try:
        psutil: Any = import_module("psutil")
    except ImportError:
        return unknown(f"psutil is not installed; {_INSTALL}")
    sense = getattr(psutil, "sensors_battery", None)
    if sense is None:
        return unknown("psutil knows no batteries on this system; use another sensor")
    try:
        battery = sense()
    except Exception as error:  # noqa: BLE001 - it hands on whatever the system's calls raise
        return unknown(f"psutil failed: {type(error).__name__}: {error}; try a newer psutil")
    if battery is None:
        return unknown("psutil finds no battery in this host; use another sensor")
    return reading(battery, low)


def reading(battery: Any, low: float) -> Reading:
    """Return the reading of psutil's `sbattery`: percent, secsleft, power_plugged.

    `secsleft` is below 0 where it means "unknown" or "plugged in".
    """
    plugged = battery.power_plugged
    if plugged is None:
        return unknown("psutil can't tell whether the adapter is plugged in; use another sensor")
    percent = _between(battery.percent, 0.0, 100.0)
    seconds = _between(battery.secsleft, 1.0, math.inf)
    return Reading(
        mains=bool(plugged),
        charge=percent,
        runtime=None if plugged else seconds,
        low_battery=not plugged and percent is not None and percent <= low,
    )


def _between(value: Any, least: float, most: float) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if least <= number <= most and math.isfinite(number) else None
