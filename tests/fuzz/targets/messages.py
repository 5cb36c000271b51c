"""A line to a message: `ProtocolError` or a message that says the same once it is written again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzzing import expect
from words import DEEP, JSON, MESSAGES

from powmonman.core.messages import (
    LONGEST_LINE,
    ProtocolError,
    Report,
    State,
    address,
    decode,
    encode,
    encode_for_all,
    encode_own,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = JSON + MESSAGES
LARGEST = 4096


def target(data: bytes) -> None:
    try:
        message = decode(data)
    except ProtocolError as error:
        expect(len(str(error)) < 10_000, "the reason is longer than anybody can read")
        return
    if isinstance(message, Report):
        return  # A program's own answer to itself: it is shown as it is.
    line = encode(message)
    expect(line.endswith(b"\n") and line.count(b"\n") == 1, "a message is not one line")
    expect(len(line) <= 32 * len(data) + 4096, "a message has grown out of proportion")
    expect(decode(line) == message, "written and read again it is another message")
    if isinstance(message, State):
        shared = address(
            encode_for_all(message), message.seq, message.echo, encode_own(message.own)
        )
        expect(decode(shared) == message, "a push says something else than its state")


def hostile() -> Iterator[bytes]:
    for depth in DEEP:
        for kind in (b"[", b'{"a":'):
            deep = kind * depth + b"1" + (b"]" if kind == b"[" else b"}") * depth
            yield b'{"type":"status","phase":"x","power":%b}' % deep
            yield b'{"type":%b}' % deep
            yield deep
    for digits in (4300, LONGEST_LINE - 100):
        yield b'{"type":"ping","nonce":%b}' % (b"9" * digits)
        yield b'{"type":"status","phase":"x","left":%b}' % (b"9" * digits)
    yield b'{"type":"status","phase":"%b"}' % (b"\\" * (LONGEST_LINE - 60))
    yield b'{"type":"diary","entries":[%b{}]}' % (b"{}," * 20_000)
    yield b'{"type":"hello","nonce":1,"macs":[%b""]}' % (b'"",' * 20_000)
    yield b"{" + b",".join(b'"%d":0' % n for n in range(7000)) + b"}"
    yield b" " * LONGEST_LINE
