"""Several places at once: who hangs holds nobody up, and one link is left."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, cast

import pytest

from powmonman.client import race
from powmonman.client.link import Link, LinkError
from powmonman.client.race import Race

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 10.0


class Line:
    """A link as far as a race is concerned."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


class Places:
    """Who answers, refuses or hangs at which host; those that hang may be let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.asked: list[str] = []
        self.lines: dict[str, Line] = {}

    def connect(self, host: str, _: int) -> Link:
        self.asked.append(host)
        if host.startswith("hangs"):
            self.let_go.wait(PATIENCE)
        if host.startswith("breaks"):
            raise RuntimeError("a bug")
        if not host.endswith("true"):
            raise LinkError("no", refused=host == "refuses")
        self.lines[host] = Line()
        return cast("Link", self.lines[host])


@pytest.fixture
def places() -> Iterator[Places]:
    places = Places()
    yield places
    places.let_go.set()


def test_who_hangs_holds_nobody_up(places: Places) -> None:
    one = Race(places.connect, places.connect)
    began = time.monotonic()
    for host in [f"hangs{number}" for number in range(40)] + ["true"]:
        one.start(host, 7444)
    one.wait(lambda: False)
    assert one.won
    assert places.lines["true"] is one.finish()
    assert time.monotonic() - began < PATIENCE / 2


def test_who_comes_second_or_too_late_is_hung_up_on(places: Places) -> None:
    one = Race(places.connect, places.connect)
    for host in ("true", "hangs, true"):
        one.start(host, 7444)
        one.wait(lambda: False)
    won = one.finish()
    places.let_go.set()
    for _ in range(500):
        if "hangs, true" in places.lines:
            break
        time.sleep(0.01)
    assert places.lines["hangs, true"].closed.wait(PATIENCE)
    assert won is places.lines["true"]
    assert not places.lines["true"].closed.is_set()


def test_no_more_run_at_once_than_this_host_bears(places: Places) -> None:
    one = Race(places.connect, places.connect)
    for number in range(race.MOST_AT_ONCE + 20):
        one.start(f"hangs{number}", 7444)
    assert len(one.tried) == race.MOST_AT_ONCE


def test_each_place_is_tried_once_in_a_round(places: Places) -> None:
    one = Race(places.connect, places.connect)
    for _ in range(3):
        assert one.run("refuses", 7444) is None
        one.start("refuses", 7444)
    assert (places.asked, one.refused) == (["refuses"], True)


def test_when_all_have_lost_nobody_is_waited_for(
    places: Places, caplog: pytest.LogCaptureFixture
) -> None:
    one = Race(places.connect, places.connect)
    began = time.monotonic()
    for host in ("absent", "breaks"):
        one.start(host, 7444)
    one.wait(lambda: False)
    assert one.finish() is None
    assert time.monotonic() - began < race.LAST_CHANCE
    assert "breaks port 7444" in caplog.text


def test_without_room_for_a_thread_places_are_tried_in_turn(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    one = Race(places.connect, places.connect)
    for host in ("absent", "true"):
        one.start(host, 7444)
    assert one.won
