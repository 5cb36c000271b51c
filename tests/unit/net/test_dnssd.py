"""Answers by multicast DNS: what Avahi sends, and what nobody should."""

from __future__ import annotations

import socket
import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from powmonman.net.dnssd import Service, parse, query

patient = settings(deadline=None)  # the machine may be busy
PTR, TXT, A, AAAA, SRV = 12, 16, 1, 28, 33
SERVICE = b"\x0a_powmonman\x04_tcp\x05local\x00"
TO_SERVICE = b"\xc0\x0c"  # the name of the question


def record(owner: bytes, kind: int, data: bytes) -> bytes:
    return owner + struct.pack("!HHIH", kind, 1, 10, len(data)) + data


def answer(*records: bytes, identifier: int = 7, flags: int = 0x8400) -> bytes:
    """Return an answer that repeats the question, as one to a legacy querier does."""
    header = struct.pack("!6H", identifier, flags, 1, len(records), 0, 0)
    return header + SERVICE + struct.pack("!2H", PTR, 1) + b"".join(records)


def instance(name: bytes = b"rack") -> bytes:
    return bytes([len(name)]) + name + TO_SERVICE


SRV_TO_PI = record(instance(), SRV, struct.pack("!3H", 0, 0, 7444) + b"\x02pi\x05local\x00")
FULL = answer(
    record(TO_SERVICE, PTR, instance()),
    SRV_TO_PI,
    record(instance(), TXT, b"\x0afleet=home\x07FLEET=x\x04flag"),
    record(b"\x02PI\x05local\x00", A, socket.inet_aton("192.0.2.7")),
    record(b"\x02pi\x05local\x00", AAAA, socket.inet_pton(socket.AF_INET6, "2001:db8::7")),
    record(b"\x05other\x05local\x00", A, socket.inet_aton("192.0.2.99")),
)


def test_the_question_is_for_the_service_type() -> None:
    assert answer()[12:] == query(7)[12:]
    assert struct.pack("!6H", 7, 0, 1, 0, 0, 0) == query(7)[:12]


def test_a_full_answer_gives_port_addresses_and_text() -> None:
    expected = Service(7444, ("192.0.2.7", "2001:db8::7"), {"fleet": "home", "flag": ""})
    assert [expected] == parse(FULL, 7)


def test_an_answer_without_addresses_still_gives_the_port() -> None:
    assert [Service(7444)] == parse(answer(SRV_TO_PI), 7)


def test_other_services_are_left_out() -> None:
    printer = b"\x04_ipp\x04_tcp\x05local\x00"
    printing = record(b"\x03lp0" + printer, SRV, struct.pack("!3H", 0, 0, 631) + b"\x00")
    assert parse(answer(printing), 7) == []


def test_an_answer_to_somebody_else_and_a_question_are_ignored() -> None:
    assert parse(FULL, 8) == []
    assert parse(query(7), 7) == []
    assert parse(answer(SRV_TO_PI, flags=0), 7) == []


def test_a_name_that_points_to_itself_ends() -> None:
    loop = struct.pack("!H", 0xC000 | len(answer()))
    assert parse(answer(record(loop, SRV, bytes(8))), 7) == []
    forward = struct.pack("!H", 0xC000 | (len(answer()) + 40))
    assert parse(answer(record(forward, SRV, bytes(8)), bytes(40)), 7) == []


def test_an_answer_cut_anywhere_is_no_answer() -> None:
    for length in range(len(FULL)):
        assert parse(FULL[:length], 7) == []


def test_more_records_than_any_answer_has_are_not_read() -> None:
    header = struct.pack("!6H", 7, 0x8400, 0, 65535, 65535, 65535)
    assert parse(header + SRV_TO_PI * 100, 7) == []


@patient
@given(st.binary(max_size=400))
def test_garbage_gives_nothing_and_raises_nothing(garbage: bytes) -> None:
    assert parse(garbage, 7) == []
    parse(answer()[:12] + garbage, 7)


@patient
@given(st.data())
def test_a_damaged_answer_raises_nothing(data: st.DataObject) -> None:
    damaged = bytearray(FULL)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    for service in parse(bytes(damaged), 7):
        assert 0 <= service.port <= 65535
