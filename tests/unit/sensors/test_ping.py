"""When a silence counts; the same on a real cable stands in integration/test_ping_netns.py."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from powmonman.config.sources import Ping, Ups
from powmonman.net import link
from powmonman.sensors import create, ping
from powmonman.sensors.ping import LONG_SILENT, SETTLE, PingSensor

if TYPE_CHECKING:
    from powmonman.core.power import Reading


@pytest.fixture
def sensor(sentinels: Any, clock: Any) -> PingSensor:
    return PingSensor(Ping(hosts=sentinels.hosts, timeout=0.1, poll=0.25), clock)


def read(sensor: PingSensor) -> Reading:
    return asyncio.run(sensor.read())


def silence(sentinels: Any, *hosts: str) -> None:
    for host in hosts or sentinels.hosts:
        sentinels.alive(host, alive=False)


def test_one_that_answers_is_enough(sensor: PingSensor, sentinels: Any) -> None:
    first, second = sentinels.hosts
    silence(sentinels, first)
    assert read(sensor).mains is True
    sentinels.alive(first, alive=True)
    silence(sentinels, second)
    assert read(sensor).mains is True


def test_all_silent_is_off(sensor: PingSensor, sentinels: Any) -> None:
    read(sensor)
    silence(sentinels)
    assert read(sensor).mains is False


def test_who_never_answered_keeps_no_outage_shut(sensor: PingSensor, sentinels: Any) -> None:
    first, second = sentinels.hosts
    silence(sentinels, first)
    read(sensor)
    silence(sentinels, second)
    assert read(sensor).mains is False


def test_before_anybody_answered_silence_is_unknown(sensor: PingSensor, sentinels: Any) -> None:
    silence(sentinels)
    reading = read(sensor)
    assert reading.mains is None
    assert "never answered since the start; are the addresses right" in reading.reason


def test_the_reason_stays_the_same_while_nothing_changes(
    sensor: PingSensor, sentinels: Any, clock: Any
) -> None:
    """Each new reason is news to every client."""
    read(sensor)
    silence(sentinels)
    sentinels.link(up=False)
    sentinels.link(up=True)
    reasons = set()
    for _ in range(5):
        reasons.add(read(sensor).reason)
        clock.now += 10
    assert len(reasons) == 1


def test_a_link_that_came_back_has_to_settle(
    sensor: PingSensor, sentinels: Any, clock: Any
) -> None:
    read(sensor)
    silence(sentinels)
    sentinels.link(up=False)
    assert read(sensor).mains is None
    clock.now += 1000
    assert read(sensor).mains is None
    sentinels.link(up=True)
    assert read(sensor).mains is None
    clock.now += SETTLE - 1
    assert read(sensor).mains is None
    clock.now += 1
    assert read(sensor).mains is False


def test_one_answer_over_the_new_link_does_not_speak_for_the_other_sentinel(
    sensor: PingSensor, sentinels: Any
) -> None:
    first, second = sentinels.hosts
    read(sensor)
    silence(sentinels, first)
    sentinels.link(up=False)
    read(sensor)
    sentinels.link(up=True)
    assert read(sensor).mains is True
    silence(sentinels, second)
    assert read(sensor).mains is None


def test_a_link_lost_while_it_is_asked_makes_the_silence_void(
    sensor: PingSensor, sentinels: Any
) -> None:
    async def story() -> Reading:
        look = asyncio.ensure_future(sensor.read())
        await asyncio.sleep(0.03)
        sentinels.link(up=False)
        return await look

    read(sensor)
    silence(sentinels)
    reading = asyncio.run(story())
    assert reading.mains is None
    assert "the link of lo changed meanwhile" in reading.reason


def test_a_sentinel_silent_for_long_is_worth_a_notice(
    sensor: PingSensor, sentinels: Any, clock: Any
) -> None:
    first, _ = sentinels.hosts
    read(sensor)
    silence(sentinels, first)
    assert read(sensor).reason == ""
    clock.now += LONG_SILENT + 1
    reading = read(sensor)
    assert (reading.mains, reading.reason) == (
        True,
        f"{first} is silent for long: is it still there?",
    )


def test_the_way_that_answered_is_the_first_one_next_time(
    sensor: PingSensor, sentinels: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    real = ping.knock

    async def noted(to: Any, way: int) -> bool:
        asked.append((to.host, way))
        return way == sentinels.port and await real(to, way)

    monkeypatch.setattr(ping, "knock", noted)
    monkeypatch.setattr(ping, "WAYS", (0, 80, sentinels.port))
    sensor = PingSensor(Ping(hosts=sentinels.hosts[:1], timeout=5))
    assert read(sensor).mains is True
    assert {way for _, way in asked} == {0, 80, sentinels.port}
    asked.clear()
    assert read(sensor).mains is True
    assert asked == [(sentinels.hosts[0], sentinels.port)]


@pytest.mark.parametrize("error", [PermissionError(1, "Operation not permitted"), OSError(24, "")])
def test_what_this_host_forbids_is_no_silence(
    sensor: PingSensor, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    async def refused(_: Any, __: int) -> bool:
        raise error

    read(sensor)
    monkeypatch.setattr(ping, "knock", refused)
    reading = read(sensor)
    assert reading.mains is None
    assert "can't be reached from here" in reading.reason


def test_a_fault_in_our_own_program_is_no_silence(
    sensor: PingSensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wrong(_: Any, way: int) -> bool:
        if way == 80:
            raise TypeError("a bug")
        return False

    read(sensor)
    monkeypatch.setattr(ping, "knock", wrong)
    monkeypatch.setattr(ping, "WAYS", (443, 80))
    with pytest.raises(TypeError):
        read(sensor)


def test_an_interface_that_is_not_there_is_unknown() -> None:
    reading = read(PingSensor(Ping(hosts=("fe80::1%nowhere0",))))
    assert reading.mains is None
    assert "no interface with this name" in reading.reason


def test_all_are_asked_at_once(sentinels: Any, clock: Any) -> None:
    sensor = PingSensor(Ping(hosts=sentinels.hosts, timeout=1.5), clock)
    read(sensor)
    silence(sentinels)
    began = time.monotonic()
    assert read(sensor).mains is False
    assert time.monotonic() - began < 2.9


def test_a_read_that_is_cut_short_leaves_no_socket_and_no_task(
    sensor: PingSensor, sentinels: Any
) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def hurried(steps: int) -> None:
        look = asyncio.ensure_future(sensor.read())
        for _ in range(steps):
            await asyncio.sleep(0)
        look.cancel()
        with pytest.raises(asyncio.CancelledError):
            await look
        assert asyncio.all_tasks() == {asyncio.current_task()}

    read(sensor)
    silence(sentinels)
    before = descriptors()
    for steps in range(6):
        asyncio.run(hurried(steps))
    assert descriptors() <= before


def test_the_configuration_makes_one_and_none_without_hosts() -> None:
    made = create(Ups(sensor="ping", ping=Ping(hosts=("127.0.0.2",), poll=3)))
    assert (made.poll, made.patience) == (3, 2)
    assert made.describe().startswith("ping: 127.0.0.2, asked every 3 s by ")
    with pytest.raises(ValueError, match="names no host"):
        create(Ups(sensor="ping"))


def test_where_links_are_not_shown_nothing_counts_as_an_outage(
    sensor: PingSensor, sentinels: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read(sensor)
    silence(sentinels)
    monkeypatch.setattr(link, "INTERFACES", tmp_path / "none")
    assert read(sensor).mains is None
