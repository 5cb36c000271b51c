"""A sign of life from real sockets on this host, and what is none."""

from __future__ import annotations

import asyncio
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powmonman.net.knock import ICMP, is_reply, knock, may_echo, request
from powmonman.net.link import target

if TYPE_CHECKING:
    from powmonman.net.link import Target

FAMILIES = [socket.AF_INET, socket.AF_INET6]
HERE = target("127.0.0.1")
TOKEN = bytes(range(16))


def ask(to: Target, way: int, within: float = 10) -> bool | None:
    async def bounded() -> bool | None:
        try:
            async with asyncio.timeout(within):
                return await knock(to, way)
        except TimeoutError:
            return None

    return asyncio.run(bounded())


def reply_to(packet: bytes, family: socket.AddressFamily) -> bytes:
    kind = 0 if family == socket.AF_INET else 129
    return struct.pack("!BBHH", kind, 0, 0xABCD, 7) + packet[6:]


@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_is_known_by_its_number_and_token(family: socket.AddressFamily) -> None:
    packet = request(family, 513, TOKEN)
    reply = reply_to(packet, family)
    assert is_reply(reply, family, 513, TOKEN)
    assert not is_reply(packet, family, 513, TOKEN)
    assert not is_reply(reply, family, 514, TOKEN)
    assert not is_reply(reply, family, 513, TOKEN[::-1])
    assert not is_reply(reply + b"x", family, 513, TOKEN)
    assert not is_reply(reply[:-1], family, 513, TOKEN)


@given(st.binary(max_size=64), st.sampled_from(FAMILIES))
def test_no_other_packet_is_taken_for_an_answer(
    packet: bytes, family: socket.AddressFamily
) -> None:
    assert not is_reply(packet, family, 513, TOKEN)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_icmp_is_answered_where_it_may_be_asked(address: str) -> None:
    to = target(address)
    if may_echo(to.family):
        assert ask(to, ICMP) is True
    else:
        with pytest.raises(PermissionError):
            ask(to, ICMP)


def test_a_connection_accepted_is_a_sign_of_life_and_is_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert ask(HERE, server.getsockname()[1]) is True
        server.settimeout(10)
        accepted, _ = server.accept()
        with accepted, pytest.raises(ConnectionResetError):
            accepted.recv(1)


def test_a_connection_refused_is_a_sign_of_life() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert ask(HERE, unused.getsockname()[1]) is True


def test_a_host_that_says_nothing_is_waited_for_as_long_as_wished() -> None:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as server,
        # Takes the only place in its queue: it drops what comes after.
        socket.create_connection(server.getsockname()),
    ):
        assert ask(HERE, server.getsockname()[1], within=0.2) is None


def test_where_nothing_can_be_sent_is_an_error() -> None:
    with pytest.raises(OSError, match=r"\w"):
        ask(target("255.255.255.255"), 80)


def test_asking_leaves_no_socket_open() -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = descriptors()
    test_a_connection_refused_is_a_sign_of_life()
    test_a_host_that_says_nothing_is_waited_for_as_long_as_wished()
    test_where_nothing_can_be_sent_is_an_error()
    assert descriptors() <= before
