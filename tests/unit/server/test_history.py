"""The queue before the record: no disk, however bad, is waited for."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from powmonman.core.timeline import Kind, Moment, merge
from powmonman.server import history as module
from powmonman.server.archive import MOST_MOMENTS, Record, SetAsideError, read
from powmonman.server.history import History
from powmonman.service.clock import boottime

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "powmonman.server")
    monkeypatch.setattr(module, "LINGER", 0.01)
    monkeypatch.setattr(module, "RETRY", 0.05)


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(str(tmp_path), keep=10)


def running(history: History, play: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        history.start()
        await play()
        await history.close()

    asyncio.run(run())


async def until(check: Callable[[], object]) -> None:
    for _ in range(2000):
        if check():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


def only(history: History) -> Record:
    (record,) = read(history.path)
    return record


def kinds(history: History) -> list[str]:
    return [moment.kind for moment in merge(only(history).moments)]


def own(seq: int) -> Moment:
    return Moment(Kind.COUNTING, 1.0, "nas", own=True, seq=seq)


def test_what_is_noted_is_on_record_when_the_server_has_ended(history: History) -> None:
    async def play() -> None:
        history.begin("o1", "rack", began=boottime() - 5)
        history.note("o1", "mains_lost", at=0.0)
        history.note("o1", Kind.WOKEN, "nas", "by magic packet")
        history.end("o1")

    running(history, play)
    assert ["mains_lost", "woken"] == kinds(history)
    woken = only(history).moments[-1]
    assert woken.at is not None
    assert 5 <= woken.at < 60
    assert ("rack", False) == (only(history).ups, only(history).drill)


def test_a_drill_is_marked(history: History) -> None:
    async def play() -> None:
        history.begin("d1", began=boottime(), drill=True)

    running(history, play)
    assert only(history).drill


def test_a_diary_is_noted_only_when_it_is_on_the_disk(history: History) -> None:
    async def play() -> None:
        assert history.hand("nas", "o1", own(7))
        assert {} == history.noted
        await until(lambda: history.noted)

    running(history, play)
    assert {"nas": 7} == history.noted
    after = History(str(history.path.parent), keep=10)

    async def again() -> None:
        await until(lambda: after.noted == {"nas": 7})
        assert not after.hand("nas", "o1", own(7))

    running(after, again)


def test_an_entry_that_waits_for_the_disk_is_not_taken_twice(history: History) -> None:
    assert history.hand("nas", "o1", own(7))
    assert not history.hand("nas", "o1", own(7))


def test_a_disk_that_cannot_be_written_is_reported_once_and_made_up_for(
    history: History, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad = threading.Event()
    bad.set()
    original = history._archive.write

    def write(jobs: list[module.Job]) -> None:
        if bad.is_set():
            raise sqlite3.OperationalError("database or disk is full")
        original(jobs)

    monkeypatch.setattr(history._archive, "write", write)

    async def play() -> None:
        history.begin("o1", "rack", began=boottime())
        await until(lambda: history.faults)
        await asyncio.sleep(0.3)
        assert ["database or disk is full"] == [f.partition(": ")[2] for f in history.faults]
        history.note("o1", Kind.TOLD, "nas")
        bad.clear()
        await until(lambda: not history.faults)

    running(history, play)
    assert ["told"] == kinds(history)
    said = [record.message for record in caplog.records if "history.sqlite" in record.message]
    assert 2 == len(said)
    assert "can be written again" in said[1]


def test_a_disk_that_hangs_is_reported_and_does_not_keep_the_server(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    freed = threading.Event()
    monkeypatch.setattr(module, "HANGS_AFTER", 0.1)
    monkeypatch.setattr(module, "CLOSING", 0.1)
    monkeypatch.setattr(history._archive, "write", lambda _: freed.wait(30))

    async def play() -> None:
        history.note("o1", Kind.TOLD, "nas")

        def hangs() -> list[str]:
            history.watch()
            return history.faults

        await until(hangs)

    began = boottime()
    running(history, play)
    assert boottime() - began < 15
    freed.set()


def test_a_damaged_file_is_done_without(history: History) -> None:
    history.path.write_bytes(b"x" * 10_000)

    async def play() -> None:
        history.begin("o1", "rack", began=boottime())

    running(history, play)
    assert "rack" == only(history).ups


def test_a_file_that_is_damaged_again_and_again_is_not_tried_in_circles(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def write(_: object) -> None:
        tried.append(boottime())
        raise SetAsideError("damaged")

    monkeypatch.setattr(history._archive, "write", write)
    monkeypatch.setattr(module, "RETRY", 0.2)

    async def play() -> None:
        history.note("o1", Kind.TOLD, "nas")
        await until(lambda: len(tried) > 3)
        # Once more at once, with a new file, and then no sooner than with any other fault.
        assert min(later - earlier for earlier, later in pairwise(tried[1:])) >= 0.1

    running(history, play)


def test_a_full_queue_loses_what_is_new_and_says_how_much(
    history: History, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MOST_QUEUED", 3)
    for number in range(5):
        history.note(f"o{number}", Kind.TOLD, "nas")
    assert not history.hand("nas", "o1", own(7))
    assert history._lost == 3
    history._tried("full", {})
    history._tried("", {})
    assert "3 entries were lost" in caplog.text


def test_one_host_does_not_fill_the_record(history: History) -> None:
    for _ in range(MOST_MOMENTS + 50):
        history.note("o1", Kind.JOINED, "nas")
    history.note("o1", Kind.JOINED, "db")
    assert MOST_MOMENTS + 1 == len(history._queue)


def test_a_kind_that_nobody_knows_is_a_mistake_of_the_program(history: History) -> None:
    with pytest.raises(ValueError, match="exploded"):
        history.note("o1", "exploded")
