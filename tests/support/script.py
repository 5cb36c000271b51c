"""Whole outages as scripts: any readings, from any mix of sensors, and an oracle that watches.

A script is a list of segments. In each, every UPS has its mains or not, and every sensor tells the
truth, knows nothing, or lies. The server calls the host that this one waits for down, or not.
Lies about the mains stay below what the quorum bears: with fewer
than `quorum` sensors that say off wrongly no outage may begin, and with at most `n - quorum` that
say on wrongly none may be hidden. What they say of the battery may be anything at any time.

The product's own cores decide: `witness`, `outage`, `policy`. One step is a second.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from powmonman.core import policy, witness
from powmonman.core.messages import Own, Policy, State
from powmonman.core.outage import Supply
from powmonman.core.plan import Now, Phase, Plan, Rules, Run
from powmonman.core.power import Debounce, PowerState, Reading, unknown

LEASE, BEAT = 15.0, 5
CONFIRM, RESTORE = 2.0, 5.0
KNOWN_WITHIN = 32
TOLD = CONFIRM + BEAT + 4
LATE = TOLD + LEASE

OTHER = "other"
TRUTH, NOTHING, LIE = "truth", "nothing", "lie"


@dataclass(frozen=True)
class Ups:
    """One UPS of a script: how many sensors it has, and how many must say off."""

    sensors: int
    quorum: int


@dataclass(frozen=True)
class Battery:
    """What all sensors of a UPS say of its battery for one segment."""

    charge: float | None = None
    runtime: float | None = None
    low_battery: bool = False


@dataclass(frozen=True)
class Segment:
    """Some seconds in which nothing changes; `mains`, `says` and `battery` go by UPS."""

    seconds: int
    mains: tuple[bool, ...]
    says: tuple[tuple[str, ...], ...]
    battery: tuple[Battery, ...]
    linked: bool = True
    other_down: bool = False


class ViolationError(AssertionError):
    """A safety rule does not hold."""


@dataclass
class Play:
    """One host, its UPSes and their sensors, played second by second."""

    upses: tuple[Ups, ...]
    rules: Rules
    fleet: Policy
    stats: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.supplies = [
            Supply(debounce=Debounce(CONFIRM, RESTORE), runtime=2 * self.fleet.after)
            for _ in self.upses
        ]
        self.plan = Plan()
        self.time = 1000.0
        self.seq = 0
        self.linked = False
        self.committed_at: float | None = None
        self.first_out: float | None = None
        self.good_for = self.bad_for = 0
        self.waited = 0
        self.down_at = self.idle_until = 0.0
        self.out_until = [0.0 for _ in self.upses]

    def run(self, script: tuple[Segment, ...]) -> Play:
        """Play a script to its end; raises what is violated."""
        for segment in script:
            for _ in range(segment.seconds):
                self._second(segment)
        self.stats["scripts"] += 1
        return self

    def _second(self, segment: Segment) -> None:
        self.time += 1
        self.stats["seconds"] += 1
        readings = [self._together(index, segment) for index in range(len(self.upses))]
        before = [(s.state, s.outage, s.gauge.low_battery) for s in self.supplies]
        for index, reading in enumerate(readings):
            supply = self.supplies[index].observe(reading, self.time, f"o{self.time:.0f}")
            if supply.debounce.wants_verify:
                supply = supply.verified(reading, self.time, f"o{self.time:.0f}")
            self.supplies[index] = supply
        self._note_truth(segment, readings)
        changed = before != [(s.state, s.outage, s.gauge.low_battery) for s in self.supplies]
        if segment.other_down:
            self.down_at = self.time
        self._talk(segment, changed=changed)
        now = Now(self.time, self.time)
        self._take(policy.passed(self.plan, self.rules, now, connected=self.linked))
        self.waited += self.plan.phase is Phase.WAITING
        if self.plan.phase is Phase.IDLE:
            self.idle_until = self.time
        self._check_bound()

    def _together(self, index: int, segment: Segment) -> Reading:
        ups, mains, battery = self.upses[index], segment.mains[index], segment.battery[index]
        bearable = ups.sensors - ups.quorum if not mains else ups.quorum - 1
        said: list[tuple[str, Reading]] = []
        lies = 0
        for number, mode in enumerate(segment.says[index][: ups.sensors]):
            lies += mode == LIE
            true = mode == TRUTH or (mode == LIE and lies > bearable)
            if mode == NOTHING:
                reading = unknown("no idea")
            else:
                reading = Reading(
                    mains=mains if true else not mains,
                    charge=battery.charge,
                    runtime=battery.runtime,
                    low_battery=battery.low_battery,
                )
            said.append((f"s{number}", reading))
        return witness.agreed(said, ups.quorum)

    def _note_truth(self, segment: Segment, readings: list[Reading]) -> None:
        needed = self.rules.min_supplies
        out = sum(segment.mains) < needed
        # Nobody can know sooner that the mains of a UPS are back.
        for index, mains in enumerate(segment.mains):
            if not mains:
                self.out_until[index] = self.time + RESTORE + 1
        good = sum(at <= self.time for at in self.out_until) >= needed
        if self.first_out is None and not good:
            self.first_out = self.time
        known = all(reading.mains is not None for reading in readings) and segment.linked
        self.good_for = self.good_for + 1 if good and known else 0
        sensed = sum(reading.mains is False for reading in readings)
        seen = known and len(self.upses) - sensed < needed
        # Who has been told counts on, whatever its sensors and its link do then.
        self.bad_for = self.bad_for + 1 if out and (seen or self.bad_for > TOLD) else 0

    def _talk(self, segment: Segment, *, changed: bool) -> None:
        if not segment.linked:
            self.linked = False
            self.plan = policy.disconnected(self.plan)
            return
        if not self.linked:
            self.linked = True
            self._take(policy.connected(self.plan, Now(self.time, self.time)))
            changed = True
        if changed or self.time % BEAT == 0:
            self._say(() if segment.other_down else (OTHER,))

    def _say(self, waits: tuple[str, ...]) -> None:
        self.seq += 1
        news = {f"u{n}": supply.news(self.time) for n, supply in enumerate(self.supplies)}
        state = State(
            f"s{self.seq}",
            LEASE,
            self.fleet,
            news,
            own=Own(waits=waits),
            seq=self.seq,
            echo=self.plan.nonce,
        )
        before = self.plan.phase
        self._take(policy.heard(self.plan, state, self.rules, Now(self.time, self.time)))
        good = sum(one.state is PowerState.ON_MAINS for one in news.values())
        going = before in (Phase.COUNTING, Phase.WAITING)
        if good >= self.rules.min_supplies and going:
            self.stats["cancelled"] += 1
            if self.plan.phase is not Phase.IDLE:
                raise ViolationError(f"S5 at {self.time}: no cancel on mains: {self.plan}")

    def _take(self, step: policy.Step) -> None:
        self.plan, commands = step
        for command in commands:
            if isinstance(command, Run):
                self._commit()
        if self.plan.phase is Phase.IDLE:
            # A host that is still there after ten minutes of good mains counts outages again.
            self.committed_at = None

    def _commit(self) -> None:
        if self.committed_at is not None:
            raise ViolationError(f"S4 at {self.time}: committed twice")
        self.committed_at = self.time
        self.stats["commits"] += 1
        known_down = self.down_at >= self.idle_until - LEASE
        if self.rules.wait_for and not known_down:
            self.stats["after the longest wait"] += 1
            if self.waited < self.rules.wait_timeout - 1:
                raise ViolationError(f"O at {self.time}: went before {OTHER}: {self.plan}")
        if self.plan.due:
            self.stats["by a battery's trigger"] += 1
        if self.first_out is None:
            raise ViolationError(f"S1 at {self.time}: its power was never out: {self.plan.why}")
        if self.time - self.first_out < self.rules.min_observe:
            raise ViolationError(f"S1 at {self.time}: out for less than min_observe")
        if self.good_for >= KNOWN_WITHIN:
            raise ViolationError(f"S3 at {self.time}: good for {self.good_for} s")

    def _check_bound(self) -> None:
        after = self.fleet.after if self.rules.after is None else self.rules.after
        bound = max(after, self.rules.min_observe) + LATE
        if self.rules.wait_for:
            bound += self.rules.wait_timeout
        if self.committed_at is None and self.bad_for > bound:
            raise ViolationError(f"L1 at {self.time}: out for {self.bad_for} s: {self.plan}")
