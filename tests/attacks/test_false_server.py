"""Whoever poses as the server is refused, whatever he says of outages."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.integration.authority import fingerprint
from tests.integration.daemon import wait_for
from tests.integration.peers import FalseServer
from tests.integration.stage import together

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.fleet import Fleet


def refuses(fleet: Fleet, identity: Path, reason: str) -> None:
    """Let a false server with `identity` shout at a host; return when it was refused."""
    nas = fleet.client("nas", policy__min_observe=0, policy__confirm=0, policy__after=1)
    false = FalseServer(identity, fleet.port)
    try:
        nas.start()
        assert reason in nas.says("no connection: 127.0.0.1 port .*: TLS: ")
        time.sleep(1.5)
        assert nas.said("server found|on battery · outage|shutting down") == []
        assert (false.calls, false.heard) == (1, b"")
    finally:
        false.close()
    assert fleet.history == []


@together
def test_a_hosts_own_certificate_does_not_make_a_server(fleet: Fleet) -> None:
    refuses(fleet, fleet.authority.client("db"), "unsuitable certificate purpose")


@together
def test_not_even_a_hosts_certificate_in_the_servers_name_does(fleet: Fleet) -> None:
    """The name is right, so that only the role that the fleet CA gave it speaks against it."""
    identity = fleet.authority.forge("powmonman-server", serves=False)
    refuses(fleet, identity, "unsuitable certificate purpose")


@together
def test_a_servers_certificate_in_another_name_does_not(fleet: Fleet) -> None:
    refuses(fleet, fleet.authority.forge("db", serves=True), "hostname mismatch")


@together
def test_the_server_of_another_fleet_does_not(fleet: Fleet) -> None:
    refuses(fleet, fleet.stranger.server, "self-signed certificate in certificate chain")


@together
def test_the_servers_own_certificate_does_not_once_it_is_revoked(fleet: Fleet) -> None:
    """Its key was stolen, and the roll-out has told this host."""
    server = fleet.server()
    server.start()
    nas = fleet.client("nas", tls__revoked=[fingerprint(fleet.authority.server)])
    nas.start()
    assert nas.says("no connection: 127.0.0.1 port .*: the server's certificate is revoked")
    assert nas.said("server found") == []


@together
def test_a_host_leaves_the_false_server_for_the_true_one(fleet: Fleet) -> None:
    """Both stand in the host's list, the false one first."""
    false = FalseServer(fleet.authority.client("db"), 0)
    server = fleet.server()
    nas = fleet.client("nas", servers=[f"127.0.0.1:{false.port}", f"127.0.0.1:{fleet.port}"])
    try:
        fleet.up(server, nas)
    finally:
        false.close()
    assert f"127.0.0.1 port {fleet.port}" in nas.says("server found")
    nas.says(f"no connection: 127.0.0.1 port {false.port}: TLS")
    assert wait_for("a row", lambda: fleet.row(server, "nas"))["connected"]
