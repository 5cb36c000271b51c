"""Where the server is: found on the LAN, found again when it moves, looked for without delay.

Several fleets are on this machine's loopback at once, each with a port of its own.
"""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

from .daemon import sleep_until
from .stage import together

if TYPE_CHECKING:
    from .daemon import Daemon
    from .fleet import Fleet

AFTER = 5.0
ON_LOOPBACK = {"enabled": True, "interfaces": ["lo"]}


@together
def test_a_host_without_an_address_finds_the_server(fleet: Fleet) -> None:
    server = fleet.server(announce={**ON_LOOPBACK, "interval": 0.5})
    nas = fleet.client("nas", servers=[], discovery=ON_LOOPBACK)
    fleet.up(server, nas)
    nas.says("server by discovery")
    nas.says(rf"server found · 127\.0\.0\.1 port {fleet.port}")


@together
def test_a_server_that_moves_in_an_outage_is_found_again(fleet: Fleet) -> None:
    """It comes back at another address; the countdown goes on, and the return is heard of."""
    server = fleet.server(announce={**ON_LOOPBACK, "interval": 0.5}, policy__after=60)
    nas = fleet.client("nas", servers=[], discovery=ON_LOOPBACK)
    fleet.up(server, nas)
    fleet.mains("off")
    nas.says("on battery · outage")
    server.kill()
    server.configure(listen__address="127.0.0.2")
    server.start()
    nas.says(rf"server found · 127\.0\.0\.2 port {fleet.port} .* shutdown in")
    fleet.mains("on")
    nas.says("mains are back")
    kept = json.loads((nas.state / "last-server.json").read_text("utf-8"))
    assert kept == {"host": "127.0.0.2", "port": fleet.port}


@together
def test_the_last_address_that_was_right_is_tried_without_discovery(fleet: Fleet) -> None:
    server = fleet.server(announce={**ON_LOOPBACK, "interval": 0.5})
    nas = fleet.client("nas", servers=[], discovery=ON_LOOPBACK)
    fleet.up(server, nas)
    nas.stop()
    server.stop()
    server.configure(announce={"enabled": False})
    server.start().says("listening on")
    nas.start().says("server found")


@together
def test_addresses_that_lead_nowhere_are_passed_over(fleet: Fleet) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        dead = f"127.0.0.1:{nobody.getsockname()[1]}"
        server = fleet.server()
        nas = fleet.client("nas", servers=[dead, "no-such-host.invalid", f"127.0.0.1:{fleet.port}"])
        fleet.up(server, nas)
    nas.says(f"no connection: {dead.replace(':', ' port ')}: Connection refused")
    nas.says("no connection: no-such-host.invalid port .*: ")


HANGING_NAMES = """
import socket, time
real = socket.getaddrinfo
def getaddrinfo(host, *rest, **more):
    if host == "hangs.invalid":
        time.sleep(600)
    return real(host, *rest, **more)
socket.getaddrinfo = getaddrinfo
"""


@together
def test_a_countdown_does_not_wait_for_a_connect(fleet: Fleet) -> None:
    """The server dies; the other address takes every connection and never says a word."""
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen()
        hole.settimeout(10)
        port = hole.getsockname()[1]
        nas = fleet.client("nas", servers=[f"127.0.0.1:{fleet.port}", f"127.0.0.1:{port}"])
        lost_at = server_dies(fleet, nas)
        connection, _ = hole.accept()
        with connection:
            assert AFTER - 0.05 <= fleet.down("nas") - lost_at <= AFTER + 2.5
            nas.says("shutting down now .* the server is silent")
            before, *_ = nas.log.partition("shutting down now")
            assert f"no connection: 127.0.0.1 port {port}:" not in before


@together
def test_a_countdown_does_not_wait_for_a_name(fleet: Fleet) -> None:
    """The server dies; the other one is a name, and the DNS died with the mains."""
    nas = fleet.client("nas", servers=[f"127.0.0.1:{fleet.port}", "hangs.invalid"])
    nas.begins_with(HANGING_NAMES)
    lost_at = server_dies(fleet, nas)
    nas.says(f"no connection: 127.0.0.1 port {fleet.port}")
    assert AFTER - 0.05 <= fleet.down("nas") - lost_at <= AFTER + 2.5
    nas.says("hangs.invalid port .*: no answer")


def server_dies(fleet: Fleet, nas: Daemon) -> float:
    """Start an outage, and kill the server 1 s into it; return when the mains failed."""
    server = fleet.server(policy__after=AFTER)
    fleet.up(server, nas)
    lost_at = fleet.mains("off")
    nas.says("on battery · outage")
    sleep_until(lost_at + 1)
    server.kill()
    return lost_at
