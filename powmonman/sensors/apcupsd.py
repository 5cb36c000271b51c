"""A UPS that an apcupsd knows, read from its network information server (NIS), port 3551.

The protocol: two bytes of length, big-endian, and as many of text; an empty text ends the answer.
`status` is all that is asked; nothing can be set or commanded there. One connection is kept.

What is read is STATUS and STATFLAG (both: SHUTTING DOWN and COMMLOST hide the other words in
STATUS), BCHARGE in percent, TIMELEFT in minutes, BATTV in volts. DATE is when apcupsd last heard
from the UPS, END APC its present; apcupsd 3.14.14 went on saying ONLINE for 22 s after its serial
line had died, with DATE standing still, and would for ever where its driver hangs.

Why no library. aioapcaccess 1.0.0 (the only one kept) has no time limits, connects anew for every
question, ends an answer at the first two zero bytes without looking at the lengths, takes no letter
outside of UTF-8 (a UPS's name may hold one), and leaves the flags, units and ages to its caller:
what remains is the twenty lines of `parse`.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

from powmonman.net.peer import AnswerError, Peer
from powmonman.sensors.retry import Retry, SensorError
from powmonman.sensors.unreachable import Service, explain
from powmonman.sensors.ups_status import Report, number, reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from powmonman.config.sources import Apcupsd
    from powmonman.core.power import Reading

# Shorter than the patience of whoever polls, so that the reason is ours. apcupsd answers only
# between two questions to its UPS: 1.4 s were seen on a dying serial line.
TIME_LIMIT = 3.0
# Three times the POLLTIME that apcupsd has by default.
STALE_AFTER = 180.0

_QUESTION = b"\x00\x06status"
_END = b"\x00\x00"

_FLAGS = {
    0x001: "CAL",
    0x002: "TRIM",
    0x004: "BOOST",
    0x008: "OL",
    0x010: "OB",
    0x020: "OVER",
    0x040: "LB",
    0x080: "RB",
    0x100: "COMMLOST",
    0x200: "FSD",
}
_WORDS = {
    "ONLINE": "OL",
    "ONBATT": "OB",
    "LOWBATT": "LB",
    "OVERLOAD": "OVER",
    "REPLACEBATT": "RB",
    "SHUTTING": "FSD",
}
_SECONDS = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0}

_NIS = Service(
    name="NIS of apcupsd",
    start="start apcupsd, with NETSERVER on and NISIP set to this address in apcupsd.conf",
    hangs_up="does /etc/hosts.allow there keep this host out?",
)


class ApcupsdSensor:
    """Asks apcupsd for the status of its UPS."""

    def __init__(self, settings: Apcupsd, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._peer = Peer(settings.host, settings.port, time_limit=TIME_LIMIT)
        self._place = f"apcupsd: {self._peer.place}"
        self._retry = Retry(self._place, clock)

    patience = 5.0

    @property
    def poll(self) -> float:
        """Seconds between two calls of `read`."""
        return self._settings.poll

    def describe(self) -> str:
        """Return one line for the log."""
        return f"{self._place}, asked every {self._settings.poll:g} s; no password, no TLS"

    async def read(self) -> Reading:
        """Return what apcupsd says now."""
        return await self._retry.attempt(self._look)

    async def verify(self) -> Reading:
        """Return `read()`: each answer is apcupsd's own, and there is no wire to check."""
        return await self.read()

    def close(self) -> None:
        """Drop the connection."""
        self._peer.close()

    async def _look(self) -> Reading:
        try:
            status = parse(await self._peer.ask(_QUESTION, lambda so_far: so_far.endswith(_END)))
        except (AnswerError, OSError) as error:
            raise SensorError(explain(error, self._peer, _NIS)) from None
        old = age(status)
        if old > STALE_AFTER:
            raise SensorError(
                f"it has heard nothing from the UPS for {old:.0f} s; check the cable, restart "
                "apcupsd, and let POLLTIME in apcupsd.conf be 60 or less",
                answered=True,
            )
        look = f"see what it says: apcaccess -h {self._peer.place}"
        judged = reading(report(status), self._settings.calibration_floor, look)
        if judged.mains is None:
            raise SensorError(judged.reason, answered=True)
        return judged


def parse(answer: bytes) -> dict[str, str]:
    """Return what a whole answer holds, by its keys.

    Raises:
        AnswerError: It is none of apcupsd's.
    """
    foreign = AnswerError("gives an answer that is not apcupsd's")
    status: dict[str, str] = {}
    at = 0
    while length := int.from_bytes(answer[at : at + 2], "big"):
        text = answer[at + 2 : at + 2 + length]
        key, colon, value = text.decode("utf-8", "replace").partition(":")
        if len(text) < length or not colon:
            raise foreign
        status[key.strip()] = value.strip()
        at += 2 + length
    if answer[at:] != _END or "STATUS" not in status:
        raise foreign
    return status


def report(status: dict[str, str]) -> Report:
    """Return what the UPS says of itself, in NUT's words."""
    said = status["STATUS"].upper().split()
    try:
        flags = int(status.get("STATFLAG", "").split()[0], 16)
    except (ValueError, IndexError):
        flags = 0
    amount, _, unit = status.get("TIMELEFT", "").partition(" ")
    runtime = number(amount)
    factor = _SECONDS.get(unit.strip().lower())
    return Report(
        words=frozenset(
            [_WORDS.get(word, word) for word in said]
            + [word for flag, word in _FLAGS.items() if flags & flag]
        ),
        charge=number(status.get("BCHARGE"), 100),
        runtime=None if runtime is None or factor is None else runtime * factor,
        voltage=number(status.get("BATTV")),
    )


def age(status: dict[str, str]) -> float:
    """Return how long ago apcupsd heard from the UPS, in seconds by its own clock; 0 if unsaid."""
    try:
        heard, now = (
            datetime.strptime(status[key], "%Y-%m-%d %H:%M:%S %z") for key in ("DATE", "END APC")
        )
    except (KeyError, ValueError):
        return 0.0
    return (now - heard).total_seconds()
