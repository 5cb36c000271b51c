"""A drill on a client: an outage that every part takes for real except the last command.

Why a drill can't shut a host down:

1. It travels *beside* the truth. `State.upses` is what the UPSes really say, in a drill too;
   `State.drill` is what they are made to say. The plan that can run commands is given the former
   by `policy`, which reads nothing of the latter.
2. What hears the drill is a *second* plan. It lives here, is never written to disk, never becomes
   the first one, and goes through the very same functions of `policy`, with rules that say dry run.
3. What that plan wants done becomes an `Effect`, and none of those is a run: `Run` turns into
   `Check`, what would be said to users or to the server is dropped, and lines of the log say that
   they are the drill's.

Why a real outage wins at once: the first plan hears each state, and each second, before the drill
does and whatever the drill does; nothing of the drill is an input to it. The drill itself ends here

| when                                                             | because                      |
|------------------------------------------------------------------|------------------------------|
| a state names no drill, or another                               | the server has ended it      |
| the real power is not on mains, or this host is not idle         | a real outage wins           |
| no fresh news for a lease                                        | its server may be gone       |
| this host was asleep                                             | its clock stood still        |
| `LONGEST` has passed since it was first heard                    | no drill outlives its bound  |

and a drill that has ended here is not taken up again.

The drill's clock is the real one times `scale`, from the moment at which the drill was first heard:
countdown, lease and grace all run `scale` times as fast. It asks for no news of its own: what is
fresh to the first plan is fresh to the second.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from powmonman.core import policy
from powmonman.core.feeds import host_power
from powmonman.core.messages import DrillStatus, Own, State
from powmonman.core.plan import Now, Phase, Plan, Rules, Run, Say
from powmonman.core.power import PowerState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from powmonman.core.messages import Drill
    from powmonman.core.plan import Command

LONGEST = 4 * 3600.0
LONGEST_ID = 64
# Beyond this a heartbeat is further apart than the longest lease that `policy` believes.
LARGEST_SCALE = 1000.0


@dataclass(frozen=True)
class Check:
    """Check the commands that a real commit would run; run none of them."""

    reason: str


Effect = Say | Check


@dataclass(frozen=True)
class Rehearsal:
    """The drill as this client takes part in it.

    Attributes:
        id: The drill; empty where there is none.
        began: When it was first heard, on the real clocks.
        plan: What this host would do; on the drill's clock.
        past: The last drill that ended here, and `why`.
    """

    id: str = ""
    scale: float = 1.0
    began: Now = field(default_factory=lambda: Now(0.0, 0.0))
    plan: Plan = field(default_factory=Plan)
    past: str = ""
    why: str = ""

    def now(self, real: Now) -> Now:
        """Return the drill's time at a moment of the real clocks; it knows no suspend."""
        at = self._scaled(real.running)
        return Now(running=at, boot=at)

    def _scaled(self, running: float) -> float:
        return self.began.running + (running - self.began.running) * self.scale

    @property
    def wake_at(self) -> float | None:
        """When `passed` must be called at the latest, on the real running clock; None: never."""
        if not self.id:
            return None
        return self.began.running + (self.plan.wake_at - self.began.running) / self.scale

    def heard_by(self, real: Plan) -> Plan:
        """Return the drill's plan with the pings that the `real` one waits for an answer to."""
        pings = tuple((nonce, self._scaled(sent)) for nonce, sent in real.pings)
        return replace(self.plan, pings=pings)

    def status(self, rules: Rules) -> DrillStatus | None:
        """Return what to tell the server, without what the check has found."""
        if self.id:
            left = self.plan.left(rules)
            return DrillStatus(self.id, self.plan.phase, left, self.plan.why)
        return DrillStatus(self.past, Phase.IDLE, None, self.why) if self.past else None


Outcome = tuple[Rehearsal, list[Effect]]


def heard(
    part: Rehearsal, state: State, rules: Rules, now: Now, *, before: Plan, after: Plan
) -> Outcome:
    """Take a state that the server sent.

    Args:
        part: The drill so far.
        state: The state.
        rules: What the operator wants of this host.
        now: The real time.
        before: The real plan before it heard the state.
        after: The real plan after that.
    """
    drill, effects = state.drill, list[Effect]()
    if part.id and (drill is None or drill.id != part.id):
        part, effects = _end(part, "the server has ended it")
    if drill is None or drill.id == part.past or not _usable(drill):
        return part, effects
    if reason := _hindrance(state, after, rules):
        ended, more = _end(replace(part, id=drill.id), reason)
        return ended, effects + more
    if not part.id:
        if not after.in_contact:
            return part, effects
        part = _begun(drill, after, now, part)
        effects.append(Say(logging.WARNING, f"drill {drill.id[:4]} begins · no command is run"))
    made_up = State(
        id=state.id,
        lease=state.lease * part.scale,
        policy=state.policy,
        upses=drill.upses,
        own=Own(waits=state.own.drill_waits),
        seq=state.seq,
        echo=state.echo,
    )
    plan, commands = policy.heard(part.heard_by(before), made_up, _rehearsed(rules), part.now(now))
    return replace(part, plan=plan), effects + _effects(commands)


def passed(part: Rehearsal, real: Plan, rules: Rules, now: Now) -> Outcome:
    """Let time pass; `real` is the real plan after it has done so."""
    if not part.id:
        return part, []
    lived, slept = now.running - part.began.running, now.boot - part.began.boot
    if real.power is not PowerState.ON_MAINS or real.phase is not Phase.IDLE:
        return _end(part, f"this host is {real.phase}, on what is really known")
    if not real.in_contact:
        return _end(part, "no contact with the server")
    if slept - lived >= 1.0:
        return _end(part, "this host was asleep")
    if lived >= LONGEST:
        return _end(part, f"it has lasted for {LONGEST:.0f} s")
    plan, commands = policy.passed(part.plan, _rehearsed(rules), part.now(now), connected=False)
    return replace(part, plan=plan), _effects(commands)


def _usable(drill: Drill) -> bool:
    return 0 < len(drill.id) <= LONGEST_ID and 1.0 <= drill.scale <= LARGEST_SCALE


def _hindrance(state: State, after: Plan, rules: Rules) -> str:
    """Return why this host takes no part; empty if it does."""
    known = host_power(state.upses, rules)
    if known.state is not PowerState.ON_MAINS:
        return f"the real power is {known.state.replace('_', ' ')}"
    if after.phase is not Phase.IDLE:
        return f"this host is really {after.phase}"
    return ""


def _begun(drill: Drill, real: Plan, now: Now, part: Rehearsal) -> Rehearsal:
    """Begin with what this host knows: in an outage it would begin with that too."""
    plan = Plan(
        power=PowerState.ON_MAINS,
        after=real.after,
        refill_ratio=real.refill_ratio,
        spent=real.spent,
        observed=real.observed,
        waited=real.waited,
        nonce=real.nonce,
        since=now.running,
    )
    return Rehearsal(drill.id, drill.scale, now, plan, part.past, part.why)


def _rehearsed(rules: Rules) -> Rules:
    return replace(rules, dry_run=True)


def _end(part: Rehearsal, why: str) -> Outcome:
    text = f"drill {part.id[:4]} is over here · {why}"
    return Rehearsal(past=part.id, why=why), [Say(logging.INFO, text)]


def _effects(commands: Iterable[Command]) -> list[Effect]:
    effects: list[Effect] = []
    for command in commands:
        if isinstance(command, Say):
            effects.append(Say(command.level, f"drill · {command.text}"))
        elif isinstance(command, Run):
            effects.append(Check(command.reason))
    return effects
