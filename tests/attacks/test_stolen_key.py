"""Whoever has stolen one host's key can speak as that host, and do nothing to any other."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from tests.integration.daemon import wait_for
from tests.integration.peers import HELLO, Caller
from tests.integration.stage import together

if TYPE_CHECKING:
    from tests.integration.daemon import Daemon
    from tests.integration.fleet import Fleet

ORDERS: tuple[dict[str, Any], ...] = (
    {"type": "shutdown-fleet", "fleet": "test"},
    {"type": "start-drill", "fleet": "test", "live": "nas"},
    {"type": "stop-drill"},
    {"type": "report", "clients": []},
    {"type": "error", "reason": "go away"},
)


def said(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def as_web(fleet: Fleet) -> Caller:
    """Connect with the key of web, and be let in."""
    thief = Caller(fleet.authority.client("web"), fleet.port)
    thief.says(HELLO)
    assert thief.hears()["type"] == "state"
    return thief


def other(fleet: Fleet, server: Daemon) -> dict[str, Any]:
    """Return what the server knows of nas that does not change by itself."""
    row = fleet.row(server, "nas")
    return {name: row[name] for name in ("connected", "phase", "down", "waits", "power", "outage")}


@together
def test_whatever_it_says_while_the_mains_are_on_no_other_host_is_touched(fleet: Fleet) -> None:
    server = fleet.server(clients=["nas", "web"])
    nas = fleet.client("nas", wait_for=["web"], wait_timeout=2)
    fleet.up(server, nas)
    before = wait_for("nas is idle", lambda: _idle(other(fleet, server)))
    victim = {"name": "nas", "host": "nas", "client": "nas"}
    entry = {"seq": 1, "outage": "f" * 32, "kind": "committed", "at": 1.0, **victim}
    with as_web(fleet) as thief:
        for phase in ("counting", "waiting", "committed", "halting"):
            thief.says(said({"type": "status", "phase": phase, "power": "on_battery", **victim}))
        thief.says(said({"type": "diary", "entries": [entry], **victim}))
        thief.says(said({"type": "ack", "seq": 1, "nonce": 2, **victim}))
        thief.says(said({"type": "drill-status", "id": "f" * 32, "phase": "committed", **victim}))
        wait_for("it is heard", lambda: fleet.row(server, "web")["phase"] == "halting")
        after = other(fleet, server)
    assert {**before, "waits": after["waits"]} == after
    assert fleet.report(server)["upses"]["ups"]["state"] == "on_mains"
    assert nas.said("WARNING on battery|shutting down|drill ") == []
    assert fleet.history == []


@together
def test_no_client_gives_the_orders_of_the_operator(fleet: Fleet) -> None:
    server, nas = fleet.server(), fleet.client("nas")
    fleet.up(server, nas)
    for order in ORDERS:
        with as_web(fleet) as thief:
            thief.says(said(order))
            assert "is not for a client to say here" in thief.hears_the_end()
        with Caller(fleet.authority.client("web"), fleet.port) as thief:
            thief.says(said(order))
            assert thief.hears_the_end() == "the first message must be hello or query"
    time.sleep(0.5)
    assert nas.said("shutting down|drill |the operator") == []
    assert fleet.history == []


@together
def test_whoever_waits_for_it_goes_neither_early_nor_too_late(fleet: Fleet) -> None:
    """Web says at once that it has committed, hangs up, comes back, and never goes."""
    after, timeout = 4.0, 3.0
    server = fleet.server(policy__after=after, clients=["nas", "db", "web"])
    nas = fleet.client("nas", wait_for=["web"], wait_timeout=timeout)
    db = fleet.client("db")
    fleet.up(server, nas, db)
    lost_at = fleet.mains("off")
    nas.says("on battery · outage")
    with as_web(fleet) as thief:
        thief.says(said({"type": "status", "phase": "committed"}))
        server.says("web is committed")
    with as_web(fleet) as thief:
        thief.says(said({"type": "status", "phase": "idle", "left": 1e300}))
        waited_for = wait_for("nas is down", lambda: _keep_alive(fleet, thief))
    assert after - 0.05 <= fleet.down("db") - lost_at <= after + 2.5
    assert after - 0.05 <= waited_for - lost_at <= after + timeout + 2.5


@together
def test_whoever_waits_for_it_stays_when_the_mains_return(fleet: Fleet) -> None:
    server = fleet.server(policy__after=2, clients=["nas", "web"])
    nas = fleet.client("nas", wait_for=["web"], wait_timeout=60)
    fleet.up(server, nas)
    with as_web(fleet) as thief:
        fleet.mains("off")
        nas.says("waiting for web")
        fleet.mains("on")
        thief.says(said({"type": "status", "phase": "halting"}))
        nas.says("mains are back")
    time.sleep(0.5)
    assert fleet.history == []


@together
def test_once_it_is_on_the_deny_list_it_is_nobody(fleet: Fleet) -> None:
    """Not even the report is shown to it."""
    server = fleet.server(tls__revoked=[fleet.authority.fingerprint("web")])
    server.start().says("listening on")
    for first in (HELLO, said({"type": "query"})):
        with Caller(fleet.authority.client("web"), fleet.port) as thief:
            thief.says(first)
            assert thief.hears_the_end() == "the certificate of web is revoked"
    with Caller(fleet.authority.client("nas"), fleet.port) as honest:
        honest.says(HELLO)
        assert honest.hears()["type"] == "state"
    assert fleet.row(server, "web") == {}


def _idle(row: dict[str, Any]) -> dict[str, Any]:
    return row if row["phase"] == "idle" and row["power"] == "on_mains" else {}


def _keep_alive(fleet: Fleet, thief: Caller) -> float:
    """Let the thief stay in contact; return when nas has gone."""
    thief.says(said({"type": "ping", "nonce": 1}))
    time.sleep(0.2)
    return next((r.at for r in fleet.history if (r.host, r.what) == ("nas", "poweroff")), 0.0)
