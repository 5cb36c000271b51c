"""Who has no certificate of this fleet gets nothing; a wrong clock takes nothing from who has."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from powmonman.net.tls import ALPN, SERVER_NAME, client_context, server_context
from tests.integration.daemon import wait_for
from tests.integration.peers import HELLO, TIMEOUT, Caller, FalseServer, dropped, outage
from tests.integration.stage import together

if TYPE_CHECKING:
    from tests.integration.fleet import Fleet

OVER, TO_COME = (1990, 2000), (2500, 2600)


def anonymous(fleet: Fleet) -> ssl.SSLContext:
    """Return what a stranger has who knows the fleet CA's certificate, which is no secret."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(fleet.authority.ca)
    context.set_alpn_protocols([ALPN])
    return context


def old(context: ssl.SSLContext) -> ssl.SSLContext:
    """Return the context of somebody who speaks no newer TLS than 1.2."""
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def speaking(context: ssl.SSLContext, *protocols: str) -> ssl.SSLContext:
    """Return the context of somebody who speaks other protocols over TLS."""
    context.set_alpn_protocols(protocols)
    return context


@together
def test_without_a_certificate_nobody_is_let_in_or_told_anything(fleet: Fleet) -> None:
    server = fleet.server()
    server.start().says("listening on")
    with Caller(anonymous(fleet), fleet.port) as caller:
        caller.says(HELLO)
        assert caller.hears() == {}
    server.says("refused a stranger at 127.0.0.1: TLS: PEER_DID_NOT_RETURN_A_CERTIFICATE")
    assert fleet.report(server)["clients"] == []


@together
def test_with_the_clock_decades_wrong_a_host_is_protected_all_the_same(fleet: Fleet) -> None:
    """To a clock at 1970 all is still to come; to one in the next century all is over."""
    issue = fleet.authority.forge
    server = fleet.server(
        policy__after=2,
        tls__identity=str(issue("powmonman-server", serves=True, years=TO_COME)),
    )
    nas = fleet.client("nas", tls__identity=str(issue("nas", serves=False, years=OVER)))
    fleet.up(server, nas)
    nas.says("WARNING the server's certificate looks expired, or this host's clock is wrong")
    server.says(r"nas has joined .*its certificate looks expired \(or a clock is wrong\)")
    assert fleet.row(server, "nas")["certificate_expired"]
    fleet.mains("off")
    fleet.down("nas")


@together
def test_a_caller_that_speaks_only_older_tls_is_refused(fleet: Fleet) -> None:
    server = fleet.server()
    server.start().says("listening on")
    with pytest.raises(ConnectionError):
        Caller(old(client_context(fleet.authority.client("nas"))), fleet.port)
    server.says("refused a stranger at 127.0.0.1: TLS: UNSUPPORTED_PROTOCOL")
    assert fleet.report(server)["clients"] == []


@together
def test_a_server_that_speaks_only_older_tls_is_left(fleet: Fleet) -> None:
    """Its certificate is the true server's: what is refused is the TLS."""
    refused(fleet, old(server_context(fleet.authority.server)), "no connection: .*: TLS: .*version")


@together
def test_a_server_that_speaks_another_protocol_is_left(fleet: Fleet) -> None:
    other = speaking(server_context(fleet.authority.server), "http/1.1")
    refused(fleet, other, f"no connection: .*: TLS: the peer does not speak {ALPN}")


@together
def test_a_caller_that_speaks_another_protocol_or_none_is_refused(fleet: Fleet) -> None:
    """A browser that holds a host's certificate, say."""
    server = fleet.server()
    server.start().says("listening on")
    for protocols in (["h2", "http/1.1"], []):
        before = len(server.said("refused"))
        context = speaking(client_context(fleet.authority.client("nas")), *protocols)
        with (
            socket.create_connection(("127.0.0.1", fleet.port), TIMEOUT) as sock,
            context.wrap_socket(sock, server_hostname=SERVER_NAME) as browser,
        ):
            browser.sendall(HELLO)
            assert browser.recv(65536) == b""
        wait_for("a refusal", lambda b=before: len(server.said("refused")) > b)
        assert f"the peer does not speak {ALPN}" in server.said("refused")[-1]
    assert fleet.report(server)["clients"] == []


@together
def test_a_server_without_tls_is_left(fleet: Fleet) -> None:
    """It greets in clear text, with a state, and says that the mains have failed."""
    nas = fleet.client("nas", policy__min_observe=0, policy__confirm=0)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", fleet.port))
        listener.listen()
        listener.settimeout(20)
        nas.start()
        connection, _ = listener.accept()
        with connection:
            connection.sendall(outage(1))
            assert dropped(connection, within=10)
    nas.says("no connection: .*: TLS: ")
    assert nas.said("server found|on battery · outage|shutting down") == []
    assert fleet.history == []


def refused(fleet: Fleet, context: ssl.SSLContext, reason: str) -> None:
    """Let a server with this context tell a host of an outage, and see it refused."""
    nas = fleet.client("nas", policy__min_observe=0, policy__confirm=0, policy__after=1)
    false = FalseServer(context, fleet.port)
    try:
        nas.start().says(reason)
        wait_for("its end", lambda: false.calls)
    finally:
        false.close()
    assert (false.heard, fleet.history) == (b"", [])
    assert nas.said("server found|on battery · outage") == []
