"""Bytes to lines: however they are cut the same lines come out, and no buffer grows too large."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzzing import cut, expect

from powmonman.core.messages import LONGEST_LINE, Lines, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WORDS = (b"\n", b"\r\n", b"\0", b'{"type":"query"}\n')
LARGEST = 1024
SHORT = 40


def target(data: bytes) -> None:
    whole, pieces = cut(data)
    for longest in (SHORT, LONGEST_LINE):
        expected = _reference(whole, longest)
        expect(_fed([whole], longest) == expected, "whole: other lines than stand there")
        expect(_fed(pieces, longest) == expected, "in pieces: other lines than whole")
        if len(whole) <= 64:
            for at in range(len(whole)):
                halves = [whole[:at], whole[at:]]
                expect(_fed(halves, longest) == expected, f"cut at {at}: other lines than whole")


def hostile() -> Iterator[bytes]:
    for size in (LONGEST_LINE, LONGEST_LINE + 1):
        yield b"0" + b"x" * size
        yield b"0" + b"x" * size + b"\n"
        yield b"1" + b"\n" * size


def _fed(pieces: Iterable[bytes], longest: int) -> tuple[list[bytes], bool]:
    lines, found = Lines(longest), []
    try:
        for piece in pieces:
            found.extend(lines.feed(piece))
            expect(len(lines._rest) <= longest, "more is kept than the longest line")
    except ProtocolError:
        return found, True
    return found, False


def _reference(whole: bytes, longest: int) -> tuple[list[bytes], bool]:
    found: list[bytes] = []
    *lines, rest = whole.split(b"\n")
    for line in lines:
        if len(line) > longest:
            return found, True
        found.append(line)
    return found, len(rest) > longest
