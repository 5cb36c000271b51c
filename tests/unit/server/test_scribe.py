"""What the server sees, in the words of the record; and what it lets a client say."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from powmonman.core.gauge import Gauge
from powmonman.core.messages import Diary, Entry, Hello, Status
from powmonman.core.outage import Outage, Supply
from powmonman.core.power import Debounce, PowerState
from powmonman.core.timeline import Fact, Kind, Moment
from powmonman.server import scribe as module
from powmonman.server.scribe import MOST_ENTRIES, Scribe

HELLO = Hello(nonce=1, boot_id="b1")
IDLE, COUNTING = Status("idle"), Status("counting", left=590.0, outage="o1")


class Book:
    """A history that only listens."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []
        self.handed: list[tuple[str, str, Moment]] = []
        self.seqs: set[tuple[str, int]] = set()

    def begin(self, outage: str, ups: str = "", *, began: float, drill: bool = False) -> None:
        self.lines.append(("drill" if drill else "begin", outage, ups, began))

    def note(self, outage: str, kind: str, host: str = "", text: str = "", **_: Any) -> None:
        self.lines.append((kind, outage, host, text))

    def end(self, outage: str) -> None:
        self.lines.append(("end", outage))

    def hand(self, host: str, outage: str, moment: Moment) -> bool:
        if (host, moment.seq) in self.seqs:
            return False
        self.seqs.add((host, moment.seq))
        self.handed.append((host, outage, moment))
        return True

    @property
    def kinds(self) -> list[str]:
        return [line[0] for line in self.lines]


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def scribe(book: Book) -> Scribe:
    return Scribe(book)  # type: ignore[arg-type]


def supply(state: PowerState, outage: str = "", **more: Any) -> Supply:
    open_one = Outage(outage, 100.0, 84.0) if outage else None
    return Supply(debounce=Debounce(state=state), outage=open_one, **more)


ON_MAINS = supply(PowerState.ON_MAINS)
ON_BATTERY = supply(PowerState.ON_BATTERY, "o1")
UNKNOWN = supply(PowerState.UNKNOWN, "o1")


def in_outage(scribe: Scribe, book: Book) -> None:
    scribe.mains({"rack": ON_MAINS}, started=True)
    scribe.mains({"rack": ON_BATTERY})
    book.lines.clear()


def test_an_outage_from_its_beginning_to_its_end(scribe: Scribe, book: Book) -> None:
    low = replace(ON_BATTERY, gauge=Gauge(low_battery=True))
    for each in (ON_MAINS, ON_BATTERY, ON_BATTERY, UNKNOWN, ON_BATTERY, low, low, ON_MAINS):
        scribe.mains({"rack": each})
    assert [
        "begin",
        Kind.MAINS_LOST,
        Kind.UNKNOWN,
        Kind.KNOWN,
        Kind.LOW_BATTERY,
        Kind.MAINS_BACK,
        "end",
    ] == book.kinds
    assert ("begin", "o1", "rack", 100.0) == book.lines[0]
    assert (Kind.MAINS_LOST, "o1", "", "charge 84 %") == book.lines[1]


def test_a_server_that_starts_in_an_outage_goes_on_with_its_record(
    scribe: Scribe, book: Book
) -> None:
    scribe.mains({"rack": UNKNOWN}, started=True)
    scribe.mains({"rack": ON_BATTERY})
    assert ["begin", Kind.MAINS_LOST, Kind.SERVER_BACK, Kind.KNOWN] == book.kinds


def test_a_server_that_starts_after_the_mains_are_back_ends_the_record(
    scribe: Scribe, book: Book
) -> None:
    scribe.mains({"rack": UNKNOWN}, started=True)
    scribe.mains({"rack": ON_MAINS})
    assert [Kind.MAINS_BACK, "end"] == book.kinds[-2:]


def test_one_outage_right_after_another(scribe: Scribe, book: Book) -> None:
    in_outage(scribe, book)
    scribe.mains({"rack": supply(PowerState.ON_BATTERY, "o2")})
    assert [Kind.MAINS_BACK, "end", "begin", Kind.MAINS_LOST] == book.kinds


def test_a_ups_that_is_not_watched_any_more_ends_its_record(scribe: Scribe, book: Book) -> None:
    in_outage(scribe, book)
    scribe.mains({})
    assert [(Kind.NOTE, "o1", "rack", "is not watched any more"), ("end", "o1")] == book.lines
    scribe.mains({"rack": ON_BATTERY})
    assert "begin" in book.kinds


def test_a_host_is_told_once_of_an_outage_of_its_own_ups(scribe: Scribe, book: Book) -> None:
    in_outage(scribe, book)
    scribe.told("nas", HELLO, 0.0028)
    scribe.told("nas", HELLO, None)
    scribe.told("db", replace(HELLO, upses=("other",)), 0.003)
    assert [(Kind.TOLD, "o1", "nas", "2.8 ms after the push")] == book.lines


def test_on_mains_nothing_that_hosts_do_is_noted(scribe: Scribe, book: Book) -> None:
    scribe.mains({"rack": ON_MAINS}, started=True)
    scribe.told("nas", HELLO, 0.1)
    scribe.joined("nas", HELLO)
    scribe.said("nas", HELLO, Status("unknown"), IDLE)
    scribe.left("nas", HELLO)
    assert [] == book.lines


def test_the_phases_of_a_host(scribe: Scribe, book: Book) -> None:
    in_outage(scribe, book)
    waiting = Status("waiting", outage="o1", reason="for web")
    committed = Status("committed", outage="o1", reason="the server says so")
    phases = [IDLE, COUNTING, COUNTING, waiting, committed, Status("halting", outage="o1")]
    for before, after in itertools.pairwise(phases):
        scribe.said("nas", HELLO, before, after)
    assert [
        (Kind.COUNTING, "o1", "nas", "590 s left"),
        (Kind.WAITING, "o1", "nas", "for web"),
        (Kind.COMMITTED, "o1", "nas", "the server says so"),
        (Kind.HALTING, "o1", "nas", ""),
    ] == book.lines


def test_a_dry_run_goes_nowhere(scribe: Scribe, book: Book) -> None:
    in_outage(scribe, book)
    scribe.said("nas", replace(HELLO, dry_run=True), COUNTING, Status("committed", outage="o1"))
    assert [Kind.REHEARSED] == book.kinds


def test_a_host_that_stays_up_says_so_after_the_end_of_the_outage(
    scribe: Scribe, book: Book
) -> None:
    in_outage(scribe, book)
    scribe.mains({"rack": ON_MAINS})
    book.lines.clear()
    scribe.said("nas", HELLO, COUNTING, IDLE)
    assert [(Kind.STAYS, "o1", "nas", "")] == book.lines


def test_a_phase_of_an_outage_that_the_server_does_not_know_is_not_noted(
    scribe: Scribe, book: Book
) -> None:
    """Else a client could make records with its status."""
    in_outage(scribe, book)
    scribe.said("nas", HELLO, IDLE, replace(COUNTING, outage="forged"))
    assert [] == book.lines


def test_a_host_that_went_is_seen_coming_back_long_after(scribe: Scribe, book: Book) -> None:
    in_outage(scribe, book)
    scribe.said("nas", HELLO, COUNTING, Status("committed", outage="o1"))
    scribe.mains({"rack": ON_MAINS})
    book.lines.clear()
    scribe.left("nas", HELLO)
    scribe.joined("nas", HELLO)
    scribe.joined("nas", replace(HELLO, boot_id="b2"))
    scribe.joined("nas", replace(HELLO, boot_id="b2"))
    assert [(Kind.LEFT, "o1", "nas", ""), (Kind.JOINED, "o1", "nas", "")] == book.lines


def pages(first: int, count: int, outage: str = "o1") -> Diary:
    return Diary(tuple(Entry(n, outage, "told", 1.0) for n in range(first, first + count)))


def test_a_diary_is_taken_under_its_own_hosts_name(scribe: Scribe, book: Book) -> None:
    scribe.handed("nas", Diary((Entry(1, "o1", "down", 1.0, text="db"),)))
    ((host, outage, moment),) = book.handed
    assert ("nas", "o1", "nas", Kind.NOTE, "down: db") == (
        host,
        outage,
        moment.host,
        moment.kind,
        moment.text,
    )


def test_a_host_that_hands_over_too_much_has_to_wait(
    scribe: Scribe, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(module, "boottime", lambda: now)
    for first in range(1, 3001, 100):
        scribe.handed("nas", pages(first, 100))
    assert MOST_ENTRIES == len(book.handed)
    scribe.handed("db", pages(1, 100))
    assert MOST_ENTRIES + 100 == len(book.handed)
    now += 3600
    scribe.handed("nas", pages(401, 100))
    assert MOST_ENTRIES + 200 == len(book.handed)


def test_repeating_itself_costs_a_host_nothing(scribe: Scribe, book: Book) -> None:
    for _ in range(100):
        scribe.handed("nas", pages(1, 100))
    scribe.handed("nas", pages(101, 100))
    assert 200 == len(book.handed)


def test_an_error_in_the_record_does_not_reach_the_push(
    scribe: Scribe, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: Any, **__: Any) -> None:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(book, "begin", breaks)
    scribe.mains({"rack": ON_BATTERY})
    scribe.joined("nas", HELLO)


def test_a_host_that_is_down_is_down_in_the_outage_that_it_went_for(
    scribe: Scribe, book: Book
) -> None:
    in_outage(scribe, book)
    scribe.said("nas", HELLO, COUNTING, Status("committed", outage="o1"))
    scribe.mains({"rack": ON_MAINS})
    scribe.mains({"rack": supply(PowerState.ON_BATTERY, "o2")})
    book.lines.clear()
    scribe.down("nas", "", "no answer for 5 s")
    scribe.down("db", "", "gone for 60 s")
    scribe.down("web", "o1", "gone for 60 s")
    assert [("o1", "nas"), ("o2", "db"), ("o1", "web")] == [line[1:3] for line in book.lines]


@pytest.mark.parametrize(("before", "told"), [(1.0, []), (-1.0, ["db"])], ids=["before", "in it"])
def test_a_host_that_had_left_before_the_outage_did_not_go_in_it(
    scribe: Scribe, book: Book, before: float, told: list[str]
) -> None:
    """It takes a while to find that a host is down that was switched off by hand."""
    in_outage(scribe, book)
    scribe.down("db", "", "gone for 60 s", 100.0 - before)
    assert told == [line[2] for line in book.lines]


def test_a_host_that_recovery_has_brought_back_is_not_reported_twice(
    scribe: Scribe, book: Book
) -> None:
    in_outage(scribe, book)
    scribe.said("nas", HELLO, COUNTING, Status("committed", outage="o1"))
    scribe.mains({"rack": ON_MAINS})
    book.lines.clear()
    scribe.recovery("o1", Kind.WOKEN, "nas")
    scribe.recovery("o1", Kind.BACK, "nas")
    scribe.joined("nas", replace(HELLO, boot_id="b2"))
    assert [Kind.WOKEN, Kind.BACK] == book.kinds


def test_each_fact_of_a_drill_is_noted_once(scribe: Scribe, book: Book) -> None:
    facts = [Fact(Kind.MAINS_LOST, "", "", 0.0), Fact(Kind.REHEARSED, "nas", "", 300.0)]
    late = Fact(Kind.NOTE, "", "late", 400.0)
    for number in (0, 1, 1, 2):
        scribe.drill("d1", "rack", 100.0, facts[:number])
    scribe.drill("d1", "rack", 100.0, facts, over=True)
    scribe.drill("d1", "rack", 100.0, [*facts, late], over=True)
    assert ["drill", Kind.MAINS_LOST, Kind.REHEARSED, "end"] == book.kinds
    scribe.drill("d2", "rack", 200.0, facts)
    assert ["drill", Kind.MAINS_LOST, Kind.REHEARSED] == book.kinds[4:]
