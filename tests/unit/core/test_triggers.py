"""Triggers that move a deadline to the moment at which they come, and the operator's order."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playbook import COMMITTED, COUNTING, IDLE, Playbook, on_battery, on_mains, unknown

from powmonman.core.messages import Policy
from powmonman.core.plan import Run

LOW = {"low_battery": True}


def test_a_low_battery_moves_the_deadline_to_its_moment() -> None:
    story = Playbook().hears(on_battery(), at=0).waits(until=200).shows(COUNTING, 400)
    story.hears(on_battery(age=200, **LOW), at=200).runs_once(between=(200, 201))
    assert story.said("low battery · outage o1 · shutdown in 0 s unless the mains return") == 1
    assert "low battery" in story.of(Run)[0].reason


def test_low_from_the_start_it_still_has_to_be_seen_for_a_minute() -> None:
    """One message is not enough to go by, whatever it says."""
    Playbook().hears(on_battery(**LOW), at=0).shows(COUNTING, 60).runs_once(between=(60, 61))


@pytest.mark.parametrize("news", [on_mains(charge=1.0, **LOW), unknown(charge=1.0, **LOW)])
def test_a_low_battery_that_is_not_on_battery_shuts_nothing_down(news) -> None:
    """A flag that stays on after a self-test, on mains: others went down for it."""
    story = Playbook(fleet=Policy(charge_below=50, charge_drop=0.5, runtime_below=600))
    story.hears(news, at=0).runs_nothing_until(10_000).shows(IDLE)


def test_nor_does_one_of_the_other_supply_in_an_outage() -> None:
    """It needs both, and one is on battery, full; the flag of the other is of an old self-test."""
    story = Playbook(upses=("a", "b"), min_supplies=2)
    story.hears(a=on_battery(), b=on_mains(charge=1.0, **LOW), at=0).shows(COUNTING, 600)
    story.runs_once(between=(599, 601))


def test_the_first_trigger_to_come_counts() -> None:
    fleet = Policy(after=600, charge_below=30, runtime_below=300)
    story = Playbook(fleet=fleet).hears(on_battery(charge=80.0, runtime=900.0), at=0)
    story.hears(on_battery(age=100, charge=60.0, runtime=310.0), at=100).shows(COUNTING, 500)
    story.hears(on_battery(age=150, charge=50.0, runtime=290.0), at=150)
    story.runs_once(between=(150, 151))


def test_half_of_the_charge_at_the_start_as_in_2009() -> None:
    story = Playbook(fleet=Policy(after=86400, charge_drop=0.5))
    for minute, charge in enumerate(range(72, 35, -1)):
        news = on_battery(age=60 * minute, charge=float(charge), charge_at_start=72.0, spent=0.0)
        story.hears(news, at=60 * minute)
    assert story.ran_at() == [36 * 60]


def test_a_trigger_that_goes_away_again_moves_no_deadline_later() -> None:
    """A UPS whose charge swings back under less load is on battery all the same."""
    story = Playbook().hears(on_battery(), at=0).hears(on_battery(age=30, **LOW), at=30)
    story.hears(on_battery(age=40), at=40).shows(COUNTING, 20).runs_once(between=(60, 61))


def test_mains_that_return_before_the_commit_end_a_trigger_too() -> None:
    story = Playbook().hears(on_battery(**LOW), at=0).hears(on_mains(), at=59)
    story.runs_nothing_until(600).shows(IDLE)
    story.hears(on_battery("o2"), at=600).shows(COUNTING)
    assert story.plan.left(story.rules) > 400


def test_a_trigger_outlives_the_contact_with_the_server() -> None:
    story = Playbook().hears(on_battery(**LOW), at=0).falls_silent(at=10)
    story.runs_once(between=(60, 61))


def test_a_reload_may_switch_a_trigger_on_in_an_outage() -> None:
    story = Playbook(low_battery=False).hears(on_battery(**LOW), at=0).waits(until=100)
    story.shows(COUNTING, 500)
    story.rules = replace(story.rules, low_battery=None)
    story.runs_once(between=(100, 106))


class TestOrder:
    """The operator shuts the fleet down."""

    @pytest.mark.parametrize("news", [on_mains(), on_battery(), unknown()])
    def test_it_commits_at_once_whatever_the_power(self, news) -> None:
        story = Playbook().hears(news, at=0).hears_an_order(at=10).runs_once(between=(10, 10))
        assert story.said("shutting down now · ordered by the operator") == 1

    def test_it_is_obeyed_once(self) -> None:
        story = Playbook().hears(on_mains(), at=0).hears_an_order(at=10)
        story.runs_once(between=(10, 10), until=5000)

    def test_mains_that_were_good_for_long_before_it_are_no_sign_that_it_failed(self) -> None:
        """Else the host would say at once that it stays, and obey the next order a second time."""
        story = Playbook().hears(on_mains(), at=0).waits(until=5000).hears_an_order(at=5000)
        story.waits(until=5060).shows(COMMITTED).hears_an_order("x2", at=5060)
        assert len(story.ran_at()) == 1
        assert not story.said("did not switch it off")

    def test_a_host_that_boots_while_it_is_repeated_was_not_meant(self) -> None:
        """Else everything that is switched on again within minutes would go down again."""
        story = Playbook()
        story.order, story.ordered_at = "x1", story.time - 30
        story.hears(on_mains(), at=0).runs_nothing_until(1000)

    def test_a_host_that_slept_when_it_was_given_was_not_meant(self) -> None:
        story = Playbook().hears(on_mains(), at=0).sleeps(3600, at=10)
        story.hears_an_order(at=3620, age=60).runs_nothing_until(5000)

    def test_it_must_be_fresh(self) -> None:
        """What waited in the socket since before a stall may be an order of long ago."""
        story = Playbook().hears(on_mains(), at=0).waits(until=100)
        story.plan = replace(story.plan, pings=())
        story.order, story.ordered_at = "x1", story.time
        story._say()
        assert story.ran_at() == []

    def test_a_dry_run_rehearses_it_once_and_counts_again_later(self) -> None:
        story = Playbook(dry_run=True).hears(on_mains(), at=0).hears_an_order(at=10)
        story.waits(until=100).shows(IDLE)
        assert story.said("dry run: would shut down now · ordered by the operator") == 1
        story.hears(on_battery(), at=200).shows(COUNTING)

    def test_a_host_that_is_committed_already_runs_nothing_twice(self) -> None:
        story = Playbook().hears(on_battery(), at=0).waits(until=601).shows(COMMITTED)
        story.hears_an_order(at=610).waits(until=1000)
        assert len(story.ran_at()) == 1
