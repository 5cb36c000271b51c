"""One host really shut down and woken: each step needs its proof."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from powmonman.config.order_keys import Recovery
from powmonman.config.schema import ServerConfig
from powmonman.core.messages import Hello, Status
from powmonman.net.tls import Peer
from powmonman.server import drill_live
from powmonman.server.drill_live import Live, Ways
from powmonman.server.roster import Roster
from powmonman.service.clock import boottime

if TYPE_CHECKING:
    from collections.abc import Callable

MAC = "02:00:00:00:00:07"


class Server:
    """What a live drill sees of a server; `said` is what it did, in order."""

    def __init__(self, **recovery: Any) -> None:
        self.roster = Roster(["nas", "db"])
        self.said: list[str] = []
        self.trouble = self.hindrance = self.obstacle = ""
        self.config = ServerConfig(recovery=Recovery(repeat=0.05, **recovery))
        ways = Ways(
            hindrance=lambda: self.hindrance,
            trouble=lambda: self.trouble,
            obstacle=lambda _: self.obstacle,
            due=self.due,
            down=lambda name: not self.roster.hosts[name].connected,
            wake=lambda: self.said.append("wake"),
            publish=lambda: self.said.append("publish"),
        )
        self.live = Live(self.roster, lambda: self.config, ways)

    async def due(self, name: str) -> None:
        self.said.append(f"due {name}")

    def joins(self, name: str = "nas", boot: str = "b1", **values: Any) -> None:
        hello = Hello(nonce=1, boot_id=boot, macs=(MAC,), **values)
        self.roster.arrived(Peer(name, "f" * 64, expired=False), "192.0.2.9", hello, boottime())

    @property
    def report(self) -> dict[str, Any]:
        return self.live.report() or {}

    async def until(self, phase: str) -> None:
        for _ in range(1000):
            if self.report.get("phase") == phase:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(self.report)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drill_live, "EVERY", 0.01)


async def as_far_as_waking(server: Server) -> None:
    server.joins()
    assert server.live.start("nas") == ""
    await asyncio.sleep(0.03)
    server.roster.said("nas", Status("committed"), boottime())
    await server.until("going")
    server.roster.left("nas", boottime())
    await server.until("waking")


def play(story: Callable[[], Any]) -> None:
    asyncio.run(story())


def test_the_host_is_recorded_ordered_woken_and_proven_by_its_new_boot() -> None:
    async def story() -> None:
        server = Server()
        await as_far_as_waking(server)
        assert server.said[:2] == ["due nas", "publish"]
        assert server.said[2:] == ["wake"]
        server.joins(boot="b1")
        await asyncio.sleep(0.05)
        assert server.report["phase"] == "waking"
        server.joins(boot="b2")
        await server.until("back")
        report = server.report
        assert report["ok"]
        times = [report[name] for name in ("committed", "down", "woken", "back")]
        assert times == sorted(times)
        assert not server.live.running

    play(story)


def test_only_the_one_host_hears_the_order_and_only_until_it_commits() -> None:
    async def story() -> None:
        server = Server()
        server.joins()
        server.joins("db")
        assert server.live.start("nas") == ""
        assert server.live.order("nas") is None
        await asyncio.sleep(0.03)
        assert server.live.order("nas") is not None
        assert server.live.order("db") is None
        server.roster.said("nas", Status("committed"), boottime())
        await server.until("going")
        assert server.live.order("nas") is None

    play(story)


def test_a_commit_from_before_the_order_is_none() -> None:
    async def story() -> None:
        server = Server()
        server.joins()
        server.roster.said("nas", Status("committed"), boottime() - 5)
        server.live.start("nas")
        await asyncio.sleep(0.1)
        assert server.report["phase"] == "ordered"

    play(story)


@pytest.mark.parametrize("phase", ["ordered", "waking"])
def test_a_real_outage_ends_it(phase: str) -> None:
    async def story() -> None:
        server = Server()
        if phase == "waking":
            await as_far_as_waking(server)
        else:
            server.joins()
            server.live.start("nas")
        server.trouble = "ups is really on battery"
        await server.until("failed")
        assert server.report["reason"] == "ups is really on battery"
        await asyncio.sleep(0.03)
        assert server.said[-1] == "wake"

    play(story)


def test_a_host_that_restarts_before_it_is_down_ends_it() -> None:
    async def story() -> None:
        server = Server()
        server.joins()
        server.live.start("nas")
        await asyncio.sleep(0.03)
        server.roster.said("nas", Status("committed"), boottime())
        await server.until("going")
        server.joins(boot="b2")
        await server.until("failed")
        assert "booted before it was down" in server.report["reason"]

    play(story)


def test_an_error_that_nobody_thought_of_ends_it_and_the_host_is_woken_all_the_same() -> None:
    async def story() -> None:
        server = Server()
        server.joins()

        async def fails(name: str) -> None:
            raise ValueError(name)

        server.live._ways = replace(server.live._ways, due=fails)
        server.live.start("nas")
        await server.until("failed")
        await asyncio.sleep(0.03)
        assert server.said == ["wake"]
        assert not server.live.running

    play(story)


def test_each_step_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        monkeypatch.setattr(drill_live, "COMMIT", 0.05)
        server = Server()
        server.joins()
        server.live.start("nas")
        await server.until("failed")
        assert server.live.order("nas") is None
        server = Server(give_up=1.0)
        monkeypatch.setattr(drill_live, "COMMIT", 10.0)
        await as_far_as_waking(server)
        await server.until("failed")

    play(story)


def test_who_could_not_be_brought_back_is_not_taken_down() -> None:
    async def story() -> None:
        server = Server()
        assert server.live.start("nas") == "no such host: nas"
        server.joins("db")
        server.obstacle = "no MAC address"
        assert server.live.start("db") == "db could not be woken: no MAC address"
        server.obstacle = ""
        server.joins(dry_run=True)
        assert server.live.start("nas") == "nas is in dry run: it would not go down"
        server.joins()
        server.hindrance = "ups is really on battery"
        assert server.live.start("nas") == "ups is really on battery"
        server.hindrance = ""
        server.roster.left("nas", boottime())
        assert server.live.start("nas") == "nas is not connected"
        assert server.said == []
        assert server.live.report() is None
        server.joins()
        assert server.live.start("nas") == ""
        assert server.live.start("nas") == "nas is being shut down and woken"

    play(story)


def test_it_is_over_when_the_operator_shuts_the_whole_fleet_down() -> None:
    """Its step may take half an hour, in which no other could begin."""

    async def story() -> None:
        server = Server()
        await as_far_as_waking(server)
        server.live.stop("the operator shuts the fleet down")
        await server.until("failed")
        assert server.report["reason"] == "the operator shuts the fleet down"
        assert not server.live.running

    play(story)
