"""A host's diary: what it keeps over crashes and boots, and how it gets rid of it."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from powmonman.client import diary as module
from powmonman.client.agent import Agent
from powmonman.client.diary import AGAIN, MOST_ENTRIES, SETTLE, Diary
from powmonman.config.schema import ClientConfig, Tls
from powmonman.core.messages import LONGEST_LINE, Drill, Entry, Policy, State, UpsNews, encode
from powmonman.core.plan import Alone, Phase, Plan, Rules, Run
from powmonman.core.power import PowerState
from powmonman.core.timeline import Kind
from powmonman.service.logs import Logs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Host:
    """A host with its clock in hand."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runtime, self.state = root / "run", root / "state"
        self.runtime.mkdir()
        self.state.mkdir()
        self.now = 1000.0
        self.boot = "boot-1"
        monkeypatch.setattr(module, "boottime", lambda: self.now)
        monkeypatch.setattr(module, "boot_id", lambda: self.boot)
        monkeypatch.setattr(module, "trusted_wall", lambda: None)
        self.diary = self.restart()

    def restart(self) -> Diary:
        self.diary = Diary(self.runtime, self.state)
        return self.diary

    def reboot(self) -> Diary:
        """Let the power go, and come back."""
        self.diary.close(5)
        for path in self.runtime.iterdir():
            path.unlink()
        self.boot, self.now = "boot-2", 10.0
        return self.restart()

    def in_outage(self, age: float = 5.0) -> None:
        self.diary.began({"rack": UpsNews(PowerState.ON_BATTERY, "o1", age)})

    def sent(self) -> list[Entry]:
        return [entry for message in self.diary.due() for entry in message.entries]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def kinds(diary: Diary) -> list[str]:
    return [entry.kind for entry in diary.entries]


def test_times_are_since_the_loss_as_the_server_told_its_age(host: Host) -> None:
    host.in_outage(age=5)
    host.now += 20
    host.diary.note("o1", Kind.COUNTING)
    assert [25.0] == [entry.at for entry in host.diary.entries]


def test_a_restart_of_the_client_keeps_the_diary_and_when_the_outage_began(host: Host) -> None:
    host.in_outage(age=5)
    host.diary.note("o1", Kind.COUNTING)
    host.restart()
    host.now += 10
    host.diary.note("o1", Kind.STAYS)
    first, second = host.diary.entries
    assert (15.0, 1) == (second.at, second.seq - first.seq)


@pytest.mark.parametrize("kind", [Kind.COMMITTED, Kind.HALTING])
def test_last_words_survive_the_power_cut_with_their_boot(host: Host, kind: Kind) -> None:
    host.in_outage()
    host.diary.note("o1", Kind.COUNTING)
    host.diary.note("o1", kind)
    before = host.diary.entries
    assert before == host.reboot().entries
    host.diary.note("o2", Kind.COUNTING)
    assert ["boot-1", "boot-1", "boot-2"] == [entry.boot_id for entry in host.diary.entries]
    assert host.diary.entries[-1].seq == before[-1].seq + 1


def test_a_disk_that_hangs_holds_nothing_up(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit's entry is written beside: note returns, and the process can end."""
    stuck, freed = threading.Event(), threading.Event()
    original = module.write_json

    def write(path: Path, value: dict[str, Any], *, durable: bool) -> None:
        if durable:
            stuck.set()
            freed.wait(20)
        original(path, value, durable=durable)

    monkeypatch.setattr(module, "write_json", write)
    host.diary.note("o1", Kind.COMMITTED)
    assert stuck.wait(20)
    host.diary.note("o1", Kind.HALTING)
    host.diary.close(0.05)
    assert not (host.state / "diary.json").exists()
    freed.set()
    host.diary.close(20)
    kept = json.loads((host.state / "diary.json").read_text("utf-8"))
    assert ["committed", "halting"] == [entry["kind"] for entry in kept["entries"]]


def test_a_disk_that_is_full_costs_the_entry_alone(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_json", write)
    host.diary.note("o1", Kind.COMMITTED)
    host.diary.close(5)
    assert ["committed"] == kinds(host.diary)


def test_it_is_bounded_and_the_oldest_give_way(host: Host) -> None:
    for _ in range(MOST_ENTRIES + 50):
        host.diary.note("o1", Kind.NOTE, "x" * 5000)
    entries = host.diary.entries
    assert (MOST_ENTRIES, MOST_ENTRIES - 1) == (len(entries), entries[-1].seq - entries[0].seq)


def test_every_message_fits_into_a_line(host: Host) -> None:
    for _ in range(MOST_ENTRIES):
        host.diary.note("o" * 64, Kind.NOTE, '"\N{GRINNING FACE}' * 400)
    host.now += SETTLE
    first = host.diary.due()
    assert 1 < len(first[0].entries) < MOST_ENTRIES
    assert all(len(encode(message)) <= LONGEST_LINE for message in first)
    everything = [entry for message in first for entry in message.entries]
    while more := host.sent():
        everything += more
    assert tuple(everything) == host.diary.entries


def test_what_is_noted_is_dropped_and_the_rest_is_sent_again_only_later(host: Host) -> None:
    host.diary.note("o1", Kind.TOLD)
    host.diary.note("o1", Kind.COUNTING)
    assert [] == host.sent()
    host.now += SETTLE
    assert 2 == len(host.sent())
    assert [] == host.sent()
    host.diary.noted(host.diary.entries[0].seq)
    assert ["counting"] == kinds(host.diary)
    assert [] == host.sent()
    host.now += AGAIN
    assert 1 == len(host.sent())
    host.diary.noted(host.diary.entries[0].seq)
    assert () == host.diary.entries
    assert () == host.restart().entries


def test_a_commit_is_handed_over_at_once(host: Host) -> None:
    host.diary.note("o1", Kind.COMMITTED)
    assert 1 == len(host.sent())


def test_what_is_handed_over_leaves_the_disk_too(host: Host) -> None:
    host.diary.note("o1", Kind.COMMITTED)
    host.diary.close(5)
    host.diary.noted(host.diary.entries[-1].seq)
    assert () == host.reboot().entries


def test_a_server_that_hangs_up_on_a_diary_keeps_the_connection_from_then_on(host: Host) -> None:
    """One of an older version takes none; a host that is hung up on for ever is unprotected."""
    plan = Plan()
    host.diary.note("o1", Kind.COMMITTED)
    sent = 0
    for _ in range(100):
        sent += len(host.sent()) > 0
        host.diary.contact(plan, lost="the server refuses: unknown message type")
        host.now += 10
    assert 3 <= sent <= 8
    host.now += 3600
    assert 1 == len(host.sent())


def test_numbers_go_on_above_what_the_server_has_of_a_diary_that_is_lost(host: Host) -> None:
    host.diary.note("o1", Kind.COUNTING)
    high = host.diary.entries[-1].seq + 1000
    host.diary.noted(high)
    assert [high + 1] == [entry.seq for entry in host.diary.entries]
    host.restart().note("o1", Kind.STAYS)
    assert [high + 1, high + 2] == [entry.seq for entry in host.diary.entries]


def test_numbers_of_a_new_diary_are_above_those_of_an_old_one(host: Host) -> None:
    host.diary.note("o1", Kind.COUNTING)
    assert host.diary.entries[-1].seq > 1_500_000_000


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"entries": 7}',
        b'{"entries": [{"seq": "x"}]}',
        b'{"seq": "many"}',
        b'{"seq": 1e999, "entries": []}',
        b'{"seq": 99999999999999999999999, "entries": []}',
    ],
)
def test_a_file_that_is_nonsense_costs_only_itself(host: Host, content: bytes) -> None:
    (host.state / "diary.json").write_bytes(content)
    (host.runtime / "diary.json").write_bytes(content)
    host.restart().note("o1", Kind.COUNTING)
    assert ["counting"] == kinds(host.diary)


def test_an_outage_without_an_id_has_no_story(host: Host) -> None:
    host.diary.note("", Kind.COMMITTED)
    assert () == host.diary.entries


PHASES: list[tuple[Phase, Phase, dict[str, Any], list[str]]] = [
    (Phase.IDLE, Phase.COUNTING, {}, ["told", "counting"]),
    (Phase.COUNTING, Phase.WAITING, {}, ["waiting"]),
    (Phase.WAITING, Phase.COMMITTED, {}, ["committed"]),
    (Phase.COUNTING, Phase.COMMITTED, {"rehearsed": True}, ["rehearsed"]),
    (Phase.COUNTING, Phase.IDLE, {}, ["stays"]),
    (Phase.COMMITTED, Phase.IDLE, {}, ["stays"]),
    (Phase.COMMITTED, Phase.COUNTING, {}, ["counting"]),
    (Phase.COUNTING, Phase.COUNTING, {}, []),
]


@pytest.mark.parametrize(("before", "after", "more", "noted"), PHASES)
def test_it_follows_the_plan(
    host: Host, before: Phase, after: Phase, more: dict[str, Any], noted: list[str]
) -> None:
    host.in_outage()
    earlier = Plan(phase=before, outage="o1", power=PowerState.ON_BATTERY)
    later = Plan(phase=after, outage="" if after is Phase.IDLE else "o1", **more)
    host.diary.follow(earlier, later, Rules(wait_for=("web",)))
    assert noted == kinds(host.diary)
    if after is Phase.WAITING:
        assert "for web" == host.diary.entries[-1].text
    assert {"o1"} >= {entry.outage for entry in host.diary.entries}


def test_contact_counts_in_an_outage_and_once(host: Host) -> None:
    counting = Plan(phase=Phase.COUNTING, outage="o1")
    host.diary.contact(Plan(), lost="gone")
    host.diary.contact(Plan())
    for lost in ("gone", "still gone", "", ""):
        host.diary.contact(counting, lost=lost)
    assert ["contact_lost", "contact"] == kinds(host.diary)


@pytest.fixture
def agent(identities: Path, tmp_path: Path) -> Iterator[Agent]:
    config = ClientConfig(
        tls=Tls(identity=str(identities / "hosts" / "nas.pem")),
        runtime_dir=str(tmp_path),
        state_dir=str(tmp_path),
    )
    agent = Agent(tmp_path / "client.yml", config, Logs("powmonman.test"))
    yield agent
    for resource in (agent._wake, agent._woken, agent._selector):
        resource.close()


def test_the_request_for_the_shutdown_comes_before_the_record(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr(agent, "_shut_down", order.append)
    monkeypatch.setattr(agent._diary, "follow", lambda *_: order.append("noted"))
    agent._take((Plan(phase=Phase.COMMITTED, outage="o1"), [Run("requested")]))
    assert ["requested", "noted"] == order


def test_a_drill_that_can_not_be_loaded_costs_the_drill_alone(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "powmonman.client.drill", None)
    news = {"rack": UpsNews(PowerState.ON_BATTERY, "o1", 5.0)}
    agent._hear(State("s1", 15.0, Policy(), news, Drill("d1", news)))
    assert agent._plan.phase is Phase.COUNTING


def test_an_error_in_the_diary_does_not_reach_the_countdown(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks() -> None:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(host.diary, "_save", breaks)
    host.diary.follow(Plan(), Plan(phase=Phase.COUNTING, outage="o1"), Rules())
    host.diary.contact(Plan(phase=Phase.COUNTING, outage="o1"), lost="gone")
    host.diary.hand_over(10**12, lambda _: None)


CUT_OFF = Plan(phase=Phase.COUNTING, outage="own", alone=Alone(since=1.0, evidence="no carrier"))


def test_an_outage_that_only_this_host_takes_to_be_one_is_written_down_when_it_goes_by_it(
    host: Host,
) -> None:
    """Else each restart of a switch would push an outage out of the server's record."""
    rules = Rules()
    host.diary.follow(Plan(), CUT_OFF, rules)
    waiting = replace(CUT_OFF, phase=Phase.WAITING)
    host.diary.follow(CUT_OFF, waiting, rules)
    host.diary.follow(waiting, Plan(), rules)
    assert kinds(host.diary) == []
    gone = replace(CUT_OFF, phase=Phase.COMMITTED, why="on_lost_contact: no carrier")
    host.diary.follow(CUT_OFF, gone, rules)
    assert kinds(host.diary) == [Kind.CONTACT_LOST, Kind.COMMITTED]
    assert [entry.text for entry in host.reboot().entries] == ["no carrier", gone.why]


def test_an_outage_that_is_known_in_the_end_is_written_down_from_its_beginning(host: Host) -> None:
    known = Plan(phase=Phase.COUNTING, outage="o1", power=PowerState.ON_BATTERY)
    host.diary.follow(CUT_OFF, known, Rules())
    assert kinds(host.diary) == [Kind.TOLD, Kind.COUNTING]
    assert {entry.outage for entry in host.diary.entries} == {"o1"}
