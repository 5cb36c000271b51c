"""The server's parts together: in which order, and what a failure of one does to the rest."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from daemons import free_port

from powmonman import sensors
from powmonman.config.schema import Announce, Listen, ServerConfig, Tls
from powmonman.config.sources import Simulated, Ups
from powmonman.core.outage import Supply
from powmonman.core.power import PowerState, Reading
from powmonman.server import app
from powmonman.server.app import Server
from powmonman.server.monitor import Monitor, supply_for
from powmonman.service import notify
from powmonman.service.clock import boottime
from powmonman.service.logs import Logs

if TYPE_CHECKING:
    from pathlib import Path

ON, OFF = Reading(mains=True), Reading(mains=False)


@pytest.fixture
def server(identities: Path, tmp_path: Path) -> Server:
    config = ServerConfig(
        upses={"rack": Ups(sensor="simulated", simulated=Simulated(poll=2.0), confirm=0.5)},
        tls=Tls(identity=str(identities / "server.pem")),
        runtime_dir=str(tmp_path),
        state_dir=str(tmp_path),
    )
    return Server(tmp_path / "server.yml", config, Logs("powmonman.test"))


@pytest.fixture
def done(server: Server, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what the server does about a change, in order."""
    order: list[str] = []

    async def keep(*_: Any, **__: Any) -> None:
        await asyncio.sleep(0)
        order.append("remembered")

    monkeypatch.setattr(server._memory, "keep", keep)
    monkeypatch.setattr(server._hub, "publish", lambda **_: order.append("told"))
    return order


async def report(server: Server, *readings: Reading) -> PowerState:
    """Let the UPS be read, every 2 s, and its change be reported."""
    ups = server._config.upses["rack"]
    sensor = sensors.create(ups)
    supply = supply_for(ups, sensor, server._config)
    for number, reading in enumerate(readings):
        supply = supply.observe(reading, 100.0 + 2 * number, "o1")
        if supply.debounce.wants_verify:
            supply = supply.verified(reading, 100.0 + 2 * number, "o1")
    await server._changed(Monitor("rack", ups, sensor, supply, server._changed))
    return supply.state


def test_an_outage_is_remembered_before_anybody_is_told(server: Server, done: list[str]) -> None:
    """Also where the sensor is read so seldom that the outage is no longer new when it is known."""
    assert asyncio.run(report(server, ON, ON, ON, ON, OFF, OFF)) is PowerState.ON_BATTERY
    assert done == ["remembered", "told"]


def test_no_heartbeat_tells_of_an_outage_before_it_is_on_disk(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is slow: a client would go down, and after a power cut nobody knew of it."""
    told: list[tuple[str, PowerState]] = []

    def publish(**_: Any) -> None:
        state = server._state()
        told.append((state.id, state.upses["rack"].state))

    async def slow(*_: Any, **__: Any) -> None:
        publish()
        await asyncio.sleep(0)
        publish()

    monkeypatch.setattr(server._memory, "keep", slow)
    monkeypatch.setattr(server._hub, "publish", publish)
    ups = server._config.upses["rack"]
    sensor = sensors.create(ups)
    monitor = Monitor("rack", ups, sensor, Supply(), server._changed)
    server._upses.monitors["rack"] = monitor

    async def read(now: float, *readings: Reading) -> None:
        for number, reading in enumerate(readings):
            at = now - 2 * (len(readings) - 1 - number)
            monitor.supply = monitor.supply.observe(reading, at, "o1")
            if monitor.supply.debounce.wants_verify:
                monitor.supply = monitor.supply.verified(reading, at, "o1")

    async def story() -> None:
        await read(boottime(), ON, ON, ON, ON)
        publish()
        await read(boottime(), OFF, OFF)
        await server._changed(monitor)

    asyncio.run(story())
    (before, *during, after) = told
    assert [before] * 2 == during
    assert after[1] is PowerState.ON_BATTERY
    assert after[0] != before[0]


def test_good_news_wait_for_no_disk(server: Server, done: list[str]) -> None:
    assert asyncio.run(report(server, OFF, OFF, ON, ON, ON, ON)) is PowerState.ON_MAINS
    assert done == ["told", "remembered"]


def test_a_disk_that_hangs_does_not_hold_the_beat(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a short lease, clients would lose contact each time that it is tried."""
    beats = []

    async def hangs(*_: Any, **__: Any) -> None:
        await asyncio.sleep(60)

    enough = asyncio.Event()

    def beats_once() -> None:
        beats.append(1)
        if len(beats) == 3:
            enough.set()

    async def beat() -> None:
        parts = [asyncio.create_task(part) for part in (server._beat(), server._remember())]
        await asyncio.wait_for(enough.wait(), 20)
        for part in parts:
            part.cancel()

    monkeypatch.setattr(app, "REMEMBER_EVERY", 0.05)
    monkeypatch.setattr(server._memory, "keep", hangs)
    monkeypatch.setattr(server._hub, "publish", lambda **_: beats_once())
    monkeypatch.setattr(server, "_config", replace(server._config, lease=0.3))
    asyncio.run(beat())


def test_a_reload_that_fails_in_an_unusual_way_is_over_too(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """systemd waits for its end, and `status` must name the fault."""
    (tmp_path / "server.yml").write_text("{}", encoding="utf-8")
    said: list[str] = []

    def gone(_: Path) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(app, "server_context", gone)
    monkeypatch.setattr(notify, "ready", said.append)
    server._reload()
    assert "No such file or directory" in server.report()["faults"][0]
    assert len(said) == 1


def test_what_happened_last_is_looked_at_before_the_server_ends(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guard's own host goes down in less than a sweep after it has committed."""
    server._config = replace(
        server._config,
        listen=Listen(address="127.0.0.1", port=free_port()),
        announce=Announce(enabled=False),
    )
    stopping: list[bool] = []
    monkeypatch.setattr(server, "_look", lambda: stopping.append(server._stop.is_set()))

    async def serve() -> None:
        asyncio.get_running_loop().call_later(0.3, server._stop.set)
        async with asyncio.timeout(20):
            await server.run()

    asyncio.run(serve())
    assert stopping[-1]
