"""What lies in the state and runtime directories may be anything; it does no harm."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from powmonman.core.plan import Plan
from powmonman.core.records import to_json
from powmonman.service.clock import boot_id

from .daemon import wait_for
from .fleet import LEASE
from .stage import together

if TYPE_CHECKING:
    from pathlib import Path

    from .daemon import Daemon
    from .fleet import Fleet

NOWHERE = "/proc/sys"  # a directory in which nobody can make a file, not even root


def plan(**changes: Any) -> bytes:
    """Return a plan file of this boot."""
    return json.dumps({"boot_id": boot_id(), "plan": {**to_json(Plan()), **changes}}).encode()


def litter(path: Path, kind: str) -> None:
    """Put something at `path` that a sane program never wrote there."""
    match kind:
        case "garbage":
            path.write_bytes(b"\x00\xff{{{" * 100)
        case "nesting":
            path.write_bytes(b"[" * 200_000)
        case "huge":
            path.write_bytes(b'{"a": "' + b"x" * 4_000_000 + b'"}')
        case "other types":
            path.write_bytes(b'{"boot_id": 3, "plan": [1], "upses": [1], "host": 5, "port": "x"}')
        case "link":
            path.symlink_to(path.with_name("victim"))
            path.with_name("victim").write_text("precious", encoding="utf-8")
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)


KINDS = ("garbage", "nesting", "huge", "other types", "link", "directory", "fifo")
HOSTS = ("nas", "db", "hv", "desk", "web", "mail", "lab")


@together
def test_clients_start_and_act_whatever_lies_there(fleet: Fleet) -> None:
    server = fleet.server(policy__after=2)
    clients = [fleet.client(name) for name in HOSTS]
    for client, kind in zip(clients, KINDS, strict=True):
        litter(client.runtime / "plan.json", kind)
        litter(client.runtime / "client.json", kind)
        litter(client.state / "last-server.json", kind)
    fleet.up(server, *clients)
    fleet.mains("off")
    for name in HOSTS:
        fleet.down(name)
    linked = clients[KINDS.index("link")]
    assert (linked.runtime / "victim").read_text("utf-8") == "precious"
    assert (linked.state / "victim").read_text("utf-8") == "precious"
    assert not (linked.runtime / "plan.json").is_symlink()


@together
def test_a_server_starts_whatever_lies_there(fleet: Fleet) -> None:
    server = fleet.server()
    for first, second in zip(KINDS[::2], [*KINDS[1::2], KINDS[0]], strict=True):
        litter(server.runtime / "server-upses.json", first)
        litter(server.state / "server-upses.json", second)
        server.start().says("ups: on mains")
        assert server.stop() == 0
        for path in [*server.runtime.iterdir(), *server.state.iterdir()]:
            path.rmdir() if path.is_dir() else path.unlink()
    assert server.said("Traceback") == []


@together
def test_an_impossible_plan_is_not_followed(fleet: Fleet) -> None:
    """Right in form, of this boot, and nothing that a client ever wrote."""
    impossible: dict[str, dict[str, Any]] = {
        "nas": {"wake_at": 1e18},
        "db": {"lease": 0.0},
        "hv": {"refill_ratio": 0.0},
        "desk": {"after": -1.0, "phase": "counting", "power": "on_battery"},
    }
    server = fleet.server(policy__after=2)
    clients = [fleet.client(name) for name in impossible]
    now = {"running": 1.0, "boot": 1.0}
    for client, changes in zip(clients, impossible.values(), strict=True):
        (client.runtime / "plan.json").write_bytes(plan(last=now, **changes))
    fleet.up(server, *clients)
    assert fleet.history == []
    fleet.mains("off")
    for name in impossible:
        fleet.down(name)


@together
def test_a_last_address_that_is_none_keeps_nobody_from_the_server(fleet: Fleet) -> None:
    """The server is not there yet when they start, so that each tries its odd address first."""
    odd: dict[str, Any] = {
        "nas": {"host": "127.0.0.1", "port": 99_999_999},
        "db": {"host": "a\0b", "port": 7444},
        "hv": {"host": "x" * 300 + "..", "port": -1},
    }
    clients = [fleet.client(name) for name in odd]
    for client, address in zip(clients, odd.values(), strict=True):
        (client.state / "last-server.json").write_text(json.dumps(address), encoding="utf-8")
        client.start()
    for client in clients:
        client.says(f"no connection: 127.0.0.1 port {fleet.port}: Connection refused")
    fleet.server().start()
    for client in clients:
        client.says("server found")


@together
def test_a_state_directory_that_takes_nothing_is_reported_at_once(fleet: Fleet) -> None:
    server = fleet.server(state_dir=NOWHERE)
    server.start()
    wait_for("a fault", lambda: fleet.report(server).get("faults"))
    server.says("ERROR .*an outage would be forgotten in a power cut")
    ran = fleet.run("status", "--config", str(server.config))
    assert ran.returncode == 1
    assert f"{NOWHERE}/server-upses.json: " in ran.stdout


@together
def test_a_client_that_can_write_nothing_still_acts(fleet: Fleet) -> None:
    server = fleet.server(policy__after=LEASE)
    nas: Daemon = fleet.client("nas", "backup", state_dir=NOWHERE, runtime_dir=NOWHERE)
    fleet.up(server, nas)
    fleet.mains("off")
    fleet.down("nas")
    assert fleet.ran("nas") == ["backup", "poweroff"]
    assert len(nas.said("a restart would lose the plan")) == 1
