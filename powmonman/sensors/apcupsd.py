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

from datetime import datetime

from powmonman.net.peer import AnswerError
from powmonman.sensors.asked import AskedSensor
from powmonman.sensors.retry import SensorError
from powmonman.sensors.unreachable import Service
from powmonman.sensors.ups_status import Report, number

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


class ApcupsdSensor(AskedSensor):
    """Asks apcupsd for the status of its UPS."""

    service = Service(
        name="NIS of apcupsd",
        start="start apcupsd, with NETSERVER on and NISIP set to this address in apcupsd.conf",
        hangs_up="does /etc/hosts.allow there keep this host out?",
    )

    def place(self) -> str:
        """Return what is asked, and where."""
        return f"apcupsd: {self._peer.place}"

    def remedy(self) -> str:
        """Return how to look closer."""
        return f"see what it says: apcaccess -h {self._peer.place}"

    async def ask(self) -> Report:
        """Return what apcupsd says of its UPS."""
        status = parse(await self._peer.ask(_QUESTION, lambda so_far: so_far.endswith(_END)))
        old = age(status)
        if old > STALE_AFTER:
            raise SensorError(
                f"it has heard nothing from the UPS for {old:.0f} s; check the cable, restart "
                "apcupsd, and let POLLTIME in apcupsd.conf be 60 or less",
                answered=True,
            )
        return report(status)


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
