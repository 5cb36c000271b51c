"""Whoever misbehaves on the server's port is thrown out, and nobody else notices."""

from __future__ import annotations

import os
import re
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from powmonman.core.messages import Ping, State, encode
from powmonman.core.messages import Policy as FleetPolicy
from tests.integration.daemon import wait_for
from tests.integration.peers import HELLO, Caller, dropped
from tests.integration.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.fleet import Fleet


@pytest.fixture(scope="module")
def running(new_fleet: Callable[[], Fleet]) -> Site:
    return Site.up(new_fleet())


@pytest.fixture
def site(running: Site) -> Iterator[Site]:
    """The site of this file; whatever a test did to it, the honest hosts stayed connected."""
    before = [running.fleet.row(running.server, name)["for"] for name in ("nas", "db")]
    yield running
    wait_for("both are told", running.told_both)
    rows = [running.fleet.row(running.server, name) for name in ("nas", "db")]
    assert all(row["connected"] for row in rows)
    assert all(row["for"] >= earlier for row, earlier in zip(rows, before, strict=True))


STATE = encode(State("x", 1.0, FleetPolicy(), {}))
MISBEHAVIOUR = {
    "no message": (b"What is this?\n", "no JSON: Expecting value"),
    "no object": (b"[1,2,3]\n", "no JSON object"),
    "unknown type": (b'{"type":"shutdown"}\n', "unknown message type"),
    "no type": (b"{}\n", "unknown message type"),
    "deep nesting": (b"[" * 50_000 + b"\n", "no JSON"),
    "wrong field": (b'{"type":"ack","seq":"1","nonce":1}\n', "seq is not of type int"),
    "too long": (b"x" * 70_000, "a line is longer than 65536 bytes"),
    "hello twice": (HELLO, "Hello is not for a client to say here"),
    "a state": (STATE, "State is not for a client to say here"),
    "a flood": (encode(Ping(1)) * 200, "more than 50 messages a second"),
}


@pytest.mark.parametrize("kind", MISBEHAVIOUR)
def test_a_host_that_misbehaves_is_told_why_and_thrown_out(site: Site, kind: str) -> None:
    words, reason = MISBEHAVIOUR[kind]
    with site.call("web") as caller:
        caller.says(HELLO)
        assert caller.hears()["type"] == "state"
        caller.says(words)
        assert reason in caller.hears_the_end()
    site.server.says(f"refused web at 127.0.0.1: {reason}")


def test_a_host_is_who_its_certificate_says_whatever_it_says(site: Site) -> None:
    with site.call("web") as caller:
        caller.says(HELLO[:-2] + b',"name":"nas","host":"nas"}\n')
        assert caller.hears()["type"] == "state"
        caller.says(b'{"type":"status","phase":"committed","name":"nas"}\n')
        wait_for("web", lambda: site.fleet.row(site.server, "web")["phase"] == "committed")
        assert site.fleet.row(site.server, "nas")["phase"] == "idle"


def test_the_first_word_must_be_hello_or_query(site: Site) -> None:
    with site.call("web") as caller:
        caller.says(encode(Ping(1)))
        assert caller.hears_the_end() == "the first message must be hello or query"


# Well before the time for a handshake is over, which is 10 s.
@pytest.mark.parametrize(
    "words",
    [b"GET / HTTP/1.1\r\nHost: pi\r\n\r\n", b'{"type":"hello","nonce":1}\n', os.urandom(4096)],
    ids=["http", "plain hello", "random bytes"],
)
def test_whoever_does_not_speak_tls_is_thrown_out(site: Site, words: bytes) -> None:
    refused = "refused a stranger at 127.0.0.1: TLS: "
    before = len(site.server.said(refused))
    with socket.create_connection(("127.0.0.1", site.fleet.port)) as sock:
        sock.sendall(words)
        assert dropped(sock, within=6)
    wait_for("the log line", lambda: len(site.server.said(refused)) > before)
    assert before + 1 == len(site.server.said(refused))


def test_an_endless_handshake_is_thrown_out(site: Site) -> None:
    """A greeting that claims to be 128 KiB long, in proper records."""
    body = b"\x01\x01\xff\x00" + bytes(0x1FF00)
    records = (body[at : at + 16000] for at in range(0, len(body), 16000))
    stream = b"".join(b"\x16\x03\x01" + len(it).to_bytes(2) + it for it in records)
    with socket.create_connection(("127.0.0.1", site.fleet.port)) as sock:
        sock.sendall(stream)
        assert dropped(sock, within=6)
    site.server.says("refused a stranger at 127.0.0.1: TLS: .*longer than any honest one")
    with site.call("web") as caller:
        caller.says(HELLO)
        assert caller.hears()["type"] == "state"


def test_a_certificate_of_another_fleet_is_refused(site: Site) -> None:
    """This stranger even trusts our server."""
    theirs = site.fleet.stranger.client("nas").read_text("ascii")
    leaf = theirs[: theirs.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----\n"
    identity = site.fleet.path("mixed.pem")
    identity.write_text(leaf + site.fleet.authority.ca.read_text("ascii"), encoding="ascii")
    with Caller(identity, site.fleet.port) as caller:
        caller.says(HELLO)
        assert caller.hears() == {}
    site.server.says("refused a stranger at 127.0.0.1: TLS: CERTIFICATE_VERIFY_FAILED")


@pytest.mark.parametrize("serves", [True, False], ids=["as issued", "forged for clients"])
def test_a_servers_certificate_is_refused_as_a_clients(site: Site, *, serves: bool) -> None:
    authority = site.fleet.authority
    identity = authority.server if serves else authority.forge("powmonman-server", serves=False)
    with (
        site.server.says_again("refused a stranger at 127.0.0.1: TLS: "),
        Caller(identity, site.fleet.port) as caller,
    ):
        caller.says(HELLO)
        assert caller.hears() == {}
    assert "powmonman-server" not in str(site.fleet.report(site.server)["clients"])


def test_a_host_that_never_answers_is_dropped_after_a_lease(site: Site) -> None:
    with site.call("web") as caller:
        caller.says(HELLO)
        assert site.time_to_tell() < 1.5
        said = site.server.says("web said nothing")
    # Sooner it may not be; on a slow machine the sweep comes later.
    assert re.search("for [2-9] s: dropped", said)


def test_of_two_clients_with_one_name_the_newer_counts(site: Site) -> None:
    with site.call("web") as first, site.call("web") as second:
        first.says(HELLO)
        assert first.hears()["type"] == "state"
        second.says(HELLO)
        assert second.hears()["type"] == "state"
        assert first.hears_the_end() == ""
        assert site.fleet.row(site.server, "web")["connected"]


def test_a_revoked_certificate_is_thrown_out_on_reload_and_not_let_in_again(site: Site) -> None:
    with site.call("web") as caller:
        caller.says(HELLO)
        assert caller.hears()["type"] == "state"
        site.server.configure(tls__revoked=[site.fleet.authority.fingerprint("web")])
        site.server.reload()
        assert caller.hears_the_end() == "the certificate of web is revoked"
    with site.call("web") as again:
        again.says(HELLO)
        assert again.hears_the_end() == "the certificate of web is revoked"
    assert not site.fleet.row(site.server, "web")["connected"]


def test_the_servers_own_socket_is_for_its_user_and_its_group(site: Site) -> None:
    """There the operator gives his orders, whatever the umask was when the server began."""
    assert stat.S_IMODE((site.server.runtime / "server.sock").stat().st_mode) == 0o660
