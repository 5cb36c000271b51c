"""Which trigger comes, at which UPS, and when that is the host's own end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playbook import on_battery, on_mains, unknown

from powmonman.core.feeds import Triggers, host_power, host_tripped, triggers_of, tripped
from powmonman.core.messages import Policy, UpsNews
from powmonman.core.plan import Rules
from powmonman.core.power import PowerState

ALL = Triggers(after=600, charge_below=30, charge_drop=0.5, runtime_below=180, low_battery=True)
EMPTY = {"charge": 3.0, "charge_at_start": 90.0, "runtime": 10.0, "low_battery": True}


@pytest.mark.parametrize(
    ("battery", "why"),
    [
        pytest.param({"low_battery": True}, "low battery", id="low battery"),
        pytest.param({"charge": 29.9}, "charge 30 %, below 30 %", id="charge below"),
        pytest.param({"charge": 30.0}, "", id="charge not below"),
        pytest.param(
            {"charge": 45.0, "charge_at_start": 90.0},
            "charge 45 %, down from 90 % when the outage began",
            id="half of the charge at the start is gone",
        ),
        pytest.param({"charge": 46.0, "charge_at_start": 90.0}, "", id="not yet the half"),
        pytest.param({"charge": 40.0}, "", id="a start that nobody knows"),
        pytest.param({"runtime": 179.0}, "runtime 179 s, below 180 s", id="runtime below"),
        pytest.param({"runtime": 180.0}, "", id="runtime not below"),
        pytest.param({}, "", id="nothing known"),
    ],
)
def test_a_trigger_holds_for_a_ups_on_battery(battery, why) -> None:
    assert why == tripped(on_battery(**battery), ALL)


@pytest.mark.parametrize("news", [on_mains(**EMPTY), unknown(**EMPTY)])
def test_an_empty_battery_triggers_nothing_unless_the_ups_says_on_battery(news) -> None:
    assert "" == tripped(news, ALL)
    assert "" == host_tripped({"rack": news}, Rules(), ALL)


def test_a_trigger_that_is_off_never_comes() -> None:
    assert "" == tripped(on_battery(**EMPTY), Triggers(after=600, low_battery=False))


def test_a_host_overrides_single_triggers_of_the_fleet() -> None:
    fleet = Policy(after=600, charge_below=30, runtime_below=120, low_battery=True)
    rules = Rules(after=300, charge_below=0, charge_drop=0.5, low_battery=False)
    assert triggers_of(rules, fleet) == Triggers(
        after=300, charge_below=0, charge_drop=0.5, runtime_below=120, low_battery=False
    )


LOW, FINE = on_battery(low_battery=True), on_battery(charge=90)


@pytest.mark.parametrize(
    ("upses", "min_supplies", "comes"),
    [
        pytest.param({"a": LOW}, 1, True, id="its only one"),
        pytest.param({"a": LOW, "b": FINE}, 1, False, id="the other carries it"),
        pytest.param({"a": LOW, "b": on_mains()}, 1, False, id="the other is on mains"),
        pytest.param({"a": LOW, "b": unknown()}, 1, False, id="the other may be good"),
        pytest.param({"a": LOW, "b": LOW}, 1, True, id="both are at their end"),
        pytest.param({"a": LOW, "b": on_mains()}, 2, True, id="it needs both"),
        pytest.param({"a": LOW, "b": FINE, "c": FINE}, 2, False, id="two of three last"),
        pytest.param({"a": LOW, "b": LOW, "c": on_mains()}, 2, True, id="one of three lasts"),
    ],
)
def test_a_host_goes_with_the_ups_whose_end_is_its_own(upses, min_supplies, comes) -> None:
    rules = Rules(upses=tuple(upses), min_supplies=min_supplies)
    assert bool(host_tripped(upses, rules, ALL)) is comes


numbers = st.none() | st.floats(0, 100)
news = st.builds(
    UpsNews,
    state=st.sampled_from(PowerState),
    charge=numbers,
    charge_at_start=numbers,
    runtime=st.none() | st.floats(0, 3600),
    low_battery=st.booleans(),
)


@given(st.dictionaries(st.sampled_from("abc"), news), st.integers(1, 3))
def test_a_trigger_comes_only_while_the_host_itself_is_on_battery(upses, min_supplies) -> None:
    """Else it could shut a host down whose power is good, or unknown."""
    rules = Rules(upses=("a", "b", "c"), min_supplies=min_supplies)
    if host_tripped(upses, rules, ALL):
        assert host_power(upses, rules).state is PowerState.ON_BATTERY
