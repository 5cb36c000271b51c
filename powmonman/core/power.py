"""Readings, power states, and the debounce between them.

Rules:

1. *Unknown* is a state of its own: it is never folded into *on mains* or *on battery*.
2. A state is left at once on a reading of unknown, and entered only after an unbroken run of
   readings that agree: `confirm` seconds of *off*, `restore_confirm` seconds of *on*.
3. A run is evidence only while it is observed: a gap between two readings longer than `max_gap`
   starts the run anew, so that a server that stood still takes nothing for granted.
4. Before *on battery* is entered the sensor is asked for a closer look (`verify`); what that look
   says counts, and a look that says unknown wins.
5. A look that takes time is had in the last moments of `confirm`, so that it delays no outage. It
   is the last reading of its run, and the run must have lasted `confirm` in full with it. If it
   was over sooner than the sensor had said, it counts for nothing more, and another one is had.

| state      | reading                                | next                                   |
|------------|----------------------------------------|----------------------------------------|
| any        | unknown                                | unknown                                |
| not battery| off for `confirm` less `verify_takes`  | verify                                 |
| not battery| off for `confirm`, the last by verify  | on_battery                             |
| not mains  | on for `restore_confirm`               | on_mains                               |
| otherwise  | on / off                               | unchanged                              |
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum


class PowerState(StrEnum):
    """The debounced truth about one UPS."""

    ON_MAINS = "on_mains"
    ON_BATTERY = "on_battery"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Reading:
    """One observation of a UPS.

    Attributes:
        mains: True on mains, False off, None unknown.
        charge: Percent 0-100, or None where the sensor does not know.
        runtime: Seconds left on battery as the sensor estimates it, or None.
        low_battery: The UPS says that its battery is nearly empty.
        voltage: Of the battery, in volts, or None.
        reason: Why the reading is unknown, or what else the operator should know.
    """

    mains: bool | None
    charge: float | None = None
    runtime: float | None = None
    low_battery: bool = False
    voltage: float | None = None
    reason: str = ""


def unknown(reason: str) -> Reading:
    """Return the reading of a sensor that could not tell, and why."""
    return Reading(mains=None, reason=reason)


@dataclass(frozen=True)
class Debounce:
    """The debounced state of one sensor; `observe` returns the next one.

    Attributes:
        confirm: Seconds of unbroken *off* before the mains count as lost.
        restore_confirm: Seconds of unbroken *on* before they count as returned.
        max_gap: Longest time between two readings of one run, in seconds.
        verify_takes: Seconds that the closer look takes, at the least.
    """

    confirm: float = 2.0
    restore_confirm: float = 5.0
    max_gap: float = 3.0
    verify_takes: float = 0.0
    state: PowerState = PowerState.UNKNOWN
    run_of: bool | None = None
    run_since: float = 0.0
    run_until: float = 0.0

    def observe(self, reading: Reading, now: float) -> Debounce:
        """Take one reading at `now` (monotonic seconds); `wants_verify` may hold afterwards."""
        if reading.mains is None:
            return replace(self, state=PowerState.UNKNOWN, run_of=None)
        continues = reading.mains == self.run_of and now - self.run_until <= self.max_gap
        since = self.run_since if continues else now
        after = replace(self, run_of=reading.mains, run_since=since, run_until=now)
        if reading.mains and now - since >= self.restore_confirm:
            return replace(after, state=PowerState.ON_MAINS)
        return after

    @property
    def settles_at(self) -> float:
        """When a look is due that may change the state for the run in progress; else infinity."""
        if self.run_of is None:
            return math.inf
        state = PowerState.ON_MAINS if self.run_of else PowerState.ON_BATTERY
        if self.state is state:
            return math.inf
        if self.run_of:
            return self.run_since + self.restore_confirm
        return self._verify_at if self.run_until < self._verify_at else self.confirmed_at

    @property
    def wants_verify(self) -> bool:
        """Whether the sensor must be looked at closely before the mains count as lost."""
        return (
            self.run_of is False
            and self.state is not PowerState.ON_BATTERY
            and self.run_until >= self._verify_at
        )

    @property
    def confirmed_at(self) -> float:
        """When a run of *off* that goes on will have lasted `confirm`."""
        return self.run_since + self.confirm

    @property
    def _verify_at(self) -> float:
        return self.confirmed_at - self.verify_takes

    def verified(self, reading: Reading, now: float) -> Debounce:
        """Take the answer of the closer look that `wants_verify` asked for.

        It is one more reading, so it too must come within `max_gap`: the answer to a look from
        before the server stood still confirms nothing.
        """
        after = self.observe(reading, now)
        if after.run_of is False and now >= after.confirmed_at:
            return replace(after, state=PowerState.ON_BATTERY)
        return after
