"""A drill on the server: what the UPSes are made to say, how far it has come, who counts as down.

Rules:

1. It begins only while every UPS is on mains and settled, and ends at once when one is not.
2. Its UPSes are copies of the real ones, read *mains off* in the drill's time, so that debounce,
   budget and charge run as they would. The real ones are never touched.
3. It ends at its bound, whatever anybody does, and is not kept over the server's end.
4. Down is, in the drill: committed, and then as long as this host's shutdowns take; or gone for
   `gone_after`. A dry run counts, so that the others go on.

| phase      | ends when                                                         | next       |
|------------|-------------------------------------------------------------------|------------|
| losing     | every UPS counts as on battery                                    | on_battery |
| on_battery | everybody who can has committed, or the bound is reached          | returning  |
| returning  | every UPS counts as on mains again                                | waking     |
| waking     | every check and wake test has been reported, or `WAKING` is over  | done       |
| any        | `abort`                                                           | aborted    |

`now` is CLOCK_BOOTTIME in seconds. The drill's time runs `scale` times as fast from `began` on.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from powmonman.core.messages import Drill, DrillStatus
from powmonman.core.power import PowerState, Reading

if TYPE_CHECKING:
    from collections.abc import Mapping

    from powmonman.core.outage import Supply

# Seconds of the drill between two readings of its sensors.
POLL = 0.25
# Real seconds that may lie between two looks; after more the server stood still.
LONGEST_GAP = 10.0
# Real seconds for checks and wake tests to be reported.
WAKING = 90.0
# Real seconds that a host whose connection has ended has to come back.
BACK_WITHIN = 10.0
ASSUMED_SHUTDOWN = 60.0


class Phase(StrEnum):
    """How far a drill has come."""

    LOSING = "losing"
    ON_BATTERY = "on_battery"
    RETURNING = "returning"
    WAKING = "waking"
    DONE = "done"
    ABORTED = "aborted"


OVER = (Phase.DONE, Phase.ABORTED)


@dataclass(frozen=True)
class Part:
    """One host in the drill. Times are seconds of the drill since the loss, if not said otherwise.

    Attributes:
        connected: It was connected when the drill began.
        known: It has been connected at some time.
        takes: How long its shutdowns take, as measured; None: never yet.
        wait_for: The hosts that must be down before it commits.
        battery: When its battery would be empty; None: nobody can tell.
        macs: It has an address to wake it at.
        wakes: How it is woken: `wake_on_lan`, `command`, `none`.
        told_after: Real milliseconds from the push of the loss to its acknowledgement.
        status: What it said last.
        committed: When it said that it would commit.
        waited: For whom it was seen waiting.
        marks: When it was `told`, began to be `waiting`, and had its commands `checked`.
        gone: When its connection ended; before the drill, 0 or less. None: it has not, or it has
            no address that could be asked.
    """

    name: str
    connected: bool = False
    known: bool = False
    dry_run: bool = False
    takes: float | None = None
    wait_for: tuple[str, ...] = ()
    battery: float | None = None
    macs: bool = False
    wakes: str = "wake_on_lan"
    told_after: float | None = None
    status: DrillStatus | None = None
    committed: float | None = None
    waited: tuple[str, ...] = ()
    marks: Mapping[str, float] = field(default_factory=dict)
    gone: float | None = None

    @property
    def refuses(self) -> str:
        """Why it takes no part, though it hears the drill."""
        status = self.status
        if status is None or status.phase != "idle" or self.committed is not None:
            return ""
        return status.reason

    @property
    def expected(self) -> bool:
        """Whether a commit is still to be expected of it."""
        out = self.gone is not None or bool(self.refuses)
        return self.connected and not out and self.committed is None

    @property
    def settled(self) -> bool:
        """Whether all that can be known of it is."""
        if not self.connected or self.gone is not None or self.refuses or self.status is None:
            return True
        heard = self.status.wake_heard or not self.macs or self.wakes != "wake_on_lan"
        return self.status.checked and heard


@dataclass(frozen=True)
class Stage:
    """A drill; `advance` returns it as it is later.

    Attributes:
        began: When, on the real clock.
        bound: Seconds of the drill after which the mains are back at the latest.
        settle: As `order.settle`, and so is `gone_after`.
        supplies: The copies of the UPSes, on the drill's clock.
        real: The UPSes as they were when it began.
        at: The drill's time of the last reading.
        returned: When the mains were back, since the loss.
        phase_at: The real time at which the phase began.
        reason: Why it was aborted.
    """

    id: str
    began: float
    bound: float
    supplies: Mapping[str, Supply]
    real: Mapping[str, Supply]
    parts: Mapping[str, Part]
    scale: float = 1.0
    settle: float = 5.0
    gone_after: float = 60.0
    phase: Phase = Phase.LOSING
    phase_at: float = 0.0
    at: float = 0.0
    returned: float | None = None
    reason: str = ""
    looked: float = 0.0

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.phase in OVER

    def time(self, now: float) -> float:
        """Return the drill's time; at `began` it is the real one."""
        return self.began + (now - self.began) * self.scale

    def since_loss(self, now: float) -> float:
        """Seconds of the drill since the mains were lost in it."""
        return max(0.0, self.time(now) - self.began)


def begin(
    id_: str,
    supplies: Mapping[str, Supply],
    parts: Mapping[str, Part],
    now: float,
    *,
    bound: float,
    scale: float = 1.0,
    settle: float = 5.0,
    gone_after: float = 60.0,
) -> Stage:
    """Return a drill that begins now, with copies of these UPSes."""
    return Stage(
        id_,
        now,
        bound,
        dict(supplies),
        dict(supplies),
        dict(parts),
        scale=scale,
        settle=settle,
        gone_after=gone_after,
        phase_at=now,
        at=now,
        looked=now,
    )


def advance(stage: Stage, now: float) -> Stage:
    """Return the drill as it is now."""
    if stage.over:
        return stage
    if now - stage.looked > LONGEST_GAP:
        return abort(stage, f"the server stood still for {now - stage.looked:.0f} s")
    stage = replace(stage, looked=now)
    until = stage.time(now)
    while stage.at + POLL <= until and not stage.over:
        stage = _moved(_read(stage, stage.at + POLL), now)
    return _moved(stage, now)


def abort(stage: Stage, reason: str) -> Stage:
    """Return the drill as ended now, and why."""
    return stage if stage.over else replace(stage, phase=Phase.ABORTED, reason=reason)


def told(stage: Stage) -> Drill | None:
    """Return what clients are told of it; None when it is over."""
    if stage.over:
        return None
    at = max(stage.at, stage.began)
    return Drill(
        stage.id, {name: supply.news(at) for name, supply in stage.supplies.items()}, stage.scale
    )


def said(stage: Stage, name: str, status: DrillStatus, now: float) -> Stage:
    """Take what a client says of this drill; of another it is not listened to."""
    part = stage.parts.get(name)
    if stage.over or part is None or status.id != stage.id:
        return stage
    committed = part.committed
    if committed is None and status.phase == "committed":
        committed = stage.since_loss(now)
    waited = part.waited
    if status.phase == "waiting":
        waited = tuple(dict.fromkeys((*waited, *waits(stage, name, now))))
    # Once committed, what it says when the mains are back no longer tells how it went.
    reason = part.status.reason if part.status and part.committed is not None else status.reason
    marks = {status.phase: stage.since_loss(now)} if status.phase == "waiting" else {}
    if status.checked:
        marks["checked"] = stage.since_loss(now)
    part = replace(
        part,
        # Who speaks is there again.
        gone=None,
        status=replace(status, reason=reason),
        committed=committed,
        waited=waited,
        marks=marks | dict(part.marks),
    )
    return replace(stage, parts={**stage.parts, name: part})


def understood(stage: Stage, name: str, took: float, now: float) -> Stage:
    """Note that a client has acknowledged the loss, `took` real seconds after the push."""
    part = stage.parts.get(name)
    if part is None or part.told_after is not None:
        return stage
    marks = {**part.marks, "told": stage.since_loss(now)}
    return changed(stage, name, told_after=1000 * took, marks=marks)


def changed(stage: Stage, name: str, **values: object) -> Stage:
    """Return the drill with something else known of one host."""
    part = stage.parts.get(name)
    if stage.over or part is None:
        return stage
    return replace(stage, parts={**stage.parts, name: replace(part, **values)})  # type: ignore[arg-type]


def waits(stage: Stage, name: str, now: float) -> tuple[str, ...]:
    """Return the hosts that `name` waits for in the drill and that are not down in it."""
    part = stage.parts.get(name)
    if part is None or stage.over:
        return ()
    return tuple(each for each in part.wait_for if not is_down(stage, each, now))


def is_down(stage: Stage, name: str, now: float) -> bool:
    """Whether a host would be down by now."""
    part = stage.parts.get(name)
    if part is None:
        return False
    if part.committed is None:
        return part.gone is not None and stage.since_loss(now) - part.gone >= stage.gone_after
    takes = ASSUMED_SHUTDOWN if part.takes is None else part.takes
    return stage.since_loss(now) - part.committed >= takes + stage.settle


def _moved(stage: Stage, now: float) -> Stage:
    """Take the steps of the table that are due."""
    states = {supply.state for supply in stage.supplies.values()}
    after = stage.phase
    if stage.phase is Phase.LOSING and states == {PowerState.ON_BATTERY}:
        after = Phase.ON_BATTERY
    elif stage.phase in {Phase.LOSING, Phase.ON_BATTERY}:
        bound_reached = stage.at - stage.began >= stage.bound
        nobody = not any(_may_commit(stage, part, now) for part in stage.parts.values())
        if bound_reached or (stage.phase is Phase.ON_BATTERY and nobody):
            after = Phase.RETURNING
    elif stage.phase is Phase.RETURNING and states == {PowerState.ON_MAINS}:
        after = Phase.WAKING
    elif stage.phase is Phase.WAKING:
        reported = all(part.settled for part in stage.parts.values())
        if reported or now - stage.phase_at >= WAKING:
            after = Phase.DONE
    if after is stage.phase:
        return stage
    if after is Phase.WAKING:
        stage = replace(stage, returned=stage.at - stage.began)
    return replace(stage, phase=after, phase_at=now)


def _may_commit(stage: Stage, part: Part, now: float) -> bool:
    """Whether it is worth while to wait for this host's commit."""
    if part.gone is None or part.committed is not None:
        return part.expected
    return (stage.since_loss(now) - part.gone) / stage.scale < BACK_WITHIN


def _read(stage: Stage, at: float) -> Stage:
    mains = stage.phase in {Phase.RETURNING, Phase.WAKING}
    supplies = {
        name: _next(supply, stage.real[name], at, stage, mains=mains)
        for name, supply in stage.supplies.items()
    }
    return replace(stage, supplies=supplies, at=at)


def _next(supply: Supply, real: Supply, at: float, stage: Stage, *, mains: bool) -> Supply:
    reading = _reading(supply, real, at - stage.began, mains=mains)
    supply = supply.observe(reading, at, stage.id)
    return supply.verified(reading, at, stage.id) if supply.debounce.wants_verify else supply


def _reading(supply: Supply, real: Supply, passed: float, *, mains: bool) -> Reading:
    """Return what a sensor would say: the battery empties evenly, as `forecast` assumes."""
    gauge = real.gauge
    if mains:
        return Reading(True, supply.gauge.charge, gauge.runtime, voltage=gauge.voltage)
    runtime = gauge.runtime
    if runtime is None and gauge.charge is not None:
        runtime = real.full_runtime * gauge.charge / 100
    share = max(0.0, 1 - passed / runtime) if runtime else 0.0
    return Reading(
        mains=False,
        charge=None if gauge.charge is None else gauge.charge * share,
        runtime=None if gauge.runtime is None else max(0.0, gauge.runtime - passed),
        voltage=gauge.voltage,
    )
