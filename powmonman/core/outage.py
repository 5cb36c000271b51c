"""One UPS on the server: its power state, its outage, and its budget of battery.

Rules:

1. An outage begins when the mains count as lost and ends when they count as returned. Unknown in
   between ends nothing: the outage keeps its id and its age, and its battery goes on draining.
2. Time on battery is a budget (`spent`): one second a second while an outage is open, paid back at
   one second per `refill_ratio` seconds of good mains that were really observed, never above
   the `full_runtime` of the battery, never below zero. So a second outage doesn't start from zero.
   While the charge is known to be below `recharge_reserve`, nothing is paid back.
3. What was seen longer ago than `max_gap` is unknown, not news: a server that stood still must
   look before it speaks.
4. A restart of the server within one boot resumes an open outage; the state is unknown until the
   sensor has settled. Another boot starts a new outage, with what was spent. What nobody watched in
   between counts as battery, up to the whole of it: no smaller figure is safe whatever happened. If
   the mains were back meanwhile, it costs an early shutdown in the next outage, and a late waking,
   until it is paid back; never a shutdown on good mains.

`now` is CLOCK_BOOTTIME in seconds throughout: what decides never looks at the wall clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from powmonman.core.gauge import Gauge
from powmonman.core.messages import UpsNews
from powmonman.core.power import Debounce, PowerState, Reading, unknown
from powmonman.core.records import printable

LONGEST_REASON = 500
NEARLY_FULL = 80.0
UNSETTLED = "the sensor has not settled yet"
STALE = "the server stood still and has not looked again yet"


@dataclass(frozen=True)
class Outage:
    """An interval on battery: a random id, when it began, and with what charge (percent)."""

    id: str
    began: float
    charge: float | None = None


@dataclass(frozen=True)
class Record:
    """What the server keeps of a UPS across its own end."""

    spent: float = 0.0
    outage: str = ""
    began: float = 0.0
    stamp: float = 0.0
    charge: float | None = None


@dataclass(frozen=True)
class Supply:
    """A UPS as the server knows it; `observe` returns the next one.

    Attributes:
        runtime: Seconds the full battery lasts, as configured or assumed.
        measured: The same as the sensor says, where that may count: not with one configured.
        least_runtime: What `measured` counts for at the least: the time that hosts stay up.
        recharge_reserve: Charge in percent, below which nothing is paid back.
        gauge: What is believed of the battery.
        reading: The last reading, for its reason.
        at: When it was taken; None before the first.
    """

    debounce: Debounce = field(default_factory=Debounce)
    runtime: float = 1200.0
    measures: bool = False
    measured: float | None = None
    least_runtime: float = 600.0
    refill_ratio: float = 10.0
    recharge_reserve: float = 0.0
    spent: float = 0.0
    outage: Outage | None = None
    gauge: Gauge = field(default_factory=Gauge)
    reading: Reading = field(default_factory=lambda: unknown(UNSETTLED))
    at: float | None = None

    @property
    def state(self) -> PowerState:
        """The debounced state."""
        return self.debounce.state

    @property
    def full_runtime(self) -> float:
        """Seconds that the full battery lasts, as far as anybody knows; `spent` ends there."""
        return self.runtime if self.measured is None else max(self.measured, self.least_runtime)

    @property
    def repaying(self) -> bool:
        """Whether good mains pay back what was spent."""
        if self.state is not PowerState.ON_MAINS:
            return False
        return self.gauge.charge is None or self.gauge.charge >= self.recharge_reserve

    def observe(
        self, reading: Reading, now: float, new_id: str, *, between: bool = False
    ) -> Supply:
        """Take a reading; `new_id` names the outage if one begins.

        One that was taken `between` two polls is of the mains alone: as for `verified`.
        """
        gauge = self.gauge if between else self.gauge.take(reading)
        return self._with(self.debounce.observe(reading, now), gauge, reading, now, new_id)

    def verified(self, reading: Reading, now: float, new_id: str) -> Supply:
        """Take the closer look that `debounce.wants_verify` asked for.

        It looks at the mains alone: a second look at the battery in one poll confirms nothing.
        """
        return self._with(self.debounce.verified(reading, now), self.gauge, reading, now, new_id)

    def _with(
        self, debounce: Debounce, gauge: Gauge, reading: Reading, now: float, new_id: str
    ) -> Supply:
        outage, spent, charge = self.outage, self._spent_until(now), gauge.charge
        if debounce.state is PowerState.ON_MAINS:
            outage = None
        elif debounce.state is PowerState.ON_BATTERY and outage is None:
            outage = Outage(id=new_id, began=debounce.run_since, charge=charge)
            spent = min(self.full_runtime, spent + now - outage.began)
        elif outage is not None and outage.charge is None:
            outage = replace(outage, charge=charge)
        return replace(
            self,
            debounce=debounce,
            gauge=gauge,
            spent=spent,
            outage=outage,
            reading=reading,
            at=now,
            measured=self._measured(gauge, reading),
        )

    def _measured(self, gauge: Gauge, reading: Reading) -> float | None:
        """Take the estimate of a battery that is nearly full; on battery it is another one's."""
        charge, runtime = gauge.charge, gauge.runtime
        if not self.measures or not reading.mains or charge is None or runtime is None:
            return self.measured
        return self.measured if charge < NEARLY_FULL else runtime * 100 / charge

    def _spent_until(self, now: float) -> float:
        passed = 0.0 if self.at is None else max(0.0, now - self.at)
        if self.outage is not None:
            return min(self.full_runtime, self.spent + passed)
        if self.repaying:
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
            charge=self.gauge.charge,
            charge_at_start=self.outage.charge if self.outage else None,
            runtime=self.gauge.runtime,
            low_battery=self.gauge.low_battery,
            voltage=self.gauge.voltage,
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
        outage = self.outage
        return Record(self._spent_until(now), outage.id, outage.began, now, outage.charge)

    def resumed(self, record: Record, now: float, *, same_boot: bool) -> Supply:
        """Take up what an earlier process of this server kept."""
        spent = min(self.full_runtime, max(0.0, record.spent))
        charge = record.charge
        if charge is not None and not 0 <= charge <= 100:
            # A share of what no battery holds would be used up at once.
            charge = None
        if not (same_boot and record.outage and record.began <= record.stamp <= now):
            return replace(self, spent=spent)
        return replace(
            self,
            spent=spent,
            outage=Outage(record.outage, record.began, charge),
            at=record.stamp,
        )
