"""What a UPS says of its battery is believed when two readings agree on it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powmonman.core.gauge import JUMP, Gauge
from powmonman.core.power import Reading


def taken(*charges: float | None) -> list[float | None]:
    gauge, believed = Gauge(), []
    for charge in charges:
        gauge = gauge.take(Reading(mains=False, charge=charge))
        believed.append(gauge.charge)
    return believed


@pytest.mark.parametrize(
    ("charges", "believed"),
    [
        pytest.param((90, 90), [None, 90], id="the first waits for a second"),
        pytest.param((90, 89, 85, 80), [None, 89, 85, 80], id="a battery that empties"),
        pytest.param((90, 90, 0, 89), [None, 90, 90, 89], id="an empty battery for one poll"),
        pytest.param((90, 90, 0, 0), [None, 90, 90, 0], id="a battery that is really empty"),
        pytest.param((90, 90, 0, 60, 59), [None, 90, 90, 90, 59], id="two unlike jumps"),
        pytest.param((20, 20, 100, 100), [None, 20, 20, 100], id="a battery that was replaced"),
        pytest.param((90, 90, None, 90), [None, 90, None, None], id="a charge that is gone"),
    ],
)
def test_a_jump_of_the_charge_waits_for_a_second_reading(charges, believed) -> None:
    assert believed == taken(*charges)


def test_a_runtime_has_fallen_when_two_readings_say_so() -> None:
    gauge, believed = Gauge(), []
    for runtime in (1200.0, 1190.0, 5.0, 1180.0, 100.0, 90.0, None):
        gauge = gauge.take(Reading(mains=False, runtime=runtime))
        believed.append(gauge.runtime)
    assert [None, 1200.0, 1190.0, 1180.0, 1180.0, 100.0, None] == believed


def test_a_battery_is_low_when_two_readings_say_so() -> None:
    gauge, believed = Gauge(), []
    for low in (True, True, False, True, False, True, True):
        gauge = gauge.take(Reading(mains=False, low_battery=low))
        believed.append(gauge.low_battery)
    assert [False, True, False, False, False, False, True] == believed


@given(st.lists(st.none() | st.floats(0, 100), max_size=30))
def test_a_charge_is_never_believed_that_only_one_reading_was_near_to(charges) -> None:
    gauge = Gauge()
    for number, charge in enumerate(charges):
        before, gauge = gauge, gauge.take(Reading(mains=False, charge=charge))
        if gauge.charge is not None and gauge.charge != before.charge:
            earlier = charges[number - 1]
            near = [c for c in (earlier, before.charge) if c is not None]
            assert any(abs(gauge.charge - c) <= JUMP for c in near)
