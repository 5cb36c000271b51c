"""Several sensors of the same mains, and what they say together.

With `n` sensors and the quorum `q` (none given: all of them):

| the sensors                                                | together |
|------------------------------------------------------------|----------|
| at least `q` say off                                       | off      |
| fewer than `q` would say off, were every unknown one off   | on       |
| anything else                                              | unknown  |

So `q = 1` is *any*, `q = n` is *all*, and *unknown* counts as itself: it never helps to open an
outage, and never helps to end one.

Sensors that disagree are *on*, with a notice, and not *unknown*: when the mains are back some
witnesses take minutes to say so (a sentinel has to boot), and an unknown would let every countdown
run on meanwhile. The price is that one sensor that is stuck at on hides an outage from the others;
that is what a quorum below `n` is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from powmonman.core.power import Reading, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Named = tuple[str, Reading]


def agreed(readings: Sequence[Named], quorum: int | None = None) -> Reading:
    """Return what the sensors, each with its name, say together; never raises.

    A quorum of more than there are counts as all of them. Charge, runtime and voltage are those of
    the first sensor that knows; low battery counts only from a sensor that itself says off, and
    only while they say so together.
    """
    if not readings:
        return unknown("no sensor was asked; name one in the configuration")
    needed = len(readings) if quorum is None else min(max(1, quorum), len(readings))
    off = [(name, reading) for name, reading in readings if reading.mains is False]
    silent = [(name, reading) for name, reading in readings if reading.mains is None]
    mains: bool | None = None
    if len(off) >= needed:
        mains, reason = False, _notices(readings)
    elif len(off) + len(silent) < needed:
        mains, reason = True, _joined([_disagreement(readings), _notices(readings)])
    else:
        reason = _joined([_short_of(off, needed), *(f"{name}: {r.reason}" for name, r in silent)])
    return Reading(
        mains=mains,
        charge=_first(reading.charge for _, reading in readings),
        runtime=_first(reading.runtime for _, reading in readings),
        low_battery=mains is False and any(reading.low_battery for _, reading in off),
        voltage=_first(reading.voltage for _, reading in readings),
        reason=reason,
    )


def _disagreement(readings: Sequence[Named]) -> str:
    """Return who says what, where some say off and others don't; else nothing."""
    said = [_say(readings, False, "off"), _say(readings, True, "on"), _say(readings, None, "")]
    return f"the sensors disagree: {_joined(said, ', ')}" if said[0] else ""


def _short_of(off: Sequence[Named], needed: int) -> str:
    return f"{_say(off, False, 'off')}, {needed} must" if off else ""


def _say(readings: Sequence[Named], mains: bool | None, what: str) -> str:
    names = [name for name, reading in readings if reading.mains is mains]
    if not names:
        return ""
    if mains is None:
        return f"{' and '.join(names)} unknown"
    return f"{' and '.join(names)} {'says' if len(names) == 1 else 'say'} {what}"


def _notices(readings: Sequence[Named]) -> str:
    return _joined([f"{name}: {reading.reason}" for name, reading in readings if reading.reason])


def _joined(parts: Sequence[str], by: str = " · ") -> str:
    return by.join(part for part in parts if part)


def _first(values: Iterable[float | None]) -> float | None:
    return next((value for value in values if value is not None), None)
