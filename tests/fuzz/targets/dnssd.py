"""Answers of multicast DNS: a list of places, or nothing; bounded work however names point."""

from __future__ import annotations

import ipaddress
import struct
from typing import TYPE_CHECKING

from fuzzing import expect

from powmonman.net.dnssd import parse, query
from targets.discovery import _search

if TYPE_CHECKING:
    from collections.abc import Iterator

NUMBER = 0x1234
_HEAD = struct.pack("!2H", NUMBER, 0x8400)
WORDS = (
    *(
        _HEAD,
        b"\x0a_powmonman\x04_tcp\x05local\0",
        b"\xc0\x0c",
        b"\x00\x21\x00\x01",
        b"\x00\x0c\x00\x01",
    ),
    *(b"\x00\x10\x80\x01", b"\x00\x01\x80\x01", b"\x00\x1c\x80\x01", b"\x00\x00\x00\x78\x00\x04"),
)
LARGEST = 1500


def target(data: bytes) -> None:
    services = parse(data, NUMBER)
    expect(len(services) <= 64, "more services than an answer may hold")
    if data[:2] != _HEAD[:2]:
        expect(not services, "the answer to another question")
    for service in services:
        expect(0 <= service.port < 65536, "a port that is none")
        for address in service.addresses:
            ipaddress.ip_address(address)
    search = _search()
    search._query = NUMBER
    for place in search._services(data, "192.0.2.9"):
        ipaddress.ip_address(place.host)
        expect(0 < place.port < 65536, "a port that is none")


def hostile() -> Iterator[bytes]:
    """Every record's name is a chain of pointers as long as the packet has room for."""
    chain = b"\x01a\0" + b"".join(struct.pack("!H", 0xC000 | at) for at in range(12, 4000, 2))
    yield _HEAD + struct.pack("!4H", 0, 64, 0, 0) + chain
    name = b"".join(struct.pack("!H", 0xC00C + 2 * n) for n in range(2000))
    body = b"\0\0" + name
    record = struct.pack("!H", 0xC000 | (12 + len(body) - 2)) + struct.pack("!HHIH", 33, 1, 0, 0)
    yield _HEAD + struct.pack("!4H", 0, 64, 0, 0) + body + record * 64
    label = b"\x3f" + b"x" * 63
    names = label * 128 + b"\0"
    yield _HEAD + struct.pack("!4H", 0, 64, 0, 0) + names + struct.pack("!HHIH", 12, 1, 0, 0) * 64
    longest = label * 126 + b"\0"
    far = struct.pack("!HHHIH4H", 0xC00C, 33, 1, 0, 8, 0, 0, 7444, 0xC00C)
    yield _HEAD + struct.pack("!4H", 0, 64, 0, 0) + longest + bytes(10) + far * 63
    yield query(NUMBER)
    yield _HEAD + b"\xff" * 9000
