"""When this host shuts down: the one file that decides it.

A client decides on what it *knows* and on how it came to know it.

Rules:

1. On mains, or on unknown or silence without a known outage, nothing is ever shut down.
2. Known on battery, the countdown goes on whatever happens to the server, the network or this
   process. Only a state that says *on mains* cancels it; unknown and silence never do.
3. Time on battery is a budget: `spent` grows by one second a second on battery, drains by one
   second per `refill_ratio` seconds of fresh good mains, and is never less than the server's.
   The deadline is where it reaches `after`, or the moment at which another trigger comes (`feeds`),
   whichever is first; during an outage it never moves later.
4. A commit also needs: `min_observe` seconds of battery that this client itself has seen, the last
   `confirm` of them unbroken, and news that are fresh, or silence for a whole lease.
5. Fresh is a state that answers a ping sent after this client last stood still. A stall ends the
   freshness; it restarts the silence clock, but only twice for short stalls in one outage, or
   repeated stalls would put the commit off for ever.
6. A boot or a resume from suspend forgets everything known about the power, and what may have
   waited in the socket since before it is not listened to. That this host has committed in this
   boot is not about the power, and stays.
7. After the commit nothing cancels, and there is one commit for one outage. A dry run's commit is
   none: a host that is armed in that outage counts on.
8. The operator's order commits at once, whatever the power: if it is fresh, if this host was there
   when it was given, and once.

| phase     | event / guard                                  | next      | commands        |
|-----------|------------------------------------------------|-----------|-----------------|
| idle      | on_battery                                     | counting  | Say, Warn       |
| idle      | unknown, silence                               | idle      | Say (once)      |
| counting  | on_mains                                       | idle      | Say, Warn       |
| counting  | unknown, silence                               | counting  | Say (once)      |
| counting  | a trigger comes                                | counting  | Say             |
| counting  | deadline, rule 4 holds                         | committed | Run, Say, Warn  |
| committed | in a dry run, on_mains                         | idle      | Say             |
| committed | in a dry run, and now it is none               | counting  | Say             |
| committed | on_mains for `REARM`, and this host still runs | idle      | Say             |
| any       | resumed from suspend                           | idle      | Say             |
| any       | the operator's order, rule 8 holds             | committed | Run, Say, Warn  |

`Now` carries both clocks: `running` (CLOCK_MONOTONIC, stands still in suspend) is what the client
has lived through, `boot` (CLOCK_BOOTTIME) what the battery has.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from powmonman.core.feeds import host_power, host_tripped, triggers_of
from powmonman.core.plan import (
    NEVER,
    Acknowledge,
    Ask,
    Command,
    Now,
    Phase,
    Plan,
    Rules,
    Run,
    Say,
    Warn,
)
from powmonman.core.power import PowerState

if TYPE_CHECKING:
    from powmonman.core.messages import Order, State, UpsNews

MILESTONES = (3600.0, 1800.0, 600.0, 300.0, 120.0, 60.0, 30.0, 10.0)
USERS_WARNED_AT = 60.0
SHORT_STALLS = 2
REARM = 600.0
REMIND = 3600.0
LONGEST_SLEEP = 10.0
LONGEST_LEASE = 300.0


Step = tuple[Plan, list[Command]]


def connected(plan: Plan, now: Now) -> Step:
    """Begin a conversation: the answer to this ping will be fresh."""
    plan, commands = _elapse(plan, now)
    plan, nonce = _ping(plan, now)
    return plan, [*commands, Ask(nonce)]


def disconnected(plan: Plan) -> Plan:
    """End a conversation: nothing sent in it can be answered any more."""
    return replace(plan, pings=(), vague=False)


def passed(plan: Plan, rules: Rules, now: Now, *, connected: bool) -> Step:
    """Let time pass; must be called at `plan.wake_at` at the latest."""
    plan, commands = _elapse(plan, now)
    if plan.phase is Phase.COUNTING and rules.after is not None:
        plan = replace(plan, after=min(plan.after, rules.after))
    return _decide(plan, commands, rules, now, may_ask=connected)


def heard(plan: Plan, state: State, rules: Rules, now: Now) -> Step:
    """Take a state that the server sent."""
    plan, commands = _elapse(plan, now)
    sent = dict(plan.pings).get(state.echo)
    plan, nonce = _ping(plan, now)
    commands.append(Acknowledge(state.seq, nonce))
    if plan.woken and sent is None:
        return _decide(plan, commands, rules, now, may_ask=False)
    plan = replace(
        plan,
        woken=False,
        lease=min(max(0.3, state.lease), LONGEST_LEASE),
        refill_ratio=max(1.0, state.policy.refill_ratio),
    )
    known = host_power(state.upses, rules)
    vague = known.state is PowerState.UNKNOWN
    new = known.reason != plan.reason
    if (vague and (new or not plan.vague)) or (known.reason and new):
        what = "power unknown" if vague else known.state.replace("_", " ")
        commands.append(Say(logging.WARNING, f"{what} · {known.reason}"))
    plan = replace(plan, vague=vague, reason=known.reason)
    triggers = triggers_of(rules, state.policy)
    if plan.phase is Phase.IDLE:
        plan = replace(plan, after=triggers.after)
    fresh = sent is not None and now.running - sent <= plan.lease
    if sent is not None and fresh and not vague:
        if plan.reminded != NEVER:
            commands.append(Say(logging.INFO, f"fresh news again · {known.state}"))
        plan = replace(
            plan, fresh_until=max(plan.fresh_until, sent + plan.lease), silent=0.0, reminded=NEVER
        )
    if known.state is PowerState.ON_MAINS:
        plan, more = _on_mains(plan, known, rules)
        commands += more
    elif known.state is PowerState.ON_BATTERY:
        plan, more = _on_battery(plan, known, rules, triggers.after)
        commands += more
        plan, more = _tripped(plan, rules, host_tripped(state.upses, rules, triggers))
        commands += more
    if fresh:
        plan, more = _ordered(plan, state.own.order, rules, now)
        commands += more
    return _decide(plan, commands, rules, now, may_ask=False)


def _ping(plan: Plan, now: Now) -> tuple[Plan, int]:
    """A few pings are kept: an answer older than a lease would not be fresh anyway."""
    nonce = plan.nonce + 1
    return replace(plan, nonce=nonce, pings=(*plan.pings[-7:], (nonce, now.running))), nonce


def _elapse(plan: Plan, now: Now) -> Step:
    """Account for the time since the last decision, before anything else is looked at."""
    if plan.last is None:
        return replace(plan, last=now, wake_at=now.running), []
    last = plan.last
    passed = max(0.0, now.running - last.running)
    boot = max(0.0, now.boot - last.boot)
    if boot - passed >= 1.0:
        asleep = f"asleep for {boot - passed:.0f} s: what was known about the power is forgotten"
        forgotten = Plan(
            nonce=plan.nonce,
            lease=plan.lease,
            last=now,
            wake_at=now.running,
            after=plan.after,
            woken=True,
        )
        if plan.phase is Phase.COMMITTED:
            forgotten = replace(
                forgotten, phase=plan.phase, outage=plan.outage, rehearsed=plan.rehearsed
            )
        return forgotten, [Say(logging.WARNING, asleep)]
    late = now.running - max(plan.wake_at, last.running)
    lived = passed
    if late > plan.lease / 5:
        lived = passed - late
        plan = _stalled(plan, late)
    if plan.power is PowerState.ON_BATTERY:
        plan = replace(
            plan,
            spent=min(max(plan.spent, 2 * plan.after), plan.spent + boot),
            observed=plan.observed + lived,
            unbroken=plan.unbroken + lived,
        )
    elif plan.power is PowerState.ON_MAINS and now.running <= plan.fresh_until:
        repaid = boot / plan.refill_ratio
        plan = replace(
            plan,
            spent=max(0.0, plan.spent - repaid),
            observed=max(0.0, plan.observed - repaid),
            good=plan.good + lived,
        )
    unfresh = max(0.0, now.running - max(plan.fresh_until, last.running))
    silent = plan.silent + min(lived, unfresh)
    return replace(plan, last=now, silent=silent), []


def _stalled(plan: Plan, late: float) -> Plan:
    plan = replace(plan, fresh_until=min(plan.fresh_until, 0.0), pings=(), good=0.0)
    if late >= plan.lease:
        return replace(plan, silent=0.0)
    if plan.short_stalls < SHORT_STALLS:
        return replace(plan, silent=0.0, short_stalls=plan.short_stalls + 1)
    return plan


def _on_mains(plan: Plan, known: UpsNews, rules: Rules) -> Step:
    commands: list[Command] = []
    left = plan.left(rules)
    if plan.power is not PowerState.ON_MAINS:
        plan = replace(plan, good=0.0)
    if plan.phase is Phase.COUNTING:
        text = f"mains are back · outage {short(plan.outage)} · shutdown cancelled"
        commands.append(Say(logging.INFO, f"{text} with {left:.0f} s left"))
        commands.append(_warn(rules, "The mains are back. This host stays up."))
    elif plan.phase is Phase.IDLE and plan.power is PowerState.UNKNOWN:
        commands.append(Say(logging.INFO, "on mains"))
    if plan.phase is Phase.COMMITTED:
        plan, more = _rearmed(plan)
        commands += more
    else:
        plan = replace(plan, phase=Phase.IDLE, outage="", why="")
    return replace(
        plan,
        power=PowerState.ON_MAINS,
        due="",
        unbroken=0.0,
        short_stalls=0,
        holding=False,
        spent=max(plan.spent, known.spent),
        observed=min(plan.observed, rules.min_observe),
    ), commands


def _rearmed(plan: Plan) -> Step:
    if plan.rehearsed:
        return replace(plan, phase=Phase.IDLE, outage="", why=""), [
            Say(logging.INFO, f"mains are back · outage {short(plan.outage)} · dry run over")
        ]
    if plan.good < REARM:
        return plan, []
    return replace(plan, phase=Phase.IDLE, outage="", why=""), [
        Say(
            logging.ERROR,
            f"this host committed to a shutdown ({plan.why}) and still runs: "
            "its shutdown commands did not switch it off; it counts outages again",
        )
    ]


def _on_battery(plan: Plan, known: UpsNews, rules: Rules, after: float) -> Step:
    spent = max(plan.spent, known.spent)
    if plan.power is not PowerState.ON_BATTERY:
        plan = replace(plan, unbroken=0.0, good=0.0)
    plan = replace(plan, power=PowerState.ON_BATTERY, spent=spent)
    if plan.phase is Phase.COMMITTED:
        return plan, []
    if plan.phase is Phase.COUNTING:
        return replace(plan, after=min(plan.after, after), outage=known.outage), []
    plan = replace(
        plan,
        phase=Phase.COUNTING,
        outage=known.outage,
        min_observe=rules.min_observe,
        confirm=rules.confirm,
        holding=False,
    )
    left = plan.left(rules) or 0.0
    intent = "shutdown" if not rules.dry_run else "dry run of the shutdown"
    text = f"on battery · outage {short(known.outage)}, {known.age:.0f} s old"
    return replace(plan, said=left), [
        Say(logging.WARNING, f"{text} · {intent} in {left:.0f} s unless the mains return"),
        _warn(rules, f"The mains have failed. {_threat(left)}"),
    ]


def _tripped(plan: Plan, rules: Rules, trigger: str) -> Step:
    """Move the deadline to this moment; what is left then is what a commit needs at the least."""
    if not trigger or plan.due or plan.phase is not Phase.COUNTING:
        return plan, []
    plan = replace(plan, due=trigger, why=trigger)
    left = plan.left(rules) or 0.0
    text = f"{trigger} · outage {short(plan.outage)} · shutdown in {left:.0f} s"
    return plan, [Say(logging.WARNING, f"{text} unless the mains return")]


def _ordered(plan: Plan, order: Order | None, rules: Rules, now: Now) -> Step:
    if plan.since == NEVER:
        plan = replace(plan, since=now.boot)
    if order is None or order.id == plan.order or order.age >= now.boot - plan.since:
        return plan, []
    plan = replace(plan, order=order.id)
    if plan.phase is Phase.COMMITTED and not plan.rehearsed:
        return plan, []
    plan = replace(plan, ordered=True)
    return _commit(plan, rules, "ordered by the operator", "the operator says so")


def _decide(plan: Plan, commands: list[Command], rules: Rules, now: Now, *, may_ask: bool) -> Step:
    plan, more = _report_silence(plan, rules, now)
    commands += more
    plan, more = _arm(plan, rules)
    commands += more
    plan, more = _count(plan, rules)
    commands += more
    left = plan.left(rules)
    if left is not None and left <= 0.0:
        fresh = now.running <= plan.fresh_until
        if fresh or plan.silent >= plan.lease:
            source = "the server says so" if fresh else "the server is silent"
            reason = f"outage {short(plan.outage)}: {plan.spent:.0f} s of battery spent, {source}"
            if plan.due:
                reason = f"outage {short(plan.outage)}: {plan.due}, {source}"
            plan = replace(plan, ordered=False)
            plan, more = _commit(plan, rules, reason, "the mains have not returned")
            commands += more
        else:
            if not plan.holding:
                text = "deadline reached · waiting for fresh news, or for silence of a whole lease"
                commands.append(Say(logging.INFO, text))
                plan = replace(plan, holding=True)
            if may_ask:
                plan, nonce = _ping(plan, now)
                commands.append(Ask(nonce))
    return replace(plan, wake_at=_next(plan, rules, now)), commands


def _report_silence(plan: Plan, rules: Rules, now: Now) -> Step:
    if plan.silent < plan.lease or plan.phase is Phase.COMMITTED:
        return plan, []
    if plan.reminded != NEVER and now.running - plan.reminded < REMIND:
        return plan, []
    left = plan.left(rules)
    if left is not None:
        what = f"on battery: this host shuts down on its own, in {left:.0f} s"
    elif plan.power is PowerState.ON_MAINS:
        what = "last known on mains: nothing is shut down; this host is not protected"
    else:
        what = "the power was never known: nothing is shut down; this host is not protected"
    why = "the server does not know the power" if plan.vague else "no contact with the server"
    return replace(plan, reminded=now.running), [Say(logging.WARNING, f"{why} · {what}")]


def _arm(plan: Plan, rules: Rules) -> Step:
    if plan.phase is not Phase.COMMITTED or not plan.rehearsed or rules.dry_run:
        return plan, []
    if plan.power is not PowerState.ON_BATTERY:
        return replace(plan, phase=Phase.IDLE, outage="", why="", rehearsed=False), []
    plan = replace(plan, phase=Phase.COUNTING, rehearsed=False)
    text = f"no longer a dry run · outage {short(plan.outage)}"
    return plan, [Say(logging.WARNING, f"{text} · shutdown in {plan.left(rules) or 0.0:.0f} s")]


def _count(plan: Plan, rules: Rules) -> Step:
    left = plan.left(rules)
    if left is None:
        return plan, []
    reached = [mark for mark in MILESTONES if left <= mark < plan.said]
    if not reached:
        return plan, []
    commands: list[Command] = [
        Say(logging.WARNING, f"shutdown in {left:.0f} s · outage {short(plan.outage)}")
    ]
    if USERS_WARNED_AT in reached:
        commands.append(_warn(rules, _threat(left)))
    return replace(plan, said=reached[-1]), commands


def _commit(plan: Plan, rules: Rules, reason: str, told: str) -> Step:
    what = "dry run: would shut down now" if rules.dry_run else "shutting down now"
    return replace(plan, phase=Phase.COMMITTED, rehearsed=rules.dry_run, why=reason), [
        Say(logging.WARNING, f"{what} · {reason}"),
        _warn(rules, f"This host shuts down now: {told}."),
        Run(reason),
    ]


def _next(plan: Plan, rules: Rules, now: Now) -> float:
    left = plan.left(rules)
    if left is None:
        until_silent = plan.lease - plan.silent + max(0.0, plan.fresh_until - now.running)
        due = until_silent if plan.reminded == NEVER and until_silent > 0 else LONGEST_SLEEP
        return now.running + min(LONGEST_SLEEP, due)
    tick = min(LONGEST_SLEEP, plan.lease / 15)
    return now.running + (min(tick, left) if left > 0 else tick)


def _threat(left: float) -> str:
    return f"This host shuts down in {left:.0f} s unless the mains return."


def _warn(rules: Rules, text: str) -> Warn:
    return Warn(f"(dry run) {text}" if rules.dry_run else text)


def short(outage: str) -> str:
    """The part of an outage's id that people read."""
    return outage[:4] or "?"
