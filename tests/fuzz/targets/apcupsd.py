"""Answers of an apcupsd: as for NUT, with lengths in front of the lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzzing import cut

from powmonman.config.sources import Apcupsd
from powmonman.sensors.apcupsd import ApcupsdSensor
from targets.nut import check, read

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = (
    *(
        b"\x00\x00",
        b"\x00\x12STATUS   : ONLINE \n",
        b"\x00\x12STATUS   : ONBATT \n",
        b"STATFLAG : ",
    ),
    *(b"0x05000008", b"BCHARGE  : 100.0 Percent\n", b"TIMELEFT : ", b" Minutes", b"DATE     : "),
    *(b"END APC  : ", b"2024-02-29 23:59:60 +0000", b"0001-01-01 00:00:00 +2359", b"LOWBATT"),
    *(b"COMMLOST", b"SHUTTING DOWN", b"CAL", b"\xff\xff", b"1e999", b"nan"),
)
LARGEST = 4096
# A flag may say it too, in any digits.
GOOD, BAD = (b"ONLINE", b"OL", b"BYPASS", b"CAL", b"STATFLAG"), (b"ONBATT", b"OB", b"STATFLAG")


def target(data: bytes) -> None:
    whole, pieces = cut(data)
    for each in ([whole], pieces):
        check(read(lambda: ApcupsdSensor(Apcupsd()), each), whole, GOOD, BAD)


def hostile() -> Iterator[bytes]:
    def line(text: bytes) -> bytes:
        return len(text).to_bytes(2, "big") + text

    yield b"1" + line(b"A:" + b"x" * 65_000) + b"\0\0"
    yield b"1" + line(b"A:") * 16_000 + b"\0\0"
    yield b"1" + line(b"STATUS: ONLINE") + line(b"STATFLAG: " + b"f" * 60_000) + b"\0\0"
    yield b"1" + line(b"STATUS: ONLINE") + line(b"TIMELEFT: " + b"9" * 60_000) + b"\0\0"
    for date in (
        b"0001-01-01 00:00:00 +2359",
        b"9999-12-31 23:59:59 -2359",
        b"2024-01-01 00:00:00 Z",
    ):
        for now in (b"9999-12-31 23:59:59 -2359", b"0001-01-01 00:00:00 +2359"):
            yield (
                b"1"
                + line(b"STATUS: ONLINE")
                + line(b"DATE:" + date)
                + line(b"END APC:" + now)
                + b"\0\0"
            )
    yield b"0" + b"x" * 65_536
