"""How full the batteries are together, how long they last, and whether that is low.

Pure. The charge of one battery is charge_now/charge_full, else energy_now/energy_full, else
capacity. Several count by the energy that each holds when full; where one of them doesn't say how
much that is, all count alike.

It is low at or below the alarm: `alarm` in the battery's own unit, else `capacity_alert_min`, else
the configuration's `low`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from powmonman.sensors.power_supply import PowerSupply

# Gauges say 65,535 minutes, or divide by next to nothing, where they don't know.
LONGEST_RUNTIME = 48 * 3600.0


@dataclass(frozen=True)
class Condition:
    """All batteries of a host as one.

    Attributes:
        charge: Percent 0-100, or None where no battery says.
        low: The charge is at or below the alarm.
        runtime: Seconds left at the present load, or None where it isn't known.
        voltage: Volts, of the battery that discharges, else of the first; None if unknown.
    """

    charge: float | None = None
    low: bool = False
    runtime: float | None = None
    voltage: float | None = None


@dataclass(frozen=True)
class _Fill:
    """One battery: how full it is and when it is low, in percent, and the µWh that it holds."""

    percent: float
    alarm: float
    energy: float | None


def condition(batteries: Sequence[PowerSupply], low: float) -> Condition:
    """Return how the batteries stand; `low` is the percentage where the kernel has no alarm."""
    fills = [fill for battery in batteries if (fill := _fill(battery, low)) is not None]
    runtime, voltage = _runtime(batteries), _voltage(batteries)
    if not fills:
        return Condition(runtime=runtime, voltage=voltage)
    weights = [fill.energy or 0.0 for fill in fills]
    if not all(weights):
        weights = [1.0] * len(fills)
    charge = _mean([fill.percent for fill in fills], weights)
    alarm = _mean([fill.alarm for fill in fills], weights)
    return Condition(charge, charge <= alarm, runtime, voltage)


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    total = sum(value * weight for value, weight in zip(values, weights, strict=True))
    return round(min(100.0, total / sum(weights)), 1)


def _fill(battery: PowerSupply, low: float) -> _Fill | None:
    alert = battery.number("capacity_alert_min") or low
    for unit in ("charge", "energy"):
        now, full = battery.number(f"{unit}_now"), battery.number(f"{unit}_full")
        if now is None or not full:
            continue
        alarm = battery.number("alarm")
        # 0 is "none"; and an alarm of the full charge is no alarm.
        percent = 100 * alarm / full if alarm and alarm < full else alert
        return _Fill(min(100.0, 100 * now / full), percent, _energy(battery, "full"))
    capacity = battery.number("capacity")
    if capacity is None:
        return None
    return _Fill(min(100.0, capacity), alert, _energy(battery, "full"))


def _energy(battery: PowerSupply, when: str) -> float | None:
    """Return the energy (µWh) that a battery holds now or when it is full."""
    energy = battery.number(f"energy_{when}")
    if energy is not None:
        return energy
    charge = battery.number(f"charge_{when}")
    volts = battery.number("voltage_min_design") or battery.number("voltage_now")
    return None if charge is None or not volts else charge * volts / 1e6


def _power(battery: PowerSupply) -> float:
    """Return what a battery gives, in µW; 0 where it doesn't say."""
    power = battery.rate("power_now")
    if power is not None:
        return power
    current = battery.rate("current_now") or 0.0
    volts = battery.number("voltage_min_design") or battery.number("voltage_now") or 0.0
    return current * volts / 1e6


def _runtime(batteries: Sequence[PowerSupply]) -> float | None:
    if len(batteries) == 1:
        told = batteries[0].number("time_to_empty_now")
        if told and told <= LONGEST_RUNTIME:
            return round(told)
    energies = [_energy(battery, "now") for battery in batteries]
    power = sum(_power(battery) for battery in batteries if battery.status == "Discharging")
    if not power or None in energies:
        return None
    seconds = 3600 * sum(energy or 0.0 for energy in energies) / power
    return round(seconds) if seconds <= LONGEST_RUNTIME else None


def _voltage(batteries: Sequence[PowerSupply]) -> float | None:
    busiest_first = sorted(batteries, key=lambda battery: battery.status != "Discharging")
    microvolts = (battery.number("voltage_now") for battery in busiest_first)
    return next((round(value / 1e6, 3) for value in microvolts if value), None)
