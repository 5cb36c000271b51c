"""Contact lost, no outage known: what a host does by its own eyes, as stories in virtual time."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playbook import COMMITTED, COUNTING, IDLE, WAITING, Playbook, on_battery, on_mains, unknown

from powmonman.core import lost_contact, policy
from powmonman.core.lost_contact import LONGEST_GAP, Fact
from powmonman.core.plan import NEVER, OnLostContact, Plan, Say
from powmonman.core.records import from_json, to_json

AFTER, EVERY, LEASE = 300.0, 5.0, 15.0
BOTH = ("no_carrier", "gateway_silent")
CUT = {"no_carrier": True, "gateway_silent": True}
TEXTS = {"no_carrier": "no carrier on eth0", "gateway_silent": "gateway 192.0.2.1 is silent to ARP"}


class Eyes(Playbook):
    """A host that looks for evidence every 5 s while it is asked to."""

    def __init__(self, only_if=BOTH, shutdown_after=AFTER, **rules):
        self.sight: dict[str, bool | None] = {}
        self.mark = ""
        self.next_look = float("inf")
        super().__init__(on_lost_contact=OnLostContact(shutdown_after, only_if), **rules)

    def sees(self, at=None, mark="", **sight):
        """What the evidence is from then on; none: nobody looks."""
        self._until(self.elapsed if at is None else at)
        self.sight, self.mark = sight, mark
        return self

    def facts(self):
        return [Fact(kind, holds, TEXTS[kind], self.mark) for kind, holds in self.sight.items()]

    def looks(self, took=0.0):
        began = self.time - took
        self._take(policy.looked(self.plan, self.facts(), began, self.rules, self.now))

    def _until(self, elapsed):
        goal = self.start - self.asleep + elapsed
        while True:
            asked = self.sight and lost_contact.asks(self.plan, self.rules)
            self.next_look = min(self.next_look, self.time + 1) if asked else float("inf")
            step = min(goal, self.next_look if asked else max(self.plan.wake_at, self.time + 0.25))
            super()._until(step - self.start + self.asleep)
            if self.next_look <= self.time and lost_contact.asks(self.plan, self.rules):
                self.next_look = self.time + EVERY
                self.looks()
            if step >= goal:
                return


def cut_off(at=100, **options):
    """A host on mains whose switch dies at 100 s: silent for a lease at 115 s."""
    return Eyes(**options).hears(on_mains(), at=0).falls_silent(at=at).sees(**CUT)


def seconds(story):
    return story.ran_at()[0] if story.ran_at() else None


class TestByDefault:
    @pytest.mark.parametrize("first", [on_mains(), None], ids=["on mains", "nothing known yet"])
    def test_lost_contact_shuts_nothing_down_and_is_told_at_once_and_hourly(self, first):
        story = Eyes(only_if=(), shutdown_after=None)
        story = story.hears(first, at=0) if first else story
        story.falls_silent(at=30).sees(**CUT).runs_nothing_until(3 * 3600)
        assert story.said("no contact with the server") == 3
        assert story.said("nothing is shut down; this host is not protected") == 3
        told = [at for at, command in story.commands if isinstance(command, Say)]
        assert any(LEASE - 1 <= at <= 30 + 2 * LEASE for at in told), "at once"

    def test_evidence_without_the_option_is_none(self):
        """As if looks came in though nobody had asked for them."""
        story = Eyes(only_if=(), shutdown_after=None).hears(on_mains(), at=0).falls_silent(at=30)
        for at in range(50, 2000, 50):
            story.waits(until=at).sees(**CUT).looks()
        assert story.ran_at() == []
        story.shows(IDLE)

    def test_an_option_without_evidence_is_none(self):
        Eyes(only_if=()).hears(on_mains(), at=0).falls_silent().sees(**CUT).runs_nothing_until(1500)


class TestOnBattery:
    def test_contact_lost_on_battery_counts_on_and_commits_at_the_deadline(self):
        """And no evidence is looked for: it is not needed, and could not end the countdown."""
        story = Eyes().hears(on_battery(), at=0).falls_silent(at=30)
        story.sees(no_carrier=False, gateway_silent=False)
        story.shows(COUNTING, left=570).waits(until=400)
        assert not lost_contact.asks(story.plan, story.rules)
        story.looks()
        story.runs_once(between=(599, 601))
        assert story.said("on_lost_contact") == 0

    def test_contact_lost_on_battery_without_the_option_too(self):
        Eyes(only_if=(), shutdown_after=None).hears(on_battery(), at=0).falls_silent(
            at=30
        ).runs_once(between=(599, 601))


class TestEvidence:
    def test_a_host_that_is_cut_off_goes_after_the_time_it_was_given(self):
        story = cut_off().runs_once(between=(115 + AFTER, 115 + AFTER + 2 * EVERY), until=1500)
        story.shows(COMMITTED)
        assert "on_lost_contact: no contact for" in story.plan.why
        assert "no carrier on eth0; gateway 192.0.2.1 is silent to ARP" in story.plan.why

    def test_a_host_that_never_met_its_server_goes_too(self):
        story = Eyes().falls_silent(at=0).sees(**CUT)
        story.runs_once(between=(LEASE + AFTER, LEASE + AFTER + 2 * EVERY))

    def test_it_says_what_it_does_and_why(self):
        story = cut_off().waits(until=130).shows(COUNTING)
        (said,) = [c.text for c in story.of(Say) if "on_lost_contact: shutdown in" in c.text]
        assert "contact lost for 16 s · on_lost_contact: shutdown in 300 s" in said
        assert "unless the server is heard again or the evidence breaks" in said
        assert said.endswith("evidence: no carrier on eth0; gateway 192.0.2.1 is silent to ARP")
        story.waits(until=156)
        assert "shutdown in 26" in lost_contact.described(story.plan, story.rules)
        assert story.plan.why == "no carrier on eth0; gateway 192.0.2.1 is silent to ARP"
        assert [warn.text for warn in story.of(policy_warn())][-1].endswith(
            "This host shuts down in 300 s unless the server is heard again."
        )

    @pytest.mark.parametrize("kind", BOTH)
    @pytest.mark.parametrize("holds", [False, None], ids=["does not hold", "can't be told"])
    def test_any_one_that_does_not_hold_keeps_the_host_up(self, kind, holds):
        """Nor does what can't be told hold."""
        story = cut_off().sees(**{**CUT, kind: holds}).shows(IDLE).runs_nothing_until(1500)
        assert story.said("on_lost_contact: no shutdown: " + TEXTS[kind]) == 1

    def test_evidence_that_nobody_has_seen_does_not_hold(self):
        cut_off().sees(no_carrier=True).runs_nothing_until(1500)

    @pytest.mark.parametrize("kind", BOTH)
    @pytest.mark.parametrize("holds", [False, None], ids=["does not hold", "can't be told"])
    def test_any_one_that_breaks_ends_the_count_which_begins_anew(self, kind, holds):
        story = cut_off().waits(until=400).shows(COUNTING)
        story.sees(**{**CUT, kind: holds}).waits(until=410).shows(IDLE)
        assert story.said("shutdown cancelled with") == 1
        story.sees(at=420, **CUT)
        story.runs_once(between=(420 + AFTER, 420 + AFTER + 2 * EVERY))

    def test_a_link_that_blinked_between_two_looks_is_a_break(self):
        story = cut_off().sees(mark="eth0 2", **CUT).waits(until=400)
        story.sees(mark="eth0 4", **CUT)
        story.runs_once(between=(400 + AFTER, 400 + AFTER + 2 * EVERY))
        assert story.said("the evidence broke between two looks") == 1

    def test_a_look_that_nobody_takes_is_a_break(self):
        """As where a driver hangs: there is no evidence then."""
        story = cut_off().waits(until=300).shows(COUNTING)
        story.sees().waits(until=300 + LONGEST_GAP + 11).shows(IDLE)
        story.runs_nothing_until(1500)

    def test_a_look_that_took_too_long_is_none(self):
        story = cut_off().sees().waits(until=200).sees(**CUT)
        story.looks(took=LONGEST_GAP + 1)
        story.shows(IDLE)

    def test_it_goes_at_a_look_and_never_between_two(self):
        story = cut_off().waits(until=410)
        story.sees()
        story.waits(until=425)
        assert story.plan.left(story.rules) == 0
        assert story.ran_at() == []
        story.sees(no_carrier=False, gateway_silent=True).looks()
        story.shows(IDLE).runs_nothing_until(1500)


def policy_warn():
    from powmonman.core.plan import Warn

    return Warn


class TestContact:
    def test_back_on_mains_it_stays_up(self):
        story = cut_off().waits(until=400).shows(COUNTING)
        story.hears(on_mains(), at=414).shows(IDLE).runs_nothing_until(2000)
        assert story.said("contact with the server is back") == 1

    def test_back_on_battery_the_usual_countdown_goes_on(self):
        story = cut_off().waits(until=400).shows(COUNTING)
        story.hears(on_battery(age=310), at=410).shows(COUNTING, left=290)
        assert story.plan.outage == "o1"
        story.runs_once(between=(699, 701))

    def test_back_with_a_server_that_knows_nothing_it_stays_up(self):
        cut_off().waits(until=400).hears(unknown(), at=410).shows(IDLE).runs_nothing_until(1500)

    def test_a_server_that_answers_and_does_not_know_the_power_is_no_lost_contact(self):
        Eyes().hears(unknown(), at=0).sees(**CUT).runs_nothing_until(1500)

    def test_any_contact_begins_the_time_anew(self):
        story = cut_off().waits(until=400)
        story.hears(on_mains(), at=410).falls_silent(at=412)
        story.runs_once(between=(412 + LEASE + AFTER - 5, 412 + LEASE + AFTER + 3 * EVERY))

    def test_a_server_that_lets_it_in_is_contact_before_it_has_said_anything(self):
        story = cut_off().waits(until=400).shows(COUNTING)
        story._take(policy.connected(story.plan, story.now, story.rules))
        story.shows(IDLE)


class TestStandingStill:
    def test_suspend_forgets_the_count(self):
        """Time asleep is no time in which evidence held (S6)."""
        story = cut_off().waits(until=300).sleeps(3600).shows(IDLE)
        woken = story.elapsed
        least = woken + LEASE + AFTER
        story.runs_once(between=(least, least + 3 * EVERY))

    def test_a_stall_begins_the_time_anew(self):
        story = cut_off().waits(until=300).stands_still(200).shows(IDLE)
        assert story.said("this client stood still for") == 1
        story.runs_once(between=(500 + AFTER, 500 + LEASE + AFTER + 3 * EVERY))

    def test_a_look_from_before_a_stall_over_the_deadline_commits_nothing(self):
        story = cut_off().waits(until=400)
        story.time += 60
        story.looks(took=1)
        assert story.ran_at() == []

    def test_a_restart_of_the_process_begins_it_anew(self, tmp_path):
        from powmonman.client.kept import load_plan, save_plan

        story = cut_off().waits(until=400).shows(COUNTING)
        assert save_plan(tmp_path, story.plan) == ""
        story.plan = load_plan(tmp_path, story.now)
        story.shows(IDLE)
        story.runs_once(between=(400 + AFTER, 400 + AFTER + LEASE + 3 * EVERY))


class TestOnce:
    def test_after_the_commit_nothing_cancels_it(self):
        story = cut_off().runs_once(between=(415, 426))
        story.sees(no_carrier=False, gateway_silent=False).hears(on_mains(), at=430)
        story.shows(COMMITTED)

    def test_a_host_that_still_runs_does_not_go_so_again_in_this_boot(self, tmp_path):
        """Its commands did not switch it off, and they would not do it at a second try either."""
        from powmonman.client.kept import load_plan, save_plan

        story = cut_off().runs_once(between=(415, 426))
        story.hears(on_mains(), at=430).waits(until=1200).shows(IDLE)
        save_plan(tmp_path, story.plan)
        story.plan = load_plan(tmp_path, story.now)
        story.falls_silent(at=1300).sleeps(60)
        story.waits(until=4000)
        assert len(story.ran_at()) == 1
        assert story.said("has shut this host down once in this boot") >= 1

    def test_a_known_outage_after_that_is_obeyed_all_the_same(self):
        story = cut_off().runs_once(between=(415, 426))
        story.hears(on_mains(), at=430).waits(until=1200).shows(IDLE)
        story.hears(on_battery("o2"), at=1300).waits(until=2500)
        assert len(story.ran_at()) == 2

    def test_a_dry_run_is_over_when_the_server_is_heard(self):
        story = cut_off(dry_run=True).runs_once(between=(415, 426))
        assert not story.plan.alone.ran
        story.hears(on_battery(), at=500).shows(COUNTING, left=600)


class TestWaiting:
    def test_it_waits_for_others_as_long_as_wait_timeout_says_and_no_longer(self):
        """Nobody tells it who is down."""
        story = cut_off(wait_for=("web",), wait_timeout=120).waits(until=450).shows(WAITING)
        assert "waiting for web" in story.plan.why
        assert "no carrier on eth0" in story.plan.why
        story.runs_once(between=(115 + AFTER + 120, 115 + AFTER + 120 + 3 * EVERY))

    def test_evidence_that_breaks_ends_the_wait(self):
        story = cut_off(wait_for=("web",), wait_timeout=120).waits(until=450).shows(WAITING)
        story.sees(no_carrier=False, gateway_silent=True).waits(until=460).shows(IDLE)
        story.runs_nothing_until(1500)

    def test_contact_ends_the_wait(self):
        story = cut_off(wait_for=("web",), wait_timeout=120).waits(until=450).shows(WAITING)
        story.hears(on_mains(), at=460).shows(IDLE).runs_nothing_until(1500)

    def test_a_stall_ends_the_wait(self):
        story = cut_off(wait_for=("web",), wait_timeout=120).waits(until=450).shows(WAITING)
        story.stands_still(100).shows(IDLE)

    def test_an_orders_wait_is_not_ended_by_it(self):
        story = Eyes(wait_for=("web",), wait_timeout=900).hears(on_mains(), at=0)
        story.hears_of("web").hears_an_order(at=50).shows(WAITING).falls_silent(at=60)
        story.sees(no_carrier=False, gateway_silent=False).shows(WAITING)
        story.runs_once(between=(949, 962))


class TestReload:
    def test_an_option_taken_out_ends_the_count(self):
        story = cut_off().waits(until=400).shows(COUNTING)
        story.rules = replace(story.rules, on_lost_contact=OnLostContact())
        story.waits(until=401).runs_nothing_until(1500)
        story.shows(IDLE)

    def test_a_longer_time_is_for_the_next_count_a_shorter_one_for_this(self):
        for after, least in ((9000.0, AFTER), (320.0, AFTER), (200.0, 285.0)):
            story = cut_off().waits(until=400)
            story.rules = replace(story.rules, on_lost_contact=OnLostContact(after, BOTH))
            story.runs_once(between=(115 + least, 115 + least + 2 * EVERY))

    def test_more_evidence_that_is_asked_for_must_hold_too(self):
        story = cut_off().waits(until=400)
        more = OnLostContact(AFTER, (*BOTH, "own_battery"))
        story.rules = replace(story.rules, on_lost_contact=more)
        story.runs_nothing_until(1500)


def test_a_plan_with_the_longest_evidence_survives_the_disk():
    story = cut_off(wait_for=tuple(f"host-{n}-{'x' * 40}" for n in range(9)), wait_timeout=300)
    story.facts = lambda: [Fact(kind, True, "x" * 900) for kind in BOTH]
    story.waits(until=450).shows(WAITING)
    assert from_json(Plan, to_json(story.plan)) == story.plan


def test_no_line_is_repeated_while_nothing_changes():
    """Cut off for an hour, with a gateway that answers: three, and one an hour."""
    story = cut_off().sees(no_carrier=True, gateway_silent=False).waits(until=4000)
    lines = [c for c in story.of(Say) if c.level >= logging.INFO]
    assert len(lines) <= 3 + 2


# Whatever happens, in pieces of a few seconds: what the host sees, hears and lives through.
SIGHTS = st.sampled_from([True, True, True, True, False, None])
EVENTS = st.one_of(
    st.tuples(st.just("sees"), SIGHTS, SIGHTS),
    st.tuples(st.just("waits"), st.integers(1, 700)),
    st.tuples(st.just("waits"), st.integers(200, 700)),
    st.tuples(st.just("hears"), st.sampled_from(["mains", "unknown"])),
    st.tuples(st.just("sleeps"), st.integers(2, 4000)),
    st.tuples(st.just("stalls"), st.integers(4, 600)),
    st.tuples(st.just("blinks")),
    st.tuples(st.just("blind")),
)


class Oracle:
    """Knows, by the events alone, for how long all evidence has held without a break.

    `surely` begins anew at what may have been a break, `at_most` only at what surely was one: what
    is over before the next look is none that anybody can see.
    """

    def __init__(self, story):
        self.story = story
        self.surely = self.at_most = None

    def plays(self, event):
        story = self.story
        kind, *args = event
        before, began, counted = len(story.ran_at()), story.elapsed, story.plan.alone.holds
        match kind:
            case "sees":
                story.sees(no_carrier=args[0], gateway_silent=args[1], mark=story.mark)
                return False
            case "waits":
                story.waits(until=began + args[0])
            case "hears":
                story.hears(on_mains() if args[0] == "mains" else unknown())
                story.falls_silent(at=story.elapsed + 1)
            case "sleeps":
                story.sleeps(args[0])
            case "stalls":
                story.stands_still(args[0])
            case "blinks":
                story.sees(**story.sight, mark=story.mark + "x")
            case "blind":
                sight = story.sight
                story.sees().waits(until=began + LONGEST_GAP + 11).sees(mark=story.mark, **sight)
        if kind == "waits" and story.sight and all(map(bool, story.sight.values())):
            self.surely = began if self.surely is None else self.surely
            self.at_most = began if self.at_most is None else self.at_most
        else:
            self.surely = None
            passing = kind == "waits" and args[0] <= EVERY + 1
            if not passing and (kind != "blinks" or counted):
                self.at_most = None
        return len(story.ran_at()) > before


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=15), st.booleans())
def test_s1_s2_s4_s6_no_commit_but_after_unbroken_evidence(events, chosen):
    """Never without the option; never before all of it held for the whole time; once in a boot.

    And the bound: where it has held so long, with contact lost, the host is gone.
    """
    story = Eyes() if chosen else Eyes(only_if=(), shutdown_after=None)
    story.falls_silent(at=0)
    oracle = Oracle(story)
    for event in events:
        ran = oracle.plays(event)
        if ran:
            assert chosen, "S2: not without the option"
            assert oracle.at_most is not None, f"S2: at {event}, without evidence"
            held = story.ran_at()[0] - oracle.at_most
            assert held >= AFTER, f"S6: evidence held for {held} s only"
        held = None if oracle.surely is None else story.elapsed - oracle.surely
        if chosen and held is not None and held > LEASE + AFTER + 3 * EVERY:
            assert len(story.ran_at()) == 1, f"held for {held} s, and still {story.plan.phase}"
    assert len(story.ran_at()) <= 1, "S4"


# What was rejected. Each is put back, and must fail a story above.
def any_one(wanted, by_kind):
    return [] if any(fact.holds for fact in by_kind.values()) else list(wanted)


def unknown_holds(wanted, by_kind):
    return [kind for kind in wanted if kind in by_kind and by_kind[kind].holds is False]


class TestRejectedDesigns:
    def test_any_of_the_evidence_instead_of_all_is_caught(self, monkeypatch):
        monkeypatch.setattr(lost_contact, "_failing", any_one)
        with pytest.raises(AssertionError):
            TestEvidence().test_any_one_that_does_not_hold_keeps_the_host_up("no_carrier", False)

    def test_unknown_that_counts_as_holding_is_caught(self, monkeypatch):
        monkeypatch.setattr(lost_contact, "_failing", unknown_holds)
        with pytest.raises(AssertionError):
            TestEvidence().test_any_one_that_does_not_hold_keeps_the_host_up("no_carrier", None)

    def test_a_count_that_goes_on_over_a_suspend_is_caught(self, monkeypatch):
        from powmonman.core import elapsed

        forgetful = elapsed.elapse

        def remembers(plan, now):
            after, commands = forgetful(plan, now)
            if after.woken and not plan.woken and plan.alone.holds:
                after = replace(after, alone=plan.alone, phase=plan.phase, silent=plan.silent)
            return after, commands

        monkeypatch.setattr(policy, "elapse", remembers)
        with pytest.raises(AssertionError):
            TestStandingStill().test_suspend_forgets_the_count()

    def test_a_count_that_goes_on_over_a_stall_is_caught(self, monkeypatch):
        monkeypatch.setattr(lost_contact, "interrupted", lambda plan, _: (plan, []))
        with pytest.raises(AssertionError):
            TestStandingStill().test_a_stall_begins_the_time_anew()

    def test_a_break_that_is_forgotten_is_caught(self, monkeypatch):
        monkeypatch.setattr(
            lost_contact, "broken", lambda plan, *_: (replace(plan, phase=COUNTING), [])
        )
        with pytest.raises(AssertionError):
            TestEvidence().test_any_one_that_breaks_ends_the_count_which_begins_anew(
                "no_carrier", False
            )

    def test_a_commit_between_two_looks_is_caught(self, monkeypatch):
        due = lost_contact.due

        def eager(plan, rules, now):
            seen = replace(plan, alone=replace(plan.alone, looked=now.running))
            return due(seen if plan.alone.looked != NEVER else plan, rules, now)

        monkeypatch.setattr(lost_contact, "due", eager)
        with pytest.raises(AssertionError):
            TestEvidence().test_it_goes_at_a_look_and_never_between_two()

    def test_silence_on_mains_as_an_outage_is_caught(self, monkeypatch):
        monkeypatch.setattr(lost_contact, "_failing", lambda *_: [])
        with pytest.raises(AssertionError):
            TestEvidence().test_any_one_that_does_not_hold_keeps_the_host_up("no_carrier", False)
