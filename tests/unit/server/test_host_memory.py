"""What a server keeps of its hosts, how seldom it writes, and what a bad disk makes of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest

from powmonman.config.keys import described
from powmonman.config.order_keys import Order
from powmonman.config.schema import Limits
from powmonman.core.messages import Hello, Status
from powmonman.core.presence import Answer
from powmonman.core.records import to_json
from powmonman.net.tls import Peer
from powmonman.server import disk, host_memory
from powmonman.server.host_memory import HostMemory
from powmonman.server.prober import Asked
from powmonman.server.roster import HostRecord, Roster

if TYPE_CHECKING:
    import threading
    from collections.abc import Awaitable, Callable
    from pathlib import Path


class Place:
    """A runtime and a state directory, a memory in them, and a roster."""

    def __init__(self, root: Path) -> None:
        self.volatile = root / "run" / "server-hosts.json"
        self.durable = root / "state" / "server-hosts.json"
        for path in (self.volatile, self.durable):
            path.parent.mkdir()
        self.memory = self.restart()
        self.roster = Roster(["nas"])
        self.time = 100.0

    def restart(self) -> HostMemory:
        return HostMemory(str(self.volatile.parent), str(self.durable.parent))

    def arrives(self, name: str, boot: str = "b") -> None:
        self.time += 1
        peer = Peer(name, "f" * 64, expired=False)
        self.roster.arrived(peer, "192.0.2.9", Hello(nonce=1, boot_id=boot), self.time)

    def says(self, name: str, phase: str) -> None:
        self.time += 1
        self.roster.said(name, Status(phase, outage="o1"), self.time)

    async def kept(self, *, urgent: bool = False) -> bool:
        """Let the memory keep what is due; return whether that went to the disk."""
        self.durable.unlink(missing_ok=True)
        self.memory.keep(self.roster, urgent=urgent)
        if self.memory._writing is not None:
            await self.memory._writing
        return self.durable.exists()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(disk, "TIMEOUT", 0.2)
    return Place(tmp_path)


def running(play: Callable[[], Awaitable[Any]]) -> None:
    async def run() -> None:
        await play()

    asyncio.run(run())


def test_a_restart_knows_what_was_kept(place: Place) -> None:
    async def play() -> None:
        place.arrives("nas")
        place.says("nas", "committed")
        await place.memory.close(place.roster)

    running(play)
    for path in (place.durable, place.volatile):
        records, same_boot = place.restart().recall()
        assert same_boot
        assert records == place.roster.records()
        path.unlink()
    assert place.restart().recall() == ({}, False)


def test_what_is_of_another_boot_says_so(place: Place) -> None:
    place.arrives("nas")
    running(place.kept)
    place.volatile.unlink()
    kept = json.loads(place.durable.read_text("utf-8")) | {"boot_id": "another"}
    place.durable.write_text(json.dumps(kept), encoding="utf-8")
    assert place.restart().recall()[1] is False


def test_the_disk_is_spared_while_hosts_come_and_go(place: Place) -> None:
    async def play() -> None:
        place.arrives("nas")
        assert await place.kept()
        for number in range(10):
            place.arrives(f"guest{number}")
            assert not await place.kept()
            assert f"guest{number}" in place.volatile.read_text("utf-8")

    running(play)


def test_what_was_spared_is_written_in_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        place.arrives("nas")
        assert await place.kept()
        place.arrives("guest")
        assert not await place.kept()
        monkeypatch.setattr(host_memory, "SPARED", 0.0)
        assert await place.kept()
        assert not await place.kept()

    running(play)


def test_a_commit_is_on_the_disk_at_once(place: Place) -> None:
    async def play() -> None:
        place.arrives("nas")
        assert await place.kept()
        place.says("nas", "committed")
        assert await place.kept()
        assert '"committed"' in place.durable.read_text("utf-8")
        place.arrives("nas", boot="c")
        assert await place.kept()
        assert not await place.kept()

    running(play)


def test_when_an_outage_begins_who_is_there_is_written_at_once(place: Place) -> None:
    async def play() -> None:
        place.arrives("nas")
        assert await place.kept()
        place.arrives("guest")
        assert not await place.kept()
        assert await place.kept(urgent=True)
        assert not await place.kept(urgent=True)

    running(play)


def hosts_in(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text("utf-8"))["hosts"])


def without_since(hosts: dict[str, Any]) -> dict[str, Any]:
    return {name: {**host, "since": None} for name, host in hosts.items()}


def test_both_copies_hold_what_is_known_now(place: Place) -> None:
    """Whatever has become of a host, and of hosts that are no longer expected."""

    def comes(name: str) -> Callable[[], None]:
        return lambda: place.arrives(name)

    def is_asked(name: str, answer: Answer, seconds: int) -> None:
        for at in range(500, 500 + seconds, 10):
            place.roster.asked(name, Asked(answer, "ping", at, at + 10.0, 0))

    steps: list[Callable[[], None]] = [
        comes("nas"),
        comes("db"),
        lambda: place.says("db", "committed"),
        lambda: place.roster.left("db", 300.0),
        lambda: is_asked("db", Answer.SILENT, 20),
        lambda: is_asked("db", Answer.ANSWERED, 20),
        comes("guest"),
        lambda: place.roster.left("guest", 400.0),
        lambda: place.roster.expect(["nas"]),
        comes("guest"),
        lambda: place.roster.expect(["nas", "guest"]),
        lambda: place.roster.left("guest", 400.0),
        lambda: is_asked("guest", Answer.SILENT, 20),
        lambda: place.roster.expect(["nas", "guest"], Order(gone_after=15.0)),
    ]

    async def play() -> None:
        for step in steps:
            step()
            place.memory.keep(place.roster, urgent=True)
            if place.memory._writing is not None:
                await place.memory._writing
            now = {name: to_json(each) for name, each in place.roster.records().items()}
            now = json.loads(json.dumps(now))
            assert hosts_in(place.volatile) == now
            # Since when alone is worth no write to the disk.
            assert without_since(hosts_in(place.durable)) == without_since(now)

    running(play)


def test_only_a_host_of_which_something_has_become_known_is_put_into_words(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    worded: list[HostRecord] = []

    def word(record: HostRecord) -> dict[str, Any]:
        worded.append(record)
        return to_json(record)

    monkeypatch.setattr(host_memory, "to_json", word)

    async def play() -> None:
        for number in range(20):
            place.arrives(f"host{number}")
        await place.kept()
        assert len(worded) == 20
        place.says("host7", "committed")
        await place.kept()
        assert [record.phase for record in worded[20:]] == ["committed"]

    running(play)


def test_as_many_hosts_as_can_be_connected_are_not_too_many_to_be_read(place: Place) -> None:
    place.arrives("a-host-of-some-department.example.org")
    running(place.kept)
    (most,) = (described(part).maximum for part in fields(Limits) if part.name == "connections")
    assert most is not None
    assert place.volatile.stat().st_size * most < host_memory.LARGEST


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"hosts": 5}', '{"hosts": {"nas": 5}}'])
def test_a_damaged_file_is_no_file(place: Place, damage: str) -> None:
    place.volatile.write_text(damage, encoding="utf-8")
    assert place.restart().recall()[0] == {}


def test_one_unreadable_host_costs_no_other(place: Place) -> None:
    async def play() -> None:
        place.arrives("nas")
        place.arrives("db")
        await place.kept()

    running(play)
    kept = json.loads(place.volatile.read_text("utf-8"))
    kept["hosts"]["db"]["took"] = ["long"]
    place.volatile.write_text(json.dumps(kept), encoding="utf-8")
    assert list(place.restart().recall()[0]) == ["nas"]


def test_a_disk_that_takes_nothing_is_reported_and_tried_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_memory, "SPARED", 0.0)

    async def play() -> None:
        place.durable.parent.rmdir()
        place.arrives("nas")
        assert not await place.kept()
        assert place.memory.faults == {str(place.durable): "No such file or directory"}
        place.durable.parent.mkdir()
        assert await place.kept()
        assert place.memory.faults == {}

    running(play)


def test_a_disk_that_hangs_holds_nobody_up_and_gets_the_newest(
    place: Place, hanging_disk: threading.Event
) -> None:
    async def play() -> None:
        place.arrives("nas")
        assert not await place.kept()
        assert place.memory.faults == {str(place.durable): "not written within 0 s"}
        place.says("nas", "committed")
        await place.kept()
        hanging_disk.set()
        for _ in range(500):
            kept = place.durable.read_text("utf-8") if place.durable.is_file() else ""
            if '"committed"' in kept and not place.memory.faults:
                break
            await asyncio.sleep(0.01)

    running(play)
    assert '"committed"' in place.durable.read_text("utf-8")
