"""One-shot DNS-SD: ask for `_powmonman._tcp.local` by multicast DNS, read what comes back.

A query from a port other than 5353 is answered to that port (RFC 6762, section 6.7), so nothing
must be joined and Avahi may run beside. Answers are locators, trusted no more than announcements.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass, field

SERVICE = ("_powmonman", "_tcp", "local")
GROUP = ("224.0.0.251", 5353)
_A, _PTR, _TXT, _AAAA, _SRV = 1, 12, 16, 28, 33
_MAX_RECORDS = 64

Name = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Service:
    """One instance of the service.

    Attributes:
        port: Its TCP port.
        addresses: Its IP addresses as the answer gives them; may be empty.
        text: Its TXT record; the first of equal keys counts.
    """

    port: int
    addresses: tuple[str, ...] = ()
    text: dict[str, str] = field(default_factory=dict)


def query(identifier: int) -> bytes:
    """Return the datagram that asks for the service; `identifier` comes back in the answers."""
    name = b"".join(bytes([len(label)]) + label.encode() for label in SERVICE) + b"\0"
    return struct.pack("!6H", identifier, 0, 1, 0, 0, 0) + name + struct.pack("!2H", _PTR, 1)


def parse(packet: bytes, identifier: int) -> list[Service]:
    """Return the services in an answer to `query(identifier)`; none if it is garbage."""
    try:
        records = _records(packet, identifier)
        instances = [_name(packet, at)[0] for owner, kind, at, _ in records if kind == _PTR]
        return [
            _service(packet, records, owner, at)
            for owner, kind, at, _ in records
            if kind == _SRV and (owner in instances or owner[1:] == SERVICE)
        ]
    except (IndexError, ValueError, struct.error):
        return []


def _service(
    packet: bytes, records: list[tuple[Name, int, int, int]], owner: Name, at: int
) -> Service:
    (port,) = struct.unpack_from("!H", packet, at + 4)
    target, _ = _name(packet, at + 6)
    addresses: list[str] = []
    text: dict[str, str] = {}
    for name, kind, start, end in records:
        if kind == _A and name == target:
            addresses.append(socket.inet_ntop(socket.AF_INET, packet[start:end]))
        elif kind == _AAAA and name == target:
            addresses.append(socket.inet_ntop(socket.AF_INET6, packet[start:end]))
        elif kind == _TXT and name == owner:
            text = _text(packet[start:end])
    return Service(port, tuple(dict.fromkeys(addresses)), text)


def _text(data: bytes) -> dict[str, str]:
    text: dict[str, str] = {}
    while data:
        size = 1 + data[0]
        key, _, value = data[1:size].decode(errors="replace").partition("=")
        text.setdefault(key.lower(), value)
        data = data[size:]
    return text


def _records(packet: bytes, identifier: int) -> list[tuple[Name, int, int, int]]:
    """Return owner, type, start and end of the data of each record."""
    number, flags, questions, *counts = struct.unpack_from("!6H", packet)
    if number != identifier or not flags & 0x8000 or questions + sum(counts) > _MAX_RECORDS:
        return []
    at = 12
    for _ in range(questions):
        at = _name(packet, at)[1] + 4
    records = []
    for _ in range(sum(counts)):
        owner, at = _name(packet, at)
        kind, _class, _ttl, length = struct.unpack_from("!HHIH", packet, at)
        at += 10 + length
        if at > len(packet):
            raise ValueError
        records.append((owner, kind, at - length, at))
    return records


def _name(packet: bytes, at: int) -> tuple[Name, int]:
    """Return the lower-case labels of the name at `at`, and where it ends."""
    labels: list[str] = []
    end, earliest = 0, at
    while length := packet[at]:
        if length >= 0xC0:
            end = end or at + 2
            at = (length & 0x3F) << 8 | packet[at + 1]
            if at >= earliest:  # pointers go backwards only, or they might never end
                raise ValueError
            earliest = at
        elif length >= 0x40 or len(labels) > 127:
            raise ValueError
        else:
            labels.append(packet[at + 1 : at + 1 + length].decode(errors="replace").lower())
            at += 1 + length
    return tuple(labels), end or at + 1
