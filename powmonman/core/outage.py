"""One UPS on the server: its power state, its outage, and its budget of battery.

Rules:

1. An outage begins when the mains count as lost and ends when they count as returned. Unknown in
   between ends nothing: the outage keeps its id and its age, and its battery goes on draining.
2. Time on battery is a budget (`spent`): one second a second while an outage is open, paid back at
   one second per `refill_ratio` seconds of good mains that were really observed, never above
   `runtime`, never below zero. So a second outage doesn't start from zero.
3. What was seen longer ago than `max_gap` is unknown, not news: a server that stood still must
   look before it speaks.
4. A restart of the server within one boot resumes an open outage; the state is unknown until the
   sensor has settled. Another boot starts a new outage, with what was spent.

`now` is CLOCK_BOOTTIME in seconds throughout: what decides never looks at the wall clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from powmonman.core.messages import UpsNews
from powmonman.core.power import Debounce, PowerState, Reading, unknown
from powmonman.core.records import printable

LONGEST_REASON = 500
UNSETTLED = "the sensor has not settled yet"
STALE = "the server stood still and has not looked again yet"


@dataclass(frozen=True)
class Outage:
    """An interval on battery: a random id, and when it began."""

    id: str
    began: float


@dataclass(frozen=True)
class Record:
    """What the server keeps of a UPS across its own end."""

    spent: float = 0.0
    outage: str = ""
    began: float = 0.0
    stamp: float = 0.0


@dataclass(frozen=True)
class Supply:
    """A UPS as the server knows it; `observe` returns the next one.

    Attributes:
        runtime: Seconds the full battery lasts; `spent` saturates there.
        reading: The last reading, for charge, runtime and reason.
        at: When it was taken; None before the first.
    """

    debounce: Debounce = field(default_factory=Debounce)
    runtime: float = 1200.0
    refill_ratio: float = 10.0
    spent: float = 0.0
    outage: Outage | None = None
    reading: Reading = field(default_factory=lambda: unknown(UNSETTLED))
    at: float | None = None

    @property
    def state(self) -> PowerState:
        """The debounced state."""
        return self.debounce.state

    def observe(self, reading: Reading, now: float, new_id: str) -> Supply:
        """Take a reading; `new_id` names the outage if one begins."""
        return self._with(self.debounce.observe(reading, now), reading, now, new_id)

    def verified(self, reading: Reading, now: float, new_id: str) -> Supply:
        """Take the closer look that `debounce.wants_verify` asked for."""
        return self._with(self.debounce.verified(reading, now), reading, now, new_id)

    def _with(self, debounce: Debounce, reading: Reading, now: float, new_id: str) -> Supply:
        spent = self._spent_until(now)
        outage = self.outage
        if debounce.state is PowerState.ON_MAINS:
            outage = None
        elif debounce.state is PowerState.ON_BATTERY and outage is None:
            outage = Outage(id=new_id, began=debounce.run_since)
            spent = min(self.runtime, spent + now - outage.began)
        return replace(self, debounce=debounce, spent=spent, outage=outage, reading=reading, at=now)

    def _spent_until(self, now: float) -> float:
        passed = 0.0 if self.at is None else max(0.0, now - self.at)
        if self.outage is not None:
            return min(self.runtime, self.spent + passed)
        if self.state is PowerState.ON_MAINS:
            observed = min(passed, self.debounce.max_gap)
            return max(0.0, self.spent - observed / self.refill_ratio)
        return self.spent

    def news(self, now: float) -> UpsNews:
        """Return what clients are told at `now`."""
        stale = self.at is not None and now - self.at > self.debounce.max_gap
        return UpsNews(
            state=PowerState.UNKNOWN if stale else self.state,
            outage=self.outage.id if self.outage else "",
            age=max(0.0, now - self.outage.began) if self.outage else 0.0,
            spent=self._spent_until(now),
            charge=self.reading.charge,
            runtime=self.reading.runtime,
            low_battery=self.reading.low_battery,
            # A sensor's words may be anything; what no client can read tells nobody anything.
            reason=printable(self._reason(stale=stale))[:LONGEST_REASON],
        )

    def _reason(self, *, stale: bool) -> str:
        if stale and self.state is not PowerState.UNKNOWN:
            return STALE
        if self.reading.reason or self.state is not PowerState.UNKNOWN:
            return self.reading.reason
        return UNSETTLED

    def record(self, now: float) -> Record:
        """Return what to keep of this UPS."""
        if self.outage is None:
            return Record(spent=self._spent_until(now), stamp=now)
        return Record(self._spent_until(now), self.outage.id, self.outage.began, now)

    def resumed(self, record: Record, now: float, *, same_boot: bool) -> Supply:
        """Take up what an earlier process of this server kept."""
        spent = min(self.runtime, max(0.0, record.spent))
        if not (same_boot and record.outage and record.began <= record.stamp <= now):
            return replace(self, spent=spent)
        return replace(
            self,
            spent=spent,
            outage=Outage(record.outage, record.began),
            at=record.stamp,
        )
