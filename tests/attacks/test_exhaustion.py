"""Whoever takes all that he can get from a server, or from a host, takes it from nobody else."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from powmonman.core.messages import Ping, encode
from powmonman.net.tls import TlsPipe, client_context
from tests.integration.daemon import wait_for
from tests.integration.peers import HELLO, Caller, FalseServer, dropped, half_open, mains, nonce
from tests.integration.site import Site
from tests.integration.stage import together

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.daemon import Daemon
    from tests.integration.fleet import Fleet

HANDSHAKE_TIMEOUT = 8.0
MEGABYTE = b"x" * 2**20
STEADY = 40  # messages a second, of the 50 that are allowed


@pytest.fixture(scope="module")
def site(new_fleet: Callable[[], Fleet]) -> Site:
    # A busy machine may keep an attacker silent for longer than a short lease.
    return Site.up(
        new_fleet(),
        lease=30,
        limits__handshake_timeout=HANDSHAKE_TIMEOUT,
        limits__messages=100_000,
    )


def resident(daemon: Daemon) -> int:
    """Return the memory that a process uses, in bytes."""
    status = Path(f"/proc/{daemon.pid}/statm").read_text("ascii")
    return int(status.split()[1]) * 4096


def files(daemon: Daemon) -> int:
    return len(list(Path(f"/proc/{daemon.pid}/fd").iterdir()))


def test_a_thousand_half_open_connections_delay_neither_a_push_nor_a_new_host(site: Site) -> None:
    """Half of them say nothing, half stop in the middle of a greeting; all are thrown out."""
    started = TlsPipe(client_context(site.fleet.authority.client("lab")), server_side=False)
    hello = started.outgoing()
    port, before, memory = site.fleet.port, files(site.server), resident(site.server)
    with half_open(port, 500) as silent, half_open(port, 500, hello[: len(hello) // 2]) as slow:
        began = time.monotonic()
        with site.call("web") as caller:
            caller.says(HELLO)
            assert caller.hears()["type"] == "state"
        assert time.monotonic() - began < HANDSHAKE_TIMEOUT
        assert site.time_to_tell() < HANDSHAKE_TIMEOUT
        assert resident(site.server) - memory < 128 * 2**20
        assert all(dropped(sock, HANDSHAKE_TIMEOUT + 10) for sock in [*silent, *slow])
    site.server.says("refused a stranger .*: no handshake and hello in time")
    wait_for("its files are closed", lambda: files(site.server) <= before + 5)
    # Nor is the log filled.
    assert len(site.server.said("WARNING refused a stranger")) <= 60


def test_a_host_that_never_reads_costs_the_server_little_and_gets_the_newest(site: Site) -> None:
    """It asks thousands of times and takes no answer, while the mains fail and return."""
    with Caller(site.fleet.authority.client("web"), site.fleet.port, buffer=4096) as deaf:
        deaf.says(HELLO)
        assert deaf.hears()["type"] == "state"
        memory = resident(site.server)
        for turn in range(20_000):
            deaf.says(encode(Ping(turn)))
            if not turn % 200:
                time.sleep(0.02)
        assert site.time_to_tell() < HANDSHAKE_TIMEOUT
        assert resident(site.server) - memory < 4 * 2**20
        with site.call("mail") as honest:
            honest.says(HELLO)
            newest = honest.hears()["id"]
        deaf.says(encode(Ping(77777)))
        states = 0
        while deaf.hears()["id"] != newest:
            states += 1
        assert states < 20_000


def test_hosts_that_never_stop_talking_delay_nobody(site: Site) -> None:
    """Each keeps within what a host is allowed, and there are five of them."""
    names = ("web", "mail", "lab", "desk", "hv")
    callers = [site.call(name) for name in names]
    try:
        for caller in callers:
            caller.says(HELLO)
        for turn in range(STEADY):
            for caller in callers:
                caller.says(encode(Ping(turn)))
            time.sleep(1 / STEADY)
            if turn == STEADY // 2:
                assert site.time_to_tell() < HANDSHAKE_TIMEOUT
        assert all(caller.hears()["type"] == "state" for caller in callers)
    finally:
        for caller in callers:
            caller.close()


@together
def test_a_host_that_floods_the_server_is_thrown_out_and_the_rest_stay(fleet: Fleet) -> None:
    site = Site.up(fleet, lease=30)
    with site.call("web") as caller:
        caller.says(HELLO)
        caller.says(encode(Ping(1)) * 5000)
        # What it did not take of the flood may cost the caller the last word.
        assert caller.hears_the_end() in {"more than 50 messages a second", ""}
    site.server.says("refused web at 127.0.0.1: more than 50 messages a second")
    site.time_to_tell()
    assert site.server.said("nas has left|db has left") == []


@together
def test_a_line_of_a_megabyte_is_not_waited_for_by_the_server(fleet: Fleet) -> None:
    site = Site.up(fleet, lease=30)
    memory = resident(site.server)
    for ending in (b"", b"\n"):
        with site.call("web") as caller:
            caller.says(HELLO)
            assert caller.hears()["type"] == "state"
            caller.says(MEGABYTE + ending)
            assert caller.hears_the_end() in {"a line is longer than 65536 bytes", ""}
    site.server.says("refused web at 127.0.0.1: a line is longer than 65536 bytes")
    assert resident(site.server) - memory < 8 * 2**20
    site.time_to_tell()


@together
def test_a_line_of_a_megabyte_is_not_waited_for_by_a_host(fleet: Fleet) -> None:
    """Not even from the true server."""

    def answer(heard: bytes, turn: int) -> bytes:
        return MEGABYTE if b'"ack"' in heard else mains(turn, echo=nonce(heard), lease=30)

    false = FalseServer(fleet.authority.server, fleet.port, answer)
    nas = fleet.client("nas")
    try:
        nas.start().says("server found")
        memory = resident(nas)
        nas.says("lost: the server talks nonsense: a line is longer than 65536 bytes")
        assert resident(nas) - memory < 8 * 2**20
    finally:
        false.close()
    assert nas.running
