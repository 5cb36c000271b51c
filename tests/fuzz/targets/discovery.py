"""Datagrams of discovery, at the server and at a client: an answer never outweighs its question."""

from __future__ import annotations

import socket
from functools import cache
from typing import TYPE_CHECKING, Any

from fuzzing import expect, instead
from words import JSON

from powmonman.net.discovery import ANSWERS_PER_SECOND, Announcer
from powmonman.net.locator import MAX_DATAGRAM, announced_port, asks_for
from powmonman.net.search import _Search

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = (
    *JSON,
    *(b'{"powmonman":1,', b'"kind":"server",', b'"kind":"probe",', b'"fleet":"f",', b'"port":7444'),
    *(b'"pad":"', b"1.0", b"65536"),
)
LARGEST = 600
FLEET = "f"
SENDER = ("192.0.2.9", 40000)


class Ear:
    """A socket with datagrams in it, and what was sent by it."""

    family = socket.AF_INET

    def __init__(self, *datagrams: bytes) -> None:
        self._datagrams = list(datagrams)
        self.sent: list[tuple[bytes, Any]] = []

    def recvmsg(self, size: int, _: int) -> tuple[bytes, list[Any], int, tuple[str, int]]:
        return self.recvfrom(size)[0], [], 0, SENDER

    def recvfrom(self, size: int) -> tuple[bytes, tuple[str, int]]:
        if not self._datagrams:
            raise BlockingIOError
        return self._datagrams.pop(0)[:size], SENDER

    def sendto(self, datagram: bytes, to: Any) -> None:
        self.sent.append((datagram, to))


def target(data: bytes) -> None:
    port = announced_port(data, FLEET)
    expect(port is None or 0 < port < 65536, "a port that is none")
    expect(len(data) <= MAX_DATAGRAM or port is None, "an announcement that is too long")
    ear, announcer = Ear(data, data), _announcer()
    announcer._allowance, announcer._refilled = ANSWERS_PER_SECOND, 0.0
    announcer.on_readable(ear)
    told = [(datagram, to) for datagram, to in ear.sent]
    expect(len(told) in ({0, 2} if asks_for(data, FLEET) else {0}), "it answers what is no probe")
    for datagram, to in told:
        expect(to == SENDER, "the answer goes elsewhere")
        expect(len(datagram) <= len(data), "an amplifier")
    search = _search()
    found = list(search._read(Ear(data, data)))
    expect(len(found) == (2 if port else 0), "another place than was announced")
    expect(all((each.host, each.port) == (SENDER[0], port) for each in found), "a forged place")


def hostile() -> Iterator[bytes]:
    yield b"[" * MAX_DATAGRAM
    yield b'{"a":' * 100
    yield b"1" * MAX_DATAGRAM
    yield b'{"powmonman":1,"kind":"server","fleet":"f","port":%b}' % (b"9" * 400)


def _no_socket(*_: object) -> None:
    raise OSError(1, "no")


@cache
def _announcer() -> Announcer:
    with instead({"powmonman.net.discovery.open_udp": _no_socket}):
        return Announcer(7444, FLEET, clock=lambda: 0.0)


@cache
def _search() -> _Search:
    with instead({"powmonman.net.search.open_udp": _no_socket}):
        return _Search(7444, FLEET, ())
