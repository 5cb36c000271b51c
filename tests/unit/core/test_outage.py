"""Outages and budgets of one UPS on the server."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powmonman.core.messages import Policy, State, decode, encode
from powmonman.core.outage import STALE, UNSETTLED, Record, Supply
from powmonman.core.power import Debounce, PowerState, Reading, unknown

ON, OFF = Reading(mains=True), Reading(mains=False)


def watch(supply, readings, start=100.0):
    """One reading a second; the closer look says the same as the reading."""
    now = start
    for reading in readings:
        supply = supply.observe(reading, now, f"id-{now:.0f}")
        if supply.debounce.wants_verify:
            supply = supply.verified(reading, now, f"id-{now:.0f}")
        now += 1
    return supply, now


def test_nothing_is_known_before_the_sensor_has_settled():
    news = Supply().news(0.0)
    assert (PowerState.UNKNOWN, "", UNSETTLED) == (news.state, news.outage, news.reason)


def test_an_outage_is_as_old_as_the_loss_not_as_its_confirmation():
    supply, now = watch(Supply(), [OFF] * 11)
    news = supply.news(now)
    assert PowerState.ON_BATTERY is news.state
    assert 11.0 == news.age == news.spent


def test_an_outage_ends_when_the_mains_have_returned_for_good():
    supply, now = watch(Supply(), [OFF] * 10 + [ON] * 3)
    assert supply.news(now).outage
    supply, now = watch(supply, [ON] * 3, now)
    news = supply.news(now)
    assert (PowerState.ON_MAINS, "", 0.0) == (news.state, news.outage, news.age)


def test_unknown_in_an_outage_keeps_its_id_and_its_age():
    supply, now = watch(Supply(), [OFF] * 10)
    before = supply.news(now)
    supply, now = watch(supply, [unknown("cut")] * 20, now)
    assert PowerState.UNKNOWN is supply.state
    supply, now = watch(supply, [OFF] * 10, now)
    after = supply.news(now)
    assert before.outage == after.outage
    assert 40.0 == after.age == after.spent


def test_good_mains_pay_back_a_tenth():
    supply, now = watch(Supply(), [OFF] * 100)
    supply, now = watch(supply, [ON] * 106, now)
    assert supply.news(now).spent == pytest.approx(105 - 10.1, abs=0.2)


def test_mains_that_nobody_observed_pay_back_nothing():
    supply, now = watch(Supply(), [OFF] * 100 + [ON] * 6)
    spent = supply.news(now).spent
    supply = supply.observe(ON, now + 5000, "x")
    assert supply.spent >= spent - 1


@pytest.mark.parametrize("reading", [ON, OFF])
def test_a_server_that_stood_still_does_not_pass_off_what_it_saw_before_as_news(reading):
    """The mains may have returned meanwhile: a client at its deadline would act on it."""
    supply, now = watch(Supply(), [reading] * 10)
    seen = supply.state
    assert seen is not PowerState.UNKNOWN
    assert seen == supply.news(now + 2).state
    stale = supply.news(now + 20)
    assert (PowerState.UNKNOWN, STALE) == (stale.state, stale.reason)
    again = supply.observe(reading, now + 20, "x").news(now + 20)
    assert (seen, "") == (again.state, again.reason)


@pytest.mark.parametrize("reason", ["x" * 5000, "a path \udcff in no encoding", "two\nlines"])
def test_whatever_a_sensor_says_clients_can_read_it(reason):
    """One UPS's fault must not take the news of all the others away."""
    supply, now = watch(Supply(), [unknown(reason)])
    news = {"rack": supply.news(now), "desk": Supply().news(now)}
    state = State(id="s", lease=15.0, policy=Policy(), upses=news)
    assert state == decode(encode(state))


def test_the_budget_saturates_at_the_runtime():
    supply, now = watch(Supply(runtime=50.0), [OFF] * 100)
    assert 50.0 == supply.news(now).spent


def test_a_restart_in_the_same_boot_keeps_the_outage_but_not_the_certainty():
    supply, now = watch(Supply(), [OFF] * 100)
    again = Supply().resumed(supply.record(now), now + 30, same_boot=True)
    news = again.news(now + 30)
    assert (PowerState.UNKNOWN, supply.outage.id) == (news.state, news.outage)
    again, later = watch(again, [OFF] * 3, now + 30)
    assert (supply.outage.id, 133.0) == (again.news(later).outage, again.news(later).age)


def test_time_that_nobody_watched_counts_as_battery_until_good_mains_are_seen():
    """The server was stopped for a day, in an outage: it may have gone on, or it may have ended."""
    supply, now = watch(Supply(runtime=1200.0), [OFF] * 100)
    record, later = supply.record(now), now + 86400
    lasted, end = watch(Supply().resumed(record, later, same_boot=True), [OFF] * 3, later)
    assert (PowerState.ON_BATTERY, 1200.0) == (lasted.state, lasted.news(end).spent)
    over, end = watch(Supply().resumed(record, later, same_boot=True), [ON] * 106, later)
    assert (PowerState.ON_MAINS, "") == (over.state, over.news(end).outage)
    assert 1190.0 == pytest.approx(over.news(end).spent, abs=0.2)


def test_another_boot_starts_another_outage_with_what_was_spent():
    supply, now = watch(Supply(), [OFF] * 100)
    again = Supply().resumed(supply.record(now), 20.0, same_boot=False)
    again, later = watch(again, [OFF] * 3, 20.0)
    assert supply.outage.id != again.outage.id
    assert 3.0 == again.news(later).age
    assert 103.0 == again.news(later).spent


@pytest.mark.parametrize(
    "record",
    [
        Record(spent=-5.0),
        Record(spent=1e9, outage="x", began=50.0, stamp=10.0),
        Record(spent=5.0, outage="x", began=1e12, stamp=1e12),
    ],
)
def test_a_record_that_can_not_be_true_harms_nobody(record):
    supply = Supply().resumed(record, 100.0, same_boot=True)
    assert supply.outage is None
    assert 0.0 <= supply.spent <= supply.runtime


READINGS = st.lists(st.sampled_from([ON, OFF, unknown("?")]), max_size=120)


@given(READINGS)
def test_budget_and_age_stay_in_bounds_whatever_is_read(readings):
    supply = Supply(debounce=Debounce(), runtime=60.0)
    now = 100.0
    for reading in readings:
        before = supply
        supply, now = watch(supply, [reading], now)
        news = supply.news(now)
        assert 0.0 <= news.spent <= 60.0
        assert (news.state is PowerState.ON_BATTERY) <= bool(news.outage)
        if reading.mains is False and before.outage and supply.outage:
            assert before.outage == supply.outage
        if news.state is PowerState.ON_MAINS:
            assert not news.outage


@given(READINGS, st.integers(0, 119))
def test_a_restart_at_any_moment_never_makes_an_outage_younger(readings, at):
    straight, now = watch(Supply(), readings[:at])
    restarted = Supply().resumed(straight.record(now), now, same_boot=True)
    restarted = replace(restarted, debounce=Debounce())
    assert straight.outage == restarted.outage
    assert straight.news(now).spent == pytest.approx(restarted.news(now).spent)
