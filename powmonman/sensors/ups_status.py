"""From what a UPS says of itself to a reading: the rules of the sensors `nut` and `apcupsd`.

The words are those of NUT's `ups.status`. Those not listed say nothing about the mains: TRIM,
BOOST, CHRG, DISCHRG, ECO, TEST, and whatever a driver may invent.

| words                        | mains   | low battery | note                                    |
|------------------------------|---------|-------------|-----------------------------------------|
| OL, with or without others   | on      | no          | RB: replace the battery                 |
| OB                           | off     | no          |                                         |
| OB LB                        | off     | yes         |                                         |
| OL LB                        | on      | ignored     | noted; a wrongful shutdown elsewhere    |
| OB FSD                       | off     | yes         | the UPS's own server is going down      |
| OL FSD                       | on      | ignored     | noted; the flag stays after an outage   |
| OB CAL                       | on      | ignored     | a calibration runs on the battery       |
| OB CAL, charge below floor   | off     | as for OB   | such a calibration may be an outage     |
| BYPASS, without OB           | on      | no          | the load is not protected               |
| OB BYPASS                    | off     | as for OB   | cheap drivers mistake voltages for it   |
| OL and OB                    | unknown | -           | a contradiction                         |
| NOCOMM, COMMLOST             | unknown | -           | what else is said is old                |
| none of OL, OB, BYPASS       | unknown | -           | OFF, OVER, ALARM, LB, FSD, CAL alone    |
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from powmonman.core.power import Reading, unknown

LONGEST_NOTE = 120

_LOST = frozenset({"NOCOMM", "COMMLOST"})
_NEARLY_EMPTY = frozenset({"LB", "FSD"})
_NOTES = {
    "RB": "replace the battery",
    "NOBATT": "no battery: the load is not protected",
    "BYPASS": "bypass: the load is not protected",
    "OVER": "overload",
    "OFF": "the UPS's output is off",
}


@dataclass(frozen=True)
class Report:
    """What a UPS says of itself.

    Attributes:
        words: Of its status, in NUT's spelling.
        charge: Percent 0-100, or None.
        runtime: Seconds left on battery, or None.
        voltage: Of the battery, in volts, or None.
        alarm: The text of its alarm, in its maker's words.
    """

    words: frozenset[str]
    charge: float | None = None
    runtime: float | None = None
    voltage: float | None = None
    alarm: str = ""


def number(text: str | None, maximum: float = math.inf) -> float | None:
    """Return the number that `text` begins with; None if it is none from 0 to `maximum`."""
    try:
        value = float((text or "").split()[0])
    except (ValueError, IndexError):
        return None
    return value if math.isfinite(value) and 0 <= value <= maximum else None


def reading(report: Report, floor: float, remedy: str) -> Reading:
    """Return what `report` means.

    Args:
        report: What the UPS says.
        floor: Charge in percent below which a calibration passes for an outage.
        remedy: What to do where it says nothing of use, for the end of the reason.
    """
    mains = _mains(report, floor)
    if mains is None:
        return unknown(f"{_puzzle(report)}; {remedy}")
    return Reading(
        mains=mains,
        charge=report.charge,
        runtime=report.runtime,
        low_battery=not mains and not report.words.isdisjoint(_NEARLY_EMPTY),
        voltage=report.voltage,
        reason=", ".join(_notes(report, mains=mains)),
    )


def _mains(report: Report, floor: float) -> bool | None:
    words = report.words
    if words & _LOST or {"OL", "OB"} <= words:
        return None
    if "OB" in words:
        spent = report.charge is not None and report.charge < floor
        return "CAL" in words and not spent
    return True if words & {"OL", "BYPASS"} else None


def _puzzle(report: Report) -> str:
    words = report.words
    said = plain(" ".join(sorted(words))) or "nothing"
    if words & _LOST:
        return "the UPS does not answer its driver"
    if {"OL", "OB"} <= words:
        return f"the UPS says both OL (on mains) and OB (on battery): {said}"
    return f"the UPS says neither OL (on mains) nor OB (on battery): {said}"


def _notes(report: Report, *, mains: bool) -> list[str]:
    words = report.words
    notes = [note for word, note in _NOTES.items() if word in words]
    if "CAL" in words:
        notes.append("calibration" if mains else "calibration with too little charge left")
    if "FSD" in words:
        who = "the UPS's own server shuts down (FSD)"
        notes.append(f"{who}: ignored on mains" if mains else who)
    if "LB" in words and mains:
        notes.append("low battery (LB): ignored on mains")
    if "ALARM" in words or report.alarm:
        notes.append(f"alarm: {plain(report.alarm)}" if report.alarm else "alarm")
    return notes


def plain(text: str) -> str:
    """Return foreign `text` on one line, without control characters, and not too long."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return line if len(line) <= LONGEST_NOTE else f"{line[:LONGEST_NOTE]}…"
