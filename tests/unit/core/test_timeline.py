"""One story out of many views: told once, in order, whoever says it first."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powmonman.core.messages import Entry
from powmonman.core.story import clock, lines
from powmonman.core.timeline import (
    LONGEST_TEXT,
    NEAR,
    Kind,
    Moment,
    Stamp,
    accepted,
    began_at,
    merge,
    since,
    tally,
)

BOOT = "boot-1"


def server(kind: Kind, at: float | None, host: str = "", text: str = "", seq: int = 1) -> Moment:
    return Moment(kind, at, host, text, boot=BOOT if host else "", seq=seq)


def own(kind: Kind, at: float, host: str = "nas", text: str = "", boot: str = BOOT) -> Moment:
    return Moment(kind, at, host, text, boot=boot, own=True, seq=int(at * 100) + 1)


def told(*moments: Moment) -> list[str]:
    """Return the lines of the story as people read them."""
    return [f"{clock(line.at)} {line.text}" for line in lines(merge(moments), "rack", None)]


def test_an_outage_reads_like_a_story() -> None:
    assert told(
        server(Kind.MAINS_LOST, 0, text="charge 84 %"),
        server(Kind.TOLD, 2.01, "db", "1.9 ms after the push"),
        server(Kind.TOLD, 2.02, "nas", "2.8 ms after the push"),
        own(Kind.COUNTING, 2.0, text="298 s left"),
        own(Kind.COMMITTED, 300, text="the server says so"),
        own(Kind.HALTING, 302.5),
        server(Kind.LEFT, 303, "nas"),
        server(Kind.DOWN, 310, "nas"),
        server(Kind.MAINS_BACK, 3601),
        server(Kind.WOKEN, 3661, "nas"),
        server(Kind.BACK, 3725, "nas"),
    ) == [
        "+0:00 mains lost on rack · charge 84 %",
        "+0:02 told db (1.9 ms after the push), nas (2.8 ms after the push)",
        "+0:02 nas counts · 298 s left",
        "+5:00 nas shuts down · the server says so",
        "+5:02 nas halts",
        "+5:03 nas hung up",
        "+5:10 nas down",
        "+1:00:01 mains back on rack",
        "+1:01:01 nas woken",
        "+1:02:05 nas back",
    ]


def test_the_hosts_own_word_on_its_commit_wins() -> None:
    """The server may have heard of it late, or after its own restart."""
    (moment,) = merge([server(Kind.COMMITTED, 340, "nas", "as seen"), own(Kind.COMMITTED, 300)])
    assert (300, True, "as seen") == (moment.at, moment.own, moment.text)


def test_what_a_host_says_nothing_of_is_told_by_the_server() -> None:
    story = merge([server(Kind.COMMITTED, 300, "nas"), own(Kind.COUNTING, 2)])
    assert [(2, True), (300, False)] == [(moment.at, moment.own) for moment in story]


def test_another_boot_of_the_host_is_another_story() -> None:
    again = own(Kind.COMMITTED, 900, boot="boot-2")
    assert 2 == len(merge([server(Kind.COMMITTED, 300, "nas"), again]))


def test_a_phase_that_is_only_seen_again_is_no_news() -> None:
    """A server that was restarted hears from everybody what it knew before."""
    story = merge(
        [
            server(Kind.COUNTING, 2, "nas", seq=1),
            server(Kind.SERVER_BACK, 100, seq=2),
            server(Kind.COUNTING, 103, "nas", seq=3),
            server(Kind.TOLD, 2, "nas", seq=4),
            server(Kind.TOLD, 103, "nas", seq=5),
        ]
    )
    assert [Kind.TOLD, Kind.COUNTING, Kind.SERVER_BACK] == [moment.kind for moment in story]


def test_the_steps_of_a_return_are_told_once_until_the_host_goes_again() -> None:
    """A server that was killed tells what it may have lost again."""
    first = [server(Kind.WOKEN, 700, "nas", seq=1), server(Kind.BACK, 760, "nas", seq=2)]
    again = [server(Kind.WOKEN, 765, "nas", seq=3), server(Kind.BACK, 765, "nas", seq=4)]
    assert merge(first) == merge([*first, *again])
    assert [Kind.WOKEN, Kind.BACK] == [moment.kind for moment in merge([first[0], *again])]
    gone = own(Kind.COMMITTED, 764, boot="boot-2")
    assert 5 == len(merge([*first, gone, *again]))


@pytest.mark.parametrize(("apart", "lines_told"), [(NEAR - 1, 1), (NEAR + 1, 2)])
def test_a_broken_connection_that_both_saw_is_told_once(apart: float, lines_told: int) -> None:
    story = merge([server(Kind.LEFT, 10 + apart, "nas"), own(Kind.CONTACT_LOST, 10)])
    assert lines_told == len(story)


def test_things_at_the_same_time_come_in_the_order_of_cause_and_effect() -> None:
    kinds = [
        Kind.MAINS_LOST,
        Kind.TOLD,
        Kind.COUNTING,
        Kind.DOWN,
        Kind.COMMITTED,
        Kind.MAINS_BACK,
        Kind.STAYS,
    ]
    story = merge(server(kind, 5, "nas") for kind in reversed(kinds))
    assert kinds == [moment.kind for moment in story]


def test_who_is_back_comes_before_those_who_are_woken_for_it() -> None:
    story = merge([server(Kind.WOKEN, 31.59, "hypervisor"), server(Kind.BACK, 31.6, "nas")])
    assert ["nas", "hypervisor"] == [moment.host for moment in story]


def test_what_nobody_knows_the_time_of_comes_last_in_the_order_of_its_telling() -> None:
    story = merge(
        [
            server(Kind.BACK, None, "nas", seq=9),
            server(Kind.WOKEN, None, "nas", seq=8),
            server(Kind.COMMITTED, 300, "nas"),
        ]
    )
    assert [Kind.COMMITTED, Kind.WOKEN, Kind.BACK] == [moment.kind for moment in story]


def test_who_went_and_who_came_back() -> None:
    result = tally(
        merge(
            [
                own(Kind.COMMITTED, 300, "db"),
                own(Kind.COMMITTED, 300, "nas"),
                own(Kind.REHEARSED, 300, "desk"),
                server(Kind.DOWN, 310, "web"),
                server(Kind.BACK, 900, "db"),
                server(Kind.GIVEN_UP, 2000, "web"),
                own(Kind.CONTACT, 950, "nas", boot="boot-2"),
            ]
        )
    )
    assert (("db", "nas", "web"), ("db", "nas"), ("web",)) == (
        result.went,
        result.back,
        result.given_up,
    )


def test_a_host_that_went_again_is_not_back() -> None:
    story = [
        own(Kind.COMMITTED, 1),
        server(Kind.BACK, 2, "nas"),
        own(Kind.COMMITTED, 3, boot="boot-2"),
    ]
    assert () == tally(merge(story)).back


@pytest.mark.parametrize(
    ("began", "now", "seconds"),
    [
        (Stamp("a", 100.0), Stamp("a", 130.0), 30.0),
        (Stamp("a", 100.0, 5000.0), Stamp("b", 7.0, 5600.0), 600.0),
        (Stamp("a", 100.0, 5000.0), Stamp("b", 7.0), None),
        (Stamp("a", 100.0), Stamp("b", 7.0, 5600.0), None),
        (Stamp("", 0.0), Stamp("", 7.0), None),
    ],
)
def test_only_a_clock_that_spans_both_measures(
    began: Stamp, now: Stamp, seconds: float | None
) -> None:
    """The wall clock of a Pi after a boot is not trusted, and nothing is made up."""
    assert seconds == since(began, now)


def test_the_first_trusted_clock_dates_an_outage_that_the_server_could_not() -> None:
    moment = Moment(Kind.COUNTING, 10.0, "nas", wall=1010.0, own=True)
    assert (1000.0, 7.0, None) == (
        began_at(None, [own(Kind.TOLD, 1), moment]),
        began_at(7.0, [moment]),
        began_at(None, []),
    )


def test_a_host_speaks_of_itself_and_within_bounds() -> None:
    entry = Entry(1, "o1", "counting", 5.0, wall=1e300, text="x" * 1000, boot_id="b" * 500)
    moment = accepted("nas", entry)
    assert moment is not None
    assert ("nas", LONGEST_TEXT, 64, None) == (
        moment.host,
        len(moment.text),
        len(moment.boot),
        moment.wall,
    )


@pytest.mark.parametrize("kind", ["down", "woken", "mains_back", "rm -rf"])
def test_what_is_not_for_a_host_to_say_is_shown_as_its_words(kind: str) -> None:
    moment = accepted("nas", Entry(1, "o1", kind, 5.0, text="so"))
    assert moment is not None
    assert (Kind.NOTE, f"{kind}: so") == (moment.kind, moment.text)


@pytest.mark.parametrize(
    "entry",
    [
        Entry(0, "o1", "told", 1.0),
        Entry(-5, "o1", "told", 1.0),
        Entry(2**70, "o1", "told", 1.0),
        Entry(1, "", "told", 1.0),
        Entry(1, "o" * 65, "told", 1.0),
        Entry(1, "../../etc", "told", 1.0),
    ],
)
def test_an_entry_of_no_outage_or_no_number_is_none(entry: Entry) -> None:
    assert accepted("nas", entry) is None


moments = st.builds(
    Moment,
    kind=st.sampled_from(Kind),
    at=st.none() | st.floats(0, 1e6),
    host=st.sampled_from(["", "nas", "db"]),
    text=st.sampled_from(["", "a", "b"]),
    wall=st.none() | st.floats(1, 2e9),
    boot=st.sampled_from(["", "b1", "b2"]),
    own=st.booleans(),
    seq=st.integers(1, 9),
)


@given(st.lists(moments, max_size=9), st.randoms())
def test_neither_order_nor_repetition_changes_the_story(said: list[Moment], chance) -> None:
    shuffled = said + said[:4]
    chance.shuffle(shuffled)
    assert merge(said) == merge(shuffled)


@given(st.lists(moments, max_size=9))
def test_nothing_is_said_twice_and_nothing_is_made_up(said: list[Moment]) -> None:
    story = merge(said)
    times = [moment.at for moment in story if moment.at is not None]
    assert all(b - a >= -0.11 for a, b in itertools.pairwise(times))
    assert {(m.kind, m.at, m.host) for m in story} <= {(m.kind, m.at, m.host) for m in said}
    assert {m.host for m in story if m.own} == {m.host for m in said if m.own}
    assert len(list(lines(story, "rack", 0.0))) <= len(said)
