"""A reading as a program writes it, in JSON.

    {"mains": "off", "charge": 80, "runtime": 1200, "low_battery": false, "voltage": 25.1,
     "reason": "replace the battery"}

Only `mains` must be there: "on", "off", "unknown", true, false or null. Nothing is believed on the
way in: a value of the wrong type or out of bounds spoils the whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from powmonman.core.power import Reading
from powmonman.core.records import RecordError, from_json, parse, printable

LONGEST_REASON = 200

_WORDS = {"on": True, "off": False, "unknown": None}
_BOUNDS = {"charge": 100.0, "runtime": math.inf, "voltage": 1000.0}
_KEYS = ("mains", "charge", "runtime", "low_battery", "voltage", "reason")


class AnswerError(ValueError):
    """What the program wrote is no reading."""


@dataclass(frozen=True)
class _Said:
    """What it may say, each key of which may be missing."""

    charge: float | None = None
    runtime: float | None = None
    low_battery: bool | None = None
    voltage: float | None = None
    reason: str | None = None


def understand(text: bytes) -> Reading:
    """Return the reading that a program wrote as a JSON object.

    A key that nobody knows is no error but a notice in the reading: a program may say more than is
    asked, and one that is misspelt must not go unnoticed.

    Raises:
        AnswerError: It is none; the message says why, on one line.
    """
    try:
        value = parse(text.decode("utf-8"))
        said = from_json(_Said, value)
    except UnicodeDecodeError:
        raise AnswerError("what it wrote is not UTF-8") from None
    except RecordError as error:
        raise AnswerError(printable(f"what it wrote is wrong: {error}")) from None
    for key, most in _BOUNDS.items():
        number = getattr(said, key)
        if number is not None and not 0 <= number <= most:
            bound = f"0 to {most:g}" if math.isfinite(most) else "0 or more"
            raise AnswerError(f"what it wrote is wrong: {key} is not {bound}")
    mains = _mains(value)
    return Reading(
        mains=mains,
        charge=said.charge,
        runtime=said.runtime,
        low_battery=bool(said.low_battery),
        voltage=said.voltage,
        reason=_reason(mains, said.reason or "", [key for key in value if key not in _KEYS]),
    )


def _mains(value: dict[str, Any]) -> bool | None:
    if "mains" not in value:
        raise AnswerError("what it wrote is wrong: mains is missing")
    said = value["mains"]
    if isinstance(said, str) and said.lower() in _WORDS:
        return _WORDS[said.lower()]
    if said is None or isinstance(said, bool):
        return said
    raise AnswerError("what it wrote is wrong: mains is none of on, off, unknown, true, false")


def _reason(mains: bool | None, said: str, strange: list[str]) -> str:
    said = said[:LONGEST_REASON]
    if mains is None:
        return said or "the program says unknown"
    if strange:
        notice = printable(f"unknown keys are ignored: {', '.join(strange)}")[:LONGEST_REASON]
        return f"{said} · {notice}" if said else notice
    return said
