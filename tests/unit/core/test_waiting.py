"""A host that goes after others, told as stories in virtual time: due at 600 s, waiting for 300."""

from __future__ import annotations

import pytest
from playbook import COMMITTED, COUNTING, IDLE, WAITING, Playbook, on_battery, on_mains, unknown

from powmonman.core.messages import Policy
from powmonman.core.plan import Rules, Run, Warn

WEBS = ("web1", "web2")


def nas(**rules) -> Playbook:
    """Return a host that waits for two, both of which are up."""
    story = Playbook(wait_for=WEBS, **rules)
    story.not_down = WEBS
    return story


def test_a_host_goes_when_those_it_waits_for_are_down() -> None:
    story = nas().hears(on_battery(), at=0).waits(until=601).shows(WAITING, left=299)
    story.hears_of("web2", at=650).shows(WAITING, left=250)
    story.hears_of(at=700).shows(COMMITTED)
    assert [700] == story.ran_at()
    assert story.of(Run)[0].reason.endswith("the server says so, web1, web2 are down")


def test_a_host_goes_in_the_end_though_they_never_do() -> None:
    story = nas().hears(on_battery(), at=0).runs_once(between=(899, 901))
    assert story.of(Run)[0].reason.endswith("waited 300 s for web1, web2")


def test_it_is_said_for_whom_and_for_how_long() -> None:
    story = nas().hears(on_battery(), at=0).hears_of("web2", at=650).hears_of(at=700)
    assert 1 == story.said(
        "deadline reached, 600 s of battery spent · waiting for web1, web2, at most 300 s more"
    )
    assert 1 == story.said("web1 is down · waiting for web2, at most 250 s more · outage o1")
    assert 1 == story.said("web2 is down · outage o1")
    assert "waiting for web1, web2" not in story.plan.why


def test_the_phase_says_for_whom() -> None:
    story = nas().hears(on_battery(), at=0).waits(until=610)
    assert "waiting for web1, web2" == story.plan.why
    assert "waiting for web2" == story.hears_of("web2", at=620).plan.why


def test_users_are_told_of_the_wait() -> None:
    story = nas().hears(on_battery(), at=0).waits(until=1000)
    texts = [warning.text for warning in story.of(Warn)]
    assert (
        "This host shuts down when web1, web2 are down, in at most 300 s, unless the mains return."
    ) in texts
    assert "This host shuts down in at most 60 s unless the mains return." in texts


def test_a_long_list_of_names_is_cut_short() -> None:
    """The plan keeps the text, and a text that is too long would lose it with a restart."""
    hosts = tuple(f"{'web' * 20}{n}" for n in range(400))
    story = Playbook(wait_for=hosts)
    story.not_down = hosts
    story.hears(on_battery(), at=0).waits(until=700).restarts().shows(WAITING)
    assert story.plan.why.endswith("and 392 more")


def test_a_server_that_says_nothing_of_them_ends_no_wait() -> None:
    """An older one knows of no order, and its silence on it is not the word that all are down."""
    story = nas()
    story.not_down = None
    story.hears(on_battery(), at=0).waits(until=700).shows(WAITING, left=200)
    story.runs_once(between=(899, 901))


def test_names_of_any_length_are_kept_over_a_restart() -> None:
    hosts = tuple(f"{n}{'w' * 252}" for n in range(8))
    story = Playbook(wait_for=hosts)
    story.not_down = hosts
    story.hears(on_battery(), at=0).waits(until=700).restarts().shows(WAITING)


def test_who_is_down_already_is_not_waited_for() -> None:
    story = nas().hears(on_battery(), at=0).hears_of(at=300).runs_once(between=(599, 601))
    assert 0 == story.said("waiting for web")


def test_who_comes_back_up_is_waited_for_again() -> None:
    story = nas().hears(on_battery(), at=0).hears_of("web2", at=610).hears_of(*WEBS, at=620)
    assert 1 == story.said("web1 is up again · waiting for web1, web2")
    story.runs_once(between=(899, 901))


def test_without_wait_for_nobody_is_waited_for() -> None:
    """A server can't put off the shutdown of a host that did not ask it to."""
    story = Playbook().hears(on_battery(), at=0).hears_of("web1", at=1)
    story.runs_once(between=(599, 601))


def test_a_server_can_not_make_a_host_wait_for_others_than_it_named() -> None:
    story = Playbook(wait_for=("web1",)).hears(on_battery(), at=0).hears_of("mail", at=1)
    story.runs_once(between=(599, 601))


def test_mains_that_return_end_the_wait() -> None:
    story = nas().hears(on_battery(), at=0).hears(on_mains(), at=899).shows(IDLE)
    story.runs_nothing_until(10_000)
    assert 1 == story.said("shutdown cancelled with 1 s left")
    assert "The mains are back. This host stays up." == story.of(Warn)[-1].text


def test_unknown_neither_ends_nor_prolongs_the_wait() -> None:
    story = nas().hears(on_battery(), at=0).hears(unknown(), at=650).shows(WAITING, left=250)
    story.runs_once(between=(899, 901))


def test_a_server_that_knows_no_more_of_the_power_still_knows_who_is_down() -> None:
    story = nas().hears(on_battery(), at=0).hears(unknown(), at=650).hears_of(at=800)
    story.runs_once(between=(800, 801))


def test_silence_neither_ends_nor_prolongs_the_wait() -> None:
    story = nas().hears(on_battery(), at=0).falls_silent(at=650).runs_once(between=(899, 901))
    assert 1 == story.said("on battery: this host shuts down on its own, in at most 230 s")


def test_a_host_that_lost_contact_before_its_deadline_waits_too() -> None:
    story = nas().hears(on_battery(), at=0).falls_silent(at=30).waits(until=601)
    story.shows(WAITING, left=299).runs_once(between=(899, 901))


def test_who_was_never_told_in_this_outage_waits_for_all() -> None:
    """What was true before the outage says nothing of now: they have booted since."""
    story = nas().hears(on_battery(), at=0).hears_of(at=10).hears(on_mains(), at=20)
    story.waits(until=9000).stands_still(20).reads_late(on_battery("o2", spent=0))
    assert WEBS == story.plan.pending(story.rules)
    story.waits(until=9610).shows(COUNTING).waits(until=9630).shows(WAITING)
    story.runs_once(between=(9919, 9921))


def test_a_stale_word_that_all_are_down_ends_no_wait() -> None:
    """It lay in the socket while this client stood still."""
    story = nas().hears(on_battery(), at=0).waits(until=650).falls_silent().stands_still(20)
    story.reads_late(on_battery(age=650)).shows(WAITING, left=230)
    story.runs_once(between=(899, 916))


def test_after_a_stall_over_its_end_the_commit_waits_for_fresh_news() -> None:
    """Stopped from 850 s to 950 s; the mains came back at 900 s."""
    story = nas().hears(on_battery(), at=0).falls_silent(at=850).stands_still(100)
    story.shows(WAITING, left=0).hears(on_mains(), at=951).shows(IDLE).runs_nothing_until(10_000)


def test_after_a_stall_over_its_end_a_lease_of_silence_is_enough() -> None:
    story = nas().hears(on_battery(), at=0).falls_silent(at=850).stands_still(100)
    story.runs_once(between=(950, 966))


def test_a_sleep_forgets_the_wait() -> None:
    story = nas().hears(on_battery(), at=0).waits(until=700).falls_silent().sleeps(3600)
    story.shows(IDLE).runs_nothing_until(20_000)


def test_a_restart_of_the_process_goes_on_waiting() -> None:
    story = nas().hears(on_battery(), at=0).falls_silent(at=650).restarts(20, at=700)
    story.shows(WAITING, left=180).runs_once(between=(899, 901))


def test_no_reload_prolongs_a_wait_and_a_shorter_one_is_taken() -> None:
    story = nas().hears(on_battery(), at=0).waits(until=650)
    for timeout, left in ((9000.0, 250), (200.0, 150), (250.0, 150)):
        story.rules = Rules(wait_for=WEBS, wait_timeout=timeout)
        story.waits(until=story.elapsed).shows(WAITING, left=left)
    story.runs_once(between=(799, 801))


@pytest.mark.parametrize("wait_for", [(), ("mail",)])
def test_a_reload_may_change_for_whom_it_waits(wait_for) -> None:
    """Whom it has not asked about is not known to be down."""
    story = nas().hears(on_battery(), at=0).waits(until=650)
    story.rules = Rules(wait_for=wait_for)
    story.linked = False
    story.falls_silent().waits(until=660).shows(WAITING if wait_for else COMMITTED)


def test_a_wait_of_no_time_is_none() -> None:
    nas(wait_timeout=0.0).hears(on_battery(), at=0).runs_once(between=(599, 601))


def test_flapping_can_not_put_a_waiting_host_off_for_ever() -> None:
    """250 s off, 10 s on, for ever: each wait goes on where the last one was cancelled."""
    story, at = nas(), 0
    while not story.ran_at() and at < 6000:
        story.hears(on_battery(f"o{at}", spent=story.plan.spent), at=at)
        story.hears(on_mains(spent=story.plan.spent), at=at + 250)
        at += 260
    assert 900 <= story.ran_at()[0] <= 1100


def test_the_wait_of_an_outage_long_after_is_whole_again() -> None:
    story = nas().hears(on_battery(), at=0).hears(on_mains(spent=0.0), at=800)
    story.hears(on_battery("o2"), at=20_000).waits(until=20_601).shows(WAITING, left=299)


def test_a_trigger_that_comes_early_begins_the_wait() -> None:
    story = nas().hears(on_battery(low_battery=True), at=0).waits(until=61)
    story.shows(WAITING, left=299).hears_of(at=100)
    assert [100] == story.ran_at()
    assert "low battery, the server says so, web1, web2 are down" in story.of(Run)[0].reason


def test_an_order_waits_too_and_the_mains_do_not_end_it() -> None:
    story = nas().hears(on_mains(), at=0).hears_an_order(at=500).shows(WAITING, left=300)
    story.waits(until=600).shows(WAITING, left=200).hears_of("web2", at=650).hears_of(at=700)
    assert [700] == story.ran_at()
    assert "ordered by the operator, web1, web2 are down" == story.of(Run)[0].reason
    assert 1 == story.said("ordered by the operator · waiting for web1, web2, at most 300 s more")
    assert not any("unless" in warning.text for warning in story.of(Warn))


def test_an_order_goes_in_the_end_without_a_server() -> None:
    story = nas().hears(on_mains(), at=0).hears_an_order(at=500).falls_silent(at=510)
    story.runs_once(between=(799, 801))
    assert 1 == story.said("ordered by the operator: this host shuts down on its own, in at most")


def test_an_order_goes_at_once_where_all_are_down() -> None:
    story = Playbook(wait_for=WEBS).hears(on_mains(), at=0).hears_an_order(at=500)
    assert [500] == story.ran_at()


def test_an_outage_during_an_orders_wait_changes_nothing() -> None:
    story = nas().hears(on_mains(), at=0).hears_an_order(at=500).hears(on_battery(), at=600)
    story.hears(on_mains(), at=700).shows(WAITING, left=100).runs_once(between=(799, 801))


def test_an_order_during_an_outages_wait_makes_it_final() -> None:
    story = nas().hears(on_battery(), at=0).hears_an_order(at=700).shows(WAITING, left=200)
    story.hears(on_mains(), at=750).runs_once(between=(899, 901))


def test_an_order_during_a_countdown_is_not_put_off_by_it() -> None:
    story = nas().hears(on_battery(), at=0).hears_an_order(at=100).shows(WAITING, left=300)
    story.hears(on_mains(), at=150).runs_once(between=(399, 401))


def test_an_order_gets_its_whole_time_though_an_outage_used_some_up() -> None:
    story = nas().hears(on_battery(), at=0).hears(on_mains(), at=800)
    story.hears_an_order(at=810).shows(WAITING, left=300)


def test_an_order_that_was_only_rehearsed_does_not_make_the_next_wait_final() -> None:
    story = nas(dry_run=True).hears(on_mains(), at=0).hears_an_order(at=100)
    story.waits(until=410).shows(IDLE)
    story.hears(on_battery("o2"), at=5000).waits(until=5610).shows(WAITING)
    story.hears(on_mains(), at=5620).shows(IDLE)


def test_a_host_that_is_armed_after_a_dry_run_has_waited_already() -> None:
    story = nas(dry_run=True).hears(on_battery(), at=0).waits(until=950).shows(COMMITTED)
    story.rules = Rules(wait_for=WEBS)
    story.waits(until=970)
    assert 2 == len(story.ran_at())
    assert "no longer a dry run" not in story.of(Run)[1].reason
    assert 950 <= story.ran_at()[1] <= 961


def test_the_time_left_is_told_at_sensible_moments_only() -> None:
    story = nas().hears(on_battery(), at=0).runs_once(between=(899, 901))
    assert 5 == story.said("waiting for web"), "at the start, 120, 60, 30, 10"


def test_a_deadline_that_no_battery_bears_is_not_prolonged_by_the_fleets_policy() -> None:
    story = nas().hears(on_battery(), at=0).waits(until=650)
    story.policy = Policy(after=3600)
    story.waits(until=660).shows(WAITING, left=240)
