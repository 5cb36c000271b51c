"""Answers of a NUT server: a reading that stands in the answer, or unknown with a reason.

Bytes are cut as a network would cut them; the sensor and its connection are the real ones, on a
socket that is held in hand.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from fuzzing import cut, expect

from powmonman.config.sources import Nut
from powmonman.net.peer import AnswerError, Peer
from powmonman.sensors.nut import NutSensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from powmonman.core.power import Reading
    from powmonman.sensors.asked import AskedSensor

WORDS = (
    *(
        b"BEGIN LIST VAR ups\n",
        b"END LIST VAR ups\n",
        b"VAR ups ",
        b'ups.status "OL"\n',
        b'"OB LB"',
    ),
    *(b"ERR UNKNOWN-UPS\n", b"ERR DATA-STALE\n", b"BEGIN LIST UPS\n", b"END LIST UPS\n", b"UPS a"),
    *(b'battery.charge "', b'battery.runtime "', b'ups.alarm "', b"\\", b'\\"', b"1e999", b"nan"),
    *(b"CAL", b"FSD", b"BYPASS", b"NOCOMM", b"\r\n", b"\0", b"\xff"),
)
LARGEST = 4096


class Scripted(Peer):
    """A server that answers every question in the same way, and then hangs up."""

    def __init__(self, pieces: list[bytes]) -> None:
        super().__init__("192.0.2.3", 3493, time_limit=3.0)
        self.pieces = pieces

    async def ask(self, question: bytes, complete: Callable[[bytearray], bool]) -> bytes:
        answer = bytearray()
        for piece in self.pieces:
            answer += piece
            if len(answer) > self.longest:
                raise AnswerError("answers with more than 64 KiB")
            if complete(answer):
                return bytes(answer)
        raise AnswerError(f"closed the connection after {question!r}")


def read(make: Callable[[], AskedSensor], pieces: list[bytes]) -> Reading:
    """Return what a sensor makes of an answer, without a loop: nothing here waits."""
    sensor = make()
    sensor._peer = Scripted(pieces)
    waiting: Any = sensor.read()
    try:
        waiting.send(None)
    except StopIteration as end:
        found: Reading = end.value
        return found
    finally:
        waiting.close()
    raise AssertionError("the sensor waits")


def check(found: Reading, data: bytes, good: tuple[bytes, ...], bad: tuple[bytes, ...]) -> None:
    """See that a reading has a ground in the answer, and can be told to everybody."""
    said = data.upper()
    if found.mains is None:
        expect(found.reason, "unknown, and no reason")
    elif found.mains:
        expect(any(word in said for word in good), "on mains, and nothing says so")
    else:
        expect(any(word in said for word in bad), "on battery, and nothing says so")
    expect(found.reason.isprintable(), "a reason that is more than one line")
    expect(len(found.reason) <= 2000, "a reason that nobody reads to its end")
    expect(found.charge is None or 0 <= found.charge <= 100, "no such charge")
    expect(found.runtime is None or 0 <= found.runtime < float("inf"), "no such runtime")
    expect(found.voltage is None or 0 <= found.voltage < float("inf"), "no such voltage")
    expect(not (found.mains and found.low_battery), "low battery on mains")


def target(data: bytes) -> None:
    whole, pieces = cut(data)
    found = read(lambda: NutSensor(Nut()), [whole])
    check(found, whole, (b"OL", b"BYPASS", b"CAL"), (b"OB",))
    chunked = read(lambda: NutSensor(Nut()), pieces)
    # What is complete at a cut is an answer; what follows it then belongs to no question.
    at_cuts = set(accumulate(map(len, pieces))) - {len(whole)}
    if not any(whole[end - 1 : end] == b"\n" for end in at_cuts):
        expect(_without_words(chunked) == _without_words(found), "in pieces: another reading")
    check(chunked, whole, (b"OL", b"BYPASS", b"CAL"), (b"OB",))


def _without_words(found: Reading) -> Reading:
    return replace(found, reason="")


def hostile() -> Iterator[bytes]:
    begin, end = b"1BEGIN LIST VAR ups\n", b"END LIST VAR ups\n"
    room = 65_000
    yield begin + b'VAR ups x "' + b"\\" * room + b'"\n' + end
    yield begin + b'VAR ups x "' + b"\\a" * (room // 2) + b"\n" + end
    yield begin + b"VAR " + b"u" * room + b' "x"\n' + end
    yield begin + b'VAR u x ""\n' * (room // 11) + end
    yield begin + b'VAR ups ups.status "' + b"OL " * (room // 3) + b'"\n' + end
    yield begin + b'VAR ups battery.charge "' + b"9" * room + b'"\n' + end
    yield b"0" + b"x" * room
    yield b"0" + begin[1:] + b"x" * room
    yield b"1ERR " + b"X" * room + b"\n"
