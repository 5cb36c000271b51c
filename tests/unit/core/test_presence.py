"""When a host is down, and when nobody may say so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powmonman.core.presence import MOST_GAP, Answer, Bounds, Presence

BOUNDS = Bounds(settle=5.0, gone_after=60.0)
ANSWERED, SILENT, MUTE, UNSURE = Answer


class Story:
    """A host, and a server that asks it once a second."""

    def __init__(self, phase: str = "committed", *, dry_run: bool = False) -> None:
        self.time = 1000.0
        self.host = Presence().joined(self.time, dry_run=dry_run, new_boot=True)
        self.host = self.host.said(phase, self.time)

    def hangs_up(self) -> Story:
        self.host = self.host.hung_up(self.time)
        return self

    def joins(self, *, new_boot: bool = False) -> Story:
        self.host = self.host.joined(self.time, dry_run=False, new_boot=new_boot)
        return self

    def is_asked(self, answer: Answer, times: int = 1, how: str = "no answer to ping") -> Story:
        for _ in range(times):
            self.host = self.host.asked(answer, how, self.time, self.time + 1)
            self.time += 1
        return self

    @property
    def down(self) -> str:
        return self.host.down(BOUNDS)


def test_who_committed_hung_up_and_is_silent_is_down() -> None:
    story = Story().hangs_up()
    assert not story.is_asked(SILENT, 4).down
    assert story.is_asked(SILENT).down == "committed, hung up, no answer to ping for 5 s"


def test_halting_counts_like_a_commit() -> None:
    story = Story("halting").hangs_up().is_asked(SILENT, 5)
    assert story.down == "halting, hung up, no answer to ping for 5 s"


def test_a_socket_that_closed_is_not_down_however_long_ago() -> None:
    story = Story().hangs_up()
    story.time += 100_000
    assert not story.down
    assert not story.is_asked(SILENT).down


def test_one_answer_begins_the_silence_anew() -> None:
    story = Story().hangs_up().is_asked(SILENT, 4).is_asked(ANSWERED).is_asked(SILENT, 4)
    assert not story.down
    assert story.is_asked(SILENT).down


def test_who_answers_after_it_was_down_is_not_down() -> None:
    story = Story().hangs_up().is_asked(SILENT, 9)
    assert story.down
    assert not story.is_asked(ANSWERED).down


def test_who_went_without_a_commit_is_down_much_later() -> None:
    story = Story("counting").hangs_up().is_asked(SILENT, 59)
    assert not story.down
    assert story.is_asked(SILENT).down == "gone without a commit, no answer to ping for 60 s"


def test_a_silence_that_may_be_a_firewalls_needs_the_longer_time() -> None:
    story = Story().hangs_up().is_asked(MUTE, 59)
    assert not story.down
    assert story.is_asked(MUTE).down == "committed, hung up, no answer to ping for 60 s"


def test_a_cable_of_our_own_that_is_out_is_no_silence() -> None:
    assert not Story().hangs_up().is_asked(SILENT, 4).is_asked(UNSURE).is_asked(SILENT, 4).down


def test_a_server_that_stood_still_must_ask_again() -> None:
    story = Story().hangs_up().is_asked(SILENT)
    story.time += MOST_GAP + 1
    assert not story.is_asked(SILENT).down


def test_what_was_asked_before_it_hung_up_does_not_count() -> None:
    story = Story().is_asked(SILENT, 9).hangs_up()
    assert not story.down
    story.host = story.host.asked(SILENT, "ping", story.time - 9, story.time)
    assert not story.down


@pytest.mark.parametrize("new_boot", [True, False])
def test_a_host_that_is_connected_again_is_up(*, new_boot: bool) -> None:
    story = Story().hangs_up().is_asked(SILENT, 9).joins(new_boot=new_boot)
    assert not story.down


def test_a_new_boot_has_committed_to_nothing() -> None:
    story = Story().hangs_up().joins(new_boot=True).hangs_up().is_asked(SILENT, 9)
    assert not story.down


def test_a_client_that_was_restarted_in_its_commit_has_committed_still() -> None:
    assert Story().hangs_up().joins().hangs_up().is_asked(SILENT, 5).down


def test_a_rehearsed_commit_counts_at_once_and_ends_with_the_rehearsal() -> None:
    story = Story(dry_run=True)
    assert story.down == "dry run: it has committed, and counts as down for those that wait"
    story.host = story.host.said("idle", story.time)
    assert not story.down
    assert not Story("counting", dry_run=True).down


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.sampled_from(Answer), st.sampled_from([0.0, 1.0, 40.0])),
        st.sampled_from([("join", True), ("join", False), ("leave",)]),
        st.tuples(st.just("say"), st.sampled_from(["idle", "counting", "committed", "halting"])),
    ),
    max_size=120,
)


@given(STEPS)
def test_down_is_only_who_is_gone_and_silent_since_its_last_sign_of_life(steps) -> None:
    """In any story: after every answer, hello or word the bounds must pass anew, observed."""
    host, now, alive, asked = Presence(), 0.0, 0.0, 0
    for step in steps:
        now += 1.0
        match step:
            case ("ask", answer, pause):
                now += pause
                host = host.asked(answer, "ping", now, now + 1)
                now += 1
                asked += 1
                if answer in (ANSWERED, UNSURE):
                    alive, asked = now, 0
            case ("join", new):
                host = host.joined(now, dry_run=False, new_boot=new)
                alive, asked = now, 0
            case ("leave",):
                host = host.hung_up(now)
                alive, asked = now, 0
            case ("say", phase) if host.connected:
                host = host.said(phase, now)
                alive, asked = now, 0
        if host.down(BOUNDS):
            assert not host.connected
            assert asked >= 2
            assert now - alive >= (BOUNDS.settle if host.going else BOUNDS.gone_after)
