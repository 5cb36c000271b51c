"""The client's decision, told as stories in virtual time. Seconds as in the product's defaults."""

import json

import pytest
from playbook import COMMITTED, COUNTING, IDLE, Playbook, on_battery, on_mains, unknown

from powmonman.core import policy
from powmonman.core.feeds import host_power
from powmonman.core.messages import Policy, State
from powmonman.core.plan import Plan, Rules, Warn
from powmonman.core.power import PowerState
from powmonman.core.records import from_json, to_json


def test_an_outage_that_lasts_shuts_down_at_the_deadline():
    Playbook().hears(on_battery(), at=0).shows(COUNTING, left=600).runs_once(between=(599, 601))


def test_a_restore_one_second_before_the_deadline_cancels():
    """Mains back one second before the deadline: the countdown ends, no command runs."""
    (
        Playbook()
        .hears(on_battery(), at=0)
        .waits(until=598)
        .shows(COUNTING, left=2)
        .hears(on_mains(), at=599)
        .shows(IDLE)
        .runs_nothing_until(10_000)
    )


def test_after_the_commit_nothing_cancels_and_nothing_runs_twice():
    story = Playbook().hears(on_battery(), at=0).runs_once(between=(599, 601))
    story.hears(on_mains(), at=602).shows(COMMITTED)
    story.hears(on_battery("o2"), at=700).runs_once(between=(599, 601), until=3000)


def test_the_hosts_own_policy_wins_over_the_fleets():
    Playbook(after=120).hears(on_battery(), at=0).shows(COUNTING, left=120).runs_once(
        between=(119, 121)
    )


def test_the_age_of_an_outage_counts_from_its_beginning():
    Playbook().hears(on_battery(age=400), at=0).shows(COUNTING, left=200).runs_once(
        between=(199, 201)
    )


def test_a_host_that_boots_late_in_an_outage_must_see_a_minute_of_battery_itself():
    Playbook().hears(on_battery(age=3000), at=0).shows(COUNTING, left=60).runs_once(
        between=(59, 61)
    )


def test_silence_never_cancels():
    """Server, switch or Wi-Fi die during the outage: the client carries the plan out alone."""
    story = Playbook().hears(on_battery(), at=0).falls_silent(at=30).runs_once(between=(599, 601))
    assert story.said("no contact with the server") == 1


def test_silence_on_mains_shuts_nothing_down():
    story = Playbook().hears(on_mains(), at=0).falls_silent(at=30).runs_nothing_until(100_000)
    assert story.said("last known on mains: nothing is shut down") == 28, "at once, then hourly"


def test_silence_from_the_start_shuts_nothing_down():
    story = Playbook().falls_silent(at=0).runs_nothing_until(10_000)
    assert story.said("the power was never known") == 3


def test_unknown_starts_nothing():
    Playbook().hears(unknown(), at=0).shows(IDLE).runs_nothing_until(10_000)


def test_unknown_neither_cancels_nor_delays_a_countdown():
    story = Playbook().hears(on_battery(), at=0).hears(unknown(), at=100)
    story.shows(COUNTING, left=500).runs_once(between=(599, 601))


def test_a_commit_right_after_losing_contact_waits_for_a_lease_of_silence():
    """The last fresh word is up to a lease old at the deadline: that is fresh enough."""
    Playbook().hears(on_battery(), at=0).falls_silent(at=598).runs_once(between=(599, 616))


def test_a_stall_over_the_deadline_asks_for_fresh_news_first():
    """Stopped from 500 s to 700 s; the mains came back at 650 s: no shutdown on what was queued."""
    story = Playbook().hears(on_battery(), at=0).falls_silent(at=500)
    story.stands_still(200).shows(COUNTING, left=0)
    story.hears(on_mains(), at=701).shows(IDLE).runs_nothing_until(10_000)


def test_a_short_stall_over_the_deadline_asks_for_fresh_news_too():
    """What it heard a moment before it stood still is no longer news."""
    story = Playbook().hears(on_battery(), at=0).falls_silent(at=596)
    story.stands_still(6).shows(COUNTING, left=0)
    story.hears(on_mains(), at=603).shows(IDLE).runs_nothing_until(10_000)


def test_a_stall_over_the_deadline_still_ends_in_a_shutdown():
    story = Playbook().hears(on_battery(), at=0).falls_silent(at=500).stands_still(200)
    story.runs_once(between=(700, 700 + 16))


def test_repeated_short_stalls_do_not_postpone_the_shutdown_for_ever():
    story = Playbook().hears(on_battery(), at=0).falls_silent(at=500)
    for at in range(505, 900, 5):
        if story.plan.phase is not COUNTING:
            break
        story.stands_still(4.5, at=at)
    assert len(story.ran_at()) == 1
    assert story.ran_at()[0] <= 600 + 15 * 6


def test_a_stale_message_is_no_ground_for_a_commit():
    """A state that answers an old ping may start a countdown, but not end it."""
    story = Playbook(after=60, min_observe=60)
    story.hears(on_battery(), at=0)
    story.stands_still(70)
    before = story.ran_at()
    story.linked = False
    story._say(echo=1)
    assert before == story.ran_at() == []


def test_an_answer_that_took_longer_than_a_lease_is_silence():
    """Else a congested network would put the commit off with each of its late answers."""
    story = Playbook(after=100).hears(on_battery(), at=0)
    story.linked, story.news = False, None
    while story.elapsed < 99:
        nonce = story.plan.nonce
        story.waits(until=story.elapsed + 20)
        story._take(policy.heard(story.plan, heard_late(nonce), story.rules, story.now))
    assert 1 == story.said("no contact with the server")
    story.runs_once(between=(100, 102))


def heard_late(echo):
    return State("s", 15.0, Policy(600.0), {"rack": on_battery()}, echo=echo)


def test_sleep_forgets_everything():
    story = Playbook().hears(on_battery(), at=0).waits(until=500).falls_silent().sleeps(3600)
    story.shows(IDLE).runs_nothing_until(20_000)
    assert story.said("asleep for 3600 s") == 1


def test_what_lay_in_the_socket_during_a_sleep_starts_nothing():
    """The mains came back while this host slept, and it wakes where no server is."""
    story = Playbook().hears(on_battery(), at=0).waits(until=500)
    story.linked = False
    story.sleeps(36_000)._say(echo=story.plan.nonce)
    story.shows(IDLE).falls_silent().runs_nothing_until(50_000)


def test_an_outage_is_counted_again_once_the_server_has_answered_after_a_sleep():
    story = Playbook().hears(on_battery(), at=0).waits(until=100).sleeps(200)
    story.shows(IDLE).hears(on_battery(age=300), at=310).waits(until=320)
    story.shows(COUNTING, left=290).runs_once(between=(609, 611))


def test_what_was_spent_drains_slowly_so_a_second_outage_starts_late():
    """500 s on battery, 100 s of mains: 10 s are paid back."""
    story = Playbook().hears(on_battery(), at=0).hears(on_mains(spent=500), at=500)
    story.hears(on_battery("o2", spent=490), at=600).shows(COUNTING, left=110)


def test_flapping_can_not_put_a_shutdown_off():
    """50 s off, 10 s on, for ever: the budget reaches its end."""
    story, at = Playbook(), 0
    while not story.ran_at() and at < 3000:
        story.hears(on_battery(f"o{at}", spent=story.plan.spent), at=at)
        story.hears(on_mains(spent=story.plan.spent), at=at + 50)
        at += 60
    assert 600 <= story.ran_at()[0] <= 800


def test_more_unbroken_time_than_the_ups_lets_a_host_see_is_not_asked_for():
    """11 s of every 14 on battery: 20 unbroken ones never come."""
    story, at = Playbook(after=60, confirm=20), 0
    while not story.ran_at() and at < 600:
        story.hears(on_battery(f"o{at}", spent=story.plan.spent), at=at)
        story.hears(on_mains(spent=story.plan.spent), at=at + 11)
        at += 14
    assert 60 <= story.ran_at()[0] <= 100


def test_a_server_that_lets_less_be_seen_counts_in_mid_outage_too():
    story = Playbook(after=60, confirm=5).hears(on_battery(), at=0).waits(until=30)
    story.policy = Policy(600.0, restore_confirm=1.0)
    story.waits(until=40)
    assert 1.0 == story.plan.confirm
    story.policy = Policy(600.0, restore_confirm=5.0)
    story.waits(until=50)
    assert 1.0 == story.plan.confirm


def test_the_deadline_never_moves_later_during_an_outage():
    story = Playbook().hears(on_battery(), at=0)
    story.policy = Policy(after=3600)
    story.waits(until=100).shows(COUNTING, left=500)
    story.policy = Policy(after=300)
    story.waits(until=110).shows(COUNTING, left=190)


@pytest.mark.parametrize(("lease", "ratio"), [(0.0, 0.0), (-1.0, -1.0), (1e308, 1e308)])
def test_no_figure_of_a_server_ends_the_client_or_its_countdown(lease, ratio):
    """A lease without end would make it wait for silence for ever."""
    story = Playbook(after=100).hears(on_mains(), at=0)
    for news in (on_mains(), on_battery()):
        state = State("s", lease, Policy(600.0, ratio), {"rack": news}, echo=story.plan.nonce)
        story._take(policy.heard(story.plan, state, story.rules, story.now))
        story.falls_silent().waits(until=story.elapsed + 5)
    story.runs_once(between=(100, 105 + 2 * 300))


def test_a_sooner_deadline_of_this_host_needs_no_server():
    """The operator sees that nobody comes to help, and the server is gone."""
    story = Playbook(after=3600).hears(on_battery(), at=0).falls_silent(at=30).waits(until=60)
    story.rules = Rules(after=300)
    story.waits(until=70).shows(COUNTING, left=230)
    story.rules = Rules(after=7200)
    story.runs_once(between=(299, 301))


def test_a_ups_that_nobody_watches_is_said_while_all_is_well():
    """Else a misspelt name is found out in the outage, in which this host stays up."""
    story = Playbook(upses=("rack", "rakc")).hears(rack=on_mains(), at=0).waits(until=100)
    assert 1 == story.said("on mains · the server watches no UPS 'rakc'")


def test_a_host_that_names_none_of_several_upses_says_so_while_all_is_well():
    """It counts as fed by both, and would stay up when the one that feeds it is on battery."""
    story = Playbook().hears(rack=on_mains(), desk=on_mains(), at=0).waits(until=100)
    assert 1 == story.said("on mains · the server watches desk, rack, and upses names none as")
    assert 0 == Playbook().hears(rack=on_mains(), at=0).waits(until=100).said("names none")


def test_two_supplies_one_bad_is_no_outage():
    story = Playbook(upses=("a", "b"), min_supplies=1)
    story.hears(a=on_battery(), b=on_mains(), at=0).shows(IDLE).runs_nothing_until(5000)


def test_two_supplies_one_bad_counts_where_both_are_needed():
    story = Playbook(upses=("a", "b"), min_supplies=2)
    story.hears(a=on_battery(), b=on_mains(), at=0).shows(COUNTING, left=600)


@pytest.mark.parametrize("second", [unknown(), None])
def test_two_supplies_one_bad_one_unknown_is_unknown(second):
    upses = {"a": on_battery()} | ({"b": second} if second else {})
    news = host_power(upses, Rules(upses=("a", "b")))
    assert PowerState.UNKNOWN is news.state
    assert "b" in news.reason


def test_the_budget_of_the_ups_that_lasts_longest_counts():
    upses = {"a": on_battery(spent=500.0), "b": on_battery("o2", spent=20.0)}
    assert 20.0 == host_power(upses, Rules()).spent
    assert 500.0 == host_power(upses, Rules(min_supplies=2)).spent


def test_a_dry_run_counts_again_in_the_next_outage():
    story = Playbook(after=100, dry_run=True).hears(on_battery(), at=0).waits(until=110)
    story.shows(COMMITTED).hears(on_mains(), at=120).shows(IDLE)
    story.hears(on_battery("o2"), at=5000).waits(until=5110).shows(COMMITTED)
    assert 2 == len(story.ran_at())
    assert all("(dry run)" in warning.text for warning in story.of(Warn))


def test_a_host_that_is_armed_after_a_dry_run_shuts_down_in_the_same_outage():
    story = Playbook(after=100, dry_run=True).hears(on_battery(), at=0).waits(until=150)
    story.shows(COMMITTED)
    story.rules = Rules(after=100)
    story.waits(until=160).shows(COMMITTED).waits(until=3000)
    assert 2 == len(story.ran_at())
    assert 150 <= story.ran_at()[1] <= 161
    assert 1 == story.said("no longer a dry run")


def test_a_shutdown_under_way_is_not_made_a_dry_run_by_a_new_configuration():
    """Else the host would count again at once, and run its commands twice."""
    story = Playbook(after=100).hears(on_battery(), at=0).waits(until=110)
    story.rules = Rules(after=100, dry_run=True)
    story.hears(on_mains(), at=120).waits(until=130).shows(COMMITTED)


def test_a_host_that_stays_up_after_its_commit_counts_again_and_says_so():
    story = Playbook(after=100).hears(on_battery(), at=0).waits(until=110)
    story.hears(on_mains(), at=120).waits(until=800).shows(IDLE)
    assert story.said("did not switch it off") == 1
    story.hears(on_battery("o2"), at=9000).waits(until=9110).shows(COMMITTED)


def test_the_countdown_is_told_at_sensible_moments_only():
    story = Playbook().hears(on_battery(), at=0).runs_once(between=(599, 601))
    assert 5 == story.said("shutdown in") - story.said("on battery"), "300, 120, 60, 30, 10"
    assert 3 == story.warned(), "at the start, a minute before, and at the end"


def test_a_plan_survives_being_written_down():
    story = Playbook().hears(on_battery(), at=0).waits(until=300)
    again = from_json(Plan, json.loads(json.dumps(to_json(story.plan))))
    assert story.plan == again


def test_a_plan_survives_whatever_the_reasons_are():
    """Every UPS unknown, and each says at length why: a restart must not lose the countdown."""
    story = Playbook().hears(on_battery(), at=0)
    story.hears(at=10, **{f"ups{n}": unknown("broken " * 70) for n in range(9)})
    again = from_json(Plan, json.loads(json.dumps(to_json(story.plan))))
    assert (COUNTING, story.plan) == (again.phase, again)


def test_a_restart_of_the_process_keeps_the_deadline():
    story = Playbook().hears(on_battery(), at=0).falls_silent(at=300)
    story.plan = policy.disconnected(from_json(Plan, to_json(story.plan)))
    story.stands_still(2).runs_once(between=(599, 601))


def test_an_unbroken_moment_on_battery_is_needed():
    """On mains until just now, with the budget spent: two seconds must be seen first."""
    story = Playbook().hears(on_battery(), at=0).hears(on_mains(spent=595), at=595)
    story.hears(on_battery("o2", spent=599.5), at=597).runs_once(between=(598.9, 600))


def test_no_reload_moves_a_deadline_later():
    story = Playbook(after=100, min_observe=60).hears(on_battery(age=500), at=0)
    story.waits(until=30).shows(COUNTING, left=30)
    story.rules = Rules(after=100, min_observe=3600, confirm=60)
    story.waits(until=31).shows(COUNTING, left=29).runs_once(between=(59, 61))
