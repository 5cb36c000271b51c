"""The record on disk, and what a bad disk, a bad record and bad words of a client make of it."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from powmonman import sensors
from powmonman.config.order_keys import Order as OrderConfig
from powmonman.config.order_keys import Place, Recovery, Wake
from powmonman.config.schema import ServerConfig
from powmonman.config.sources import Simulated, Ups
from powmonman.core import recovery
from powmonman.core.events import RecoverySeen
from powmonman.core.messages import Hello, Status
from powmonman.core.power import Reading
from powmonman.net.tls import Peer
from powmonman.server import disk
from powmonman.server.monitor import Monitor, supply_for
from powmonman.server.recovery import Waker
from powmonman.server.roster import Roster
from powmonman.service.clock import boot_id, boottime

if TYPE_CHECKING:
    from pathlib import Path

MAC = "02:00:5e:00:00:01"


class Bench:
    """A state directory, a roster, one UPS, and a waker."""

    def __init__(self, root: Path, *, wake_after: float = 3600.0, **changes: Any) -> None:
        self.file = root / "server-recovery.json"
        ups = Ups(sensor="simulated", simulated=Simulated(poll=0.1), confirm=0.5)
        self.config = replace(
            ServerConfig(
                upses={"rack": ups},
                state_dir=str(root),
                runtime_dir=str(root),
                recovery=Recovery(wake_after=wake_after, reserve=0.0, interfaces=("lo",)),
            ),
            **changes,
        )
        self.roster = Roster()
        self.state_id = "s1"
        sensor = sensors.create(ups)
        supply = supply_for(ups, sensor, self.config)
        self.monitor = Monitor("rack", ups, sensor, supply, self.nothing)
        self.waker = self.start()

    async def nothing(self, _: Monitor) -> None: ...

    def start(self) -> Waker:
        self.waker = Waker(self.config, self.roster, {"rack": self.monitor}, lambda: self.state_id)
        return self.waker

    def arrives(self, name: str = "nas", **words: Any) -> None:
        hello = Hello(**{"nonce": 1, "boot_id": "b1", "macs": (MAC,)} | words)
        self.roster.arrived(Peer(name, "f", expired=False), "192.0.2.9", hello, boottime())

    def says(self, phase: str, name: str = "nas") -> None:
        self.roster.said(name, Status(phase), boottime())
        self.roster.told(name, self.state_id)

    def reads(self, *, mains: bool) -> None:
        now = boottime()
        for at in (now - 6, now - 4, now - 2, now):
            self.monitor.supply = self.monitor.supply.observe(Reading(mains=mains), at, "o1")
        if self.monitor.supply.debounce.wants_verify:
            self.monitor.supply = self.monitor.supply.verified(Reading(mains=mains), now, "o1")
        self.state_id += "'"

    def loses_mains(self) -> None:
        self.reads(mains=False)
        asyncio.run(self.waker.begin(self.monitor))

    def kept(self) -> dict[str, Any]:
        return dict(json.loads(self.file.read_text("utf-8")))

    def change(self, **changes: Any) -> None:
        self.file.write_text(json.dumps(self.kept() | changes), "utf-8")

    def phases(self) -> dict[str, str]:
        return {row["name"]: row["phase"] for row in self.waker.report()["hosts"]}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(disk, "TIMEOUT", 0.3)
    return Bench(tmp_path)


def test_who_is_there_when_an_outage_begins_is_on_disk_when_begin_returns(place: Bench) -> None:
    place.arrives()
    place.loses_mains()
    due = place.kept()["recovery"]["hosts"]["nas"]
    assert (due["fate"], due["outage"], due["known"]["boot"]) == ("due", "o1", "b1")


@pytest.mark.usefixtures("hanging_disk")
def test_a_disk_that_hangs_holds_an_outage_up_for_its_time_and_no_longer(place: Bench) -> None:
    place.arrives()
    began = time.monotonic()
    place.loses_mains()
    assert time.monotonic() - began < 10
    assert place.waker.faults == [f"{place.file}: not written within 0 s"]
    assert place.phases() == {"nas": "due"}


@pytest.mark.usefixtures("hanging_disk")
def test_what_the_disk_does_not_take_the_next_process_of_this_boot_knows(place: Bench) -> None:
    place.arrives()
    place.loses_mains()
    place.start()
    assert place.phases() == {"nas": "due"}


def test_what_the_disk_has_taken_again_is_taken_from_there(place: Bench) -> None:
    place.waker._unwritten.put({"boot_id": boot_id(), "recovery": {"hosts": {}, "connected": {}}})
    place.arrives()
    place.loses_mains()
    place.start()
    assert place.phases() == {"nas": "due"}
    assert not place.waker._unwritten.path.exists()


def test_a_host_is_back_as_soon_as_it_acknowledges(place: Bench) -> None:
    place.arrives()
    place.loses_mains()
    place.reads(mains=True)
    place.arrives(boot_id="b2")
    place.roster.said("nas", Status("idle"), boottime())
    place.waker.look()
    assert place.phases() == {"nas": "due"}
    place.roster.told("nas", place.state_id)
    place.waker.look()
    assert place.phases() == {"nas": "back"}


def test_an_acknowledgement_is_worth_nothing_for_the_next_state(place: Bench) -> None:
    place.arrives()
    place.loses_mains()
    place.arrives(boot_id="b2")
    place.says("idle")
    place.waker.look()
    place.reads(mains=True)
    place.waker.look()
    assert place.phases() == {"nas": "due"}


def test_a_status_of_an_earlier_connection_is_nobodys_word(place: Bench) -> None:
    """It was idle before it committed out of contact; its hello comes before its new status."""
    place.arrives()
    place.says("idle")
    place.loses_mains()
    place.arrives()
    place.reads(mains=True)
    place.roster.told("nas", place.state_id)
    place.waker.look()
    assert place.phases() == {"nas": "due"}
    place.says("committed")
    place.waker.look()
    assert place.waker.report()["hosts"][0]["committed"]
    place.arrives(boot_id="b2")
    place.says("idle")
    place.waker.look()
    assert place.phases() == {"nas": "back"}


@pytest.mark.parametrize("phase", ["committed", "halting", "something new"])
def test_a_host_on_its_way_down_is_not_back(place: Bench, phase: str) -> None:
    place.arrives()
    place.loses_mains()
    place.reads(mains=True)
    place.says(phase)
    place.waker.look()
    assert place.phases() == {"nas": "due"}


def test_a_rehearsed_commit_takes_nobody_down(place: Bench) -> None:
    place.arrives(dry_run=True)
    place.loses_mains()
    place.says("committed")
    place.waker.look()
    place.reads(mains=True)
    place.says("idle")
    place.waker.look()
    assert place.phases() == {"nas": "stayed"}


def test_a_host_that_obeys_the_order_late_is_not_woken(place: Bench) -> None:
    """It was reconnecting when the order was given, and says itself that it goes by it."""
    place.arrives()
    place.loses_mains()
    place.roster.left("nas", boottime())
    place.waker.order()
    assert place.phases() == {"nas": "due"}
    place.arrives()
    place.roster.said("nas", Status("committed", ordered=True), boottime())
    place.waker.look()
    assert place.phases() == {"nas": "ordered"}


def test_the_order_of_a_live_drill_is_none_to_the_fleet(place: Bench) -> None:
    place.arrives()
    place.loses_mains()
    place.roster.said("nas", Status("committed", ordered=True), boottime())
    place.waker.look()
    assert place.phases() == {"nas": "due"}


def test_one_bad_host_in_the_record_does_not_cost_the_others_and_is_due(place: Bench) -> None:
    place.arrives()
    place.arrives("db")
    place.loses_mains()
    kept = place.kept()
    kept["recovery"]["hosts"]["db"]["wakes"] = "many"
    place.file.write_text(json.dumps(kept), "utf-8")
    place.start()
    assert place.phases() == {"db": "due", "nas": "due"}


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "{}", '{"recovery": []}', '{"clean": true, "recovery": {}}'),
        '{"recovery": {"hosts": [], "connected": {}}}',
    ],
)
def test_a_record_that_cannot_be_read_means_due(place: Bench, text: str) -> None:
    place.file.write_text(text, "utf-8")
    place.config = replace(
        place.config,
        clients=("nas", "web"),
        order=OrderConfig(hosts={"nas": Place(wait_for=("web",))}),
    )
    place.start()
    assert place.phases() == {"nas": "due", "web": "due"}


def test_where_there_never_was_a_record_nobody_is_due(place: Bench) -> None:
    place.config = replace(place.config, clients=("nas",))
    place.start()
    assert place.phases() == {}


@pytest.mark.parametrize(
    ("boot", "clean", "due"),
    [
        pytest.param("another", False, {"nas": "due"}, id="a power cut"),
        pytest.param("another", True, {}, id="a reboot"),
        pytest.param(None, False, {}, id="the process alone was killed"),
    ],
)
def test_a_power_cut_is_told_from_a_reboot(
    place: Bench, boot: str | None, clean: bool, due: dict[str, str]
) -> None:
    place.arrives()
    place.reads(mains=True)
    place.waker.look()
    asyncio.run(place.waker.close())
    assert place.kept()["clean"]
    place.change(clean=clean, **({"boot_id": boot} if boot else {}))
    place.roster = Roster()
    place.start()
    assert place.phases() == due


def test_a_client_cannot_fill_the_disk(place: Bench) -> None:
    words = tuple("x" * 1000 for _ in range(4000))
    place.arrives(boot_id="b" * 1000, macs=words, upses=words, wait_for=words)
    place.loses_mains()
    assert place.file.stat().st_size < 100_000


def test_a_host_without_an_address_is_a_fault_by_name(tmp_path: Path) -> None:
    place = Bench(tmp_path, wake_after=0.0)
    place.arrives(macs=("00:00:00:00:00:00",))
    place.loses_mains()
    place.roster.left("nas", boottime())
    place.reads(mains=True)
    place.waker.look()
    (fault,) = place.waker.faults
    assert fault == "nas can't be woken: no MAC address known: name one in recovery.hosts"


def test_a_command_that_fails_is_a_fault_by_name(tmp_path: Path) -> None:
    place = Bench(tmp_path, wake_after=0.0)
    script = "echo no such outlet >&2; exit 3"
    place.config = replace(
        place.config,
        recovery=replace(
            place.config.recovery,
            hosts={"nas": Wake(method="command", command=("sh", "-c", script))},
        ),
    )
    place.start()
    place.arrives()
    place.loses_mains()
    place.roster.left("nas", boottime())

    async def look() -> None:
        place.reads(mains=True)
        place.waker.look()
        await asyncio.gather(*place.waker._commands.values())

    asyncio.run(look())
    (fault,) = place.waker.faults
    assert fault == "nas can't be woken: sh failed with exit code 3: no such outlet"


def test_what_the_story_may_lack_after_a_kill_is_told_again(place: Bench) -> None:
    place.arrives()
    place.arrives("web", boot_id="w1")
    place.loses_mains()
    record = place.kept()["recovery"]
    record["hosts"]["nas"] |= {"fate": "back", "wakes": 1}
    record["hosts"]["web"] |= {"wakes": 2}
    place.change(recovery=record)
    told: list[tuple[str, ...]] = []
    monitors = {"rack": place.monitor}

    async def run(until: int) -> None:
        """Run a server's part until so much is told, and a little longer."""
        waker = Waker(
            place.config, place.roster, monitors, lambda: "s9", lambda *words: told.append(words)
        )
        running = asyncio.create_task(waker.run())
        for _ in range(2000):
            if len(told) >= until:
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run(until=3))
    packet = f"magic packet for {MAC}"
    assert told == [
        ("o1", "woken", "nas", packet),
        ("o1", "back", "nas", "woken once"),
        ("o1", "woken", "web", packet),
    ]
    record["hosts"]["web"] |= {"fate": "back"}
    place.change(recovery=record)
    told.clear()
    asyncio.run(run(until=0))
    assert told == []


def test_a_host_that_left_the_fleet_is_no_longer_due(place: Bench) -> None:
    place.arrives()
    place.arrives("old")
    place.loses_mains()
    place.roster.left("old", boottime())
    place.waker.reconfigure(replace(place.config, clients=("nas",)))
    assert place.phases() == {"nas": "due"}


def test_where_recovery_is_off_nothing_is_written_and_nobody_is_due(tmp_path: Path) -> None:
    place = Bench(tmp_path, recovery=Recovery(enabled=False))
    place.arrives()
    place.loses_mains()
    place.waker.look()
    asyncio.run(place.waker.close())
    assert place.phases() == {}
    assert not place.file.exists()


def test_who_is_shut_down_to_be_woken_is_due_on_disk_and_left_alone_until_he_is_gone(
    tmp_path: Path,
) -> None:
    place = Bench(tmp_path, wake_after=0.0)
    place.arrives()
    assert place.waker.obstacle("nas") == "rack: power unknown"
    place.reads(mains=True)
    place.waker.look()
    assert place.waker.obstacle("nas") == ""
    asyncio.run(place.waker.expose("nas"))
    assert place.kept()["recovery"]["hosts"]["nas"]["fate"] == "due"
    place.waker.look()
    assert (place.phases(), place.waker.open) == ({"nas": "due"}, True)
    place.roster.left("nas", boottime())
    place.waker.gone()
    assert place.phases() == {"nas": "waking"}
    place.arrives(boot_id="b2")
    place.says("idle")
    place.waker.look()
    assert (place.phases(), place.waker.open) == ({"nas": "back"}, False)
    # Nobody is told that an outage is mended.
    assert place.waker.seen() == RecoverySeen()


def test_with_recovery_disabled_nobody_is_due_and_nobody_can_be_woken(place: Bench) -> None:
    place.arrives()
    place.loses_mains()
    assert place.waker.open
    place.waker.reconfigure(replace(place.config, recovery=Recovery(enabled=False)))
    assert not place.waker.open
    assert place.waker.obstacle("nas") == "recovery is not enabled"


def test_an_error_in_the_recovery_costs_no_host_the_news_of_an_outage(
    place: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise ValueError("nobody thought of it")

    place.arrives()
    monkeypatch.setattr(recovery, "begun", fails)
    monkeypatch.setattr(recovery, "look", fails)
    place.loses_mains()
    place.waker.look()
    place.waker.look()
    assert caplog.text.count("nobody thought of it") == 2
    assert place.waker.faults == ["recovery: ValueError: nobody thought of it"]
    monkeypatch.undo()
    place.waker.look()
    assert place.waker.faults == []
