"""Charge, alarm, runtime and voltage of one battery and of several."""

from __future__ import annotations

import pytest

from powmonman.sensors.battery_charge import Condition, condition
from powmonman.sensors.power_supply import PowerSupply


def battery(status: str = "Discharging", **attributes: int | str) -> PowerSupply:
    texts = {key: str(value) for key, value in attributes.items()}
    return PowerSupply("BAT0", {"type": "Battery", "status": status, **texts})


def stand(*batteries: PowerSupply, low: float = 10.0) -> Condition:
    return condition(batteries, low)


def test_charge_counts_before_energy_and_energy_before_capacity() -> None:
    every = {
        "charge_now": 20,
        "charge_full": 100,
        "energy_now": 30,
        "energy_full": 100,
        "capacity": 40,
    }
    told = []
    for gone in ("", "charge_now", "energy_full", "capacity"):
        every.pop(gone, None)
        told.append(stand(battery(**every)).charge)
    assert told == [20, 30, 40, None]


@pytest.mark.parametrize("bad", ["", "0", "-5", "nan", "inf", "full"])
def test_a_bad_full_charge_leaves_the_capacity(bad: str) -> None:
    assert stand(battery(charge_now=20, charge_full=bad, capacity=40)).charge == 40


@pytest.mark.parametrize("bad", ["-1", "nan", "garbage", ""])
def test_a_bad_capacity_is_no_charge_and_not_low(bad: str) -> None:
    assert stand(battery(capacity=bad)) == Condition()


def test_an_old_gauge_that_counts_beyond_full_is_full() -> None:
    assert stand(battery(charge_now=5200, charge_full=5000)).charge == 100
    assert stand(battery(capacity=103)).charge == 100


def test_batteries_count_by_the_energy_they_hold() -> None:
    """An empty small one beside a full large one: three quarters, not a half."""
    small = battery(energy_now=0, energy_full=20_000_000)
    large = battery(energy_now=60_000_000, energy_full=60_000_000)
    assert stand(small, large).charge == 75


def test_charge_becomes_energy_by_the_voltage() -> None:
    small = battery(charge_now=0, charge_full=2_000_000, voltage_min_design=10_000_000)
    large = battery(energy_now=60_000_000, energy_full=60_000_000)
    assert stand(small, large).charge == 75


def test_where_one_does_not_say_how_much_it_holds_all_count_alike() -> None:
    assert stand(battery(capacity=0), battery(energy_now=60, energy_full=60)).charge == 50


@pytest.mark.parametrize(
    ("attributes", "low"),
    [
        ({"charge_now": 5, "charge_full": 100, "alarm": 5}, True),
        ({"charge_now": 6, "charge_full": 100, "alarm": 5}, False),
        ({"energy_now": 4_000, "energy_full": 100_000, "alarm": 5_000}, True),
        # No alarm set, or none that means anything: the alert of the gauge, then the setting.
        ({"charge_now": 9, "charge_full": 100, "alarm": 0}, True),
        ({"charge_now": 50, "charge_full": 100, "alarm": 100}, False),
        ({"charge_now": 9, "charge_full": 100, "capacity_alert_min": 4}, False),
        ({"capacity": 4, "capacity_alert_min": 4}, True),
        # An alarm in units of a charge that isn't told says nothing of a percentage.
        ({"capacity": 9, "alarm": 1}, True),
        ({"capacity": 11}, False),
        ({"capacity": 10}, True),
    ],
)
def test_low_is_at_or_below_the_alarm(attributes: dict[str, int], low: bool) -> None:
    assert stand(battery(**attributes)).low is low


def test_one_empty_battery_of_two_is_not_low() -> None:
    empty = battery("Unknown", energy_now=0, energy_full=20, alarm=1)
    assert not stand(empty, battery(energy_now=20, energy_full=20, alarm=1)).low
    assert stand(empty, battery(energy_now=1, energy_full=20, alarm=1)).low


def test_the_gauges_own_estimate_of_the_runtime_comes_first() -> None:
    assert stand(battery(time_to_empty_now=600, energy_now=10, power_now=10)).runtime == 600


@pytest.mark.parametrize("unknown", [0, 65535 * 60, -1, "garbage"])
def test_an_estimate_that_means_unknown_leaves_energy_and_power(unknown: int | str) -> None:
    gauge = battery(time_to_empty_now=unknown, energy_now=10_000_000, power_now=20_000_000)
    assert stand(gauge).runtime == 1800


def test_the_runtime_from_charge_and_current_whatever_its_sign() -> None:
    gauge = battery(charge_now=3_000_000, current_now=-1_000_000, voltage_now=11_000_000)
    assert stand(gauge).runtime == 3 * 3600


def test_the_runtime_of_two_is_all_energy_by_the_power_of_those_that_give() -> None:
    gives = battery(energy_now=10_000_000, power_now=20_000_000)
    waits = battery("Unknown", energy_now=30_000_000, power_now=0)
    assert stand(gives, waits).runtime == 7200


@pytest.mark.parametrize(
    "attributes",
    [
        {"energy_now": 10_000_000},
        {"energy_now": 10_000_000, "power_now": 0},
        {"energy_now": 10_000_000, "power_now": 1},
        {"power_now": 20_000_000},
        {"charge_now": 10_000_000, "current_now": 20_000_000},
    ],
)
def test_the_runtime_is_not_known_without_energy_and_power(attributes: dict[str, int]) -> None:
    assert stand(battery(**attributes)).runtime is None


def test_the_voltage_is_that_of_the_battery_that_discharges() -> None:
    waits, gives = battery("Full", voltage_now=12_600_000), battery(voltage_now=11_100_000)
    assert stand(waits, gives).voltage == 11.1
    assert stand(waits).voltage == 12.6
    assert stand(battery()).voltage is None
