"""When this host shuts down: the one file that decides it.

A client decides on what it *knows* and on how it came to know it.

Rules:

1. On mains, or on unknown or silence without a known outage, nothing is ever shut down; but for
   what the operator has chosen for lost contact, on evidence of this host's own (`lost_contact`).
2. Known on battery, the countdown goes on whatever happens to the server, the network or this
   process. Only a state that says *on mains* cancels it; unknown and silence never do.
3. Time on battery is a budget: `spent` grows by one second a second on battery, drains by one
   second per `refill_ratio` seconds of fresh good mains, and is never less than the server's.
   The deadline is where it reaches `after`, or the moment at which another trigger comes (`feeds`),
   whichever is first; during an outage it never moves later.
4. A commit also needs: `min_observe` seconds of battery that this client itself has seen, the last
   `confirm` of them unbroken (never more than the UPS takes to believe in its mains again:
   flapping would starve the commit), and news that are fresh, or silence for a whole lease.
5. Fresh is a state that answers a ping sent after this client last stood still. A stall ends the
   freshness; it restarts the silence clock, but only twice for short stalls in one outage, or
   repeated stalls would put the commit off for ever.
6. A boot or a resume from suspend forgets everything known about the power, and what may have
   waited in the socket since before it is not listened to. That this host has committed in this
   boot is not about the power, and stays.
7. After the commit nothing cancels, and there is one commit for one outage. A dry run's commit is
   none: a host that is armed in that outage counts on.
8. The operator's order commits, whatever the power: if it is fresh, if this host was there when it
   was given, and once.
9. A host that waits for others (`waiting`) does so after its deadline, or after the order, for
   `wait_timeout` at most. Rules 2, 4 and 6 hold in the wait too: it ends with the mains, except an
   order's, and the commit after it needs what every commit needs.

| phase     | event / guard                                  | next      | commands        |
|-----------|------------------------------------------------|-----------|-----------------|
| idle      | on_battery                                     | counting  | Say, Warn       |
| idle      | unknown, silence                               | idle      | Say (once)      |
| counting  | on_mains                                       | idle      | Say, Warn       |
| counting  | unknown, silence                               | counting  | Say (once)      |
| counting  | a trigger comes                                | counting  | Say             |
| counting  | deadline, somebody of `wait_for` not down      | waiting   | Say, Warn       |
| counting  | deadline, rule 4 holds                         | committed | Run, Say, Warn  |
| waiting   | on_mains, unless ordered                       | idle      | Say, Warn       |
| waiting   | unknown, silence                               | waiting   | Say (once)      |
| waiting   | all are down or time is up, rule 4 or 8 holds  | committed | Run, Say, Warn  |
| committed | in a dry run, on_mains                         | idle      | Say             |
| committed | in a dry run, and now it is none               | counting  | Say             |
| committed | on_mains for `REARM`, and this host still runs | idle      | Say             |
| any       | resumed from suspend                           | idle      | Say             |
| any       | the operator's order, somebody not down        | waiting   | Say, Warn       |
| any       | the operator's order, all are down             | committed | Run, Say, Warn  |

What comes of lost contact without a known outage is a table of its own, in `lost_contact`. Such a
count ends before anything that the server says is looked at.

`Now` carries both clocks: `running` (CLOCK_MONOTONIC, stands still in suspend) is what the client
has lived through, `boot` (CLOCK_BOOTTIME) what the battery has. There may be several plans of one
host, each with its rules: a drill's decides as the true one does.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from powmonman.core import lost_contact, waiting
from powmonman.core.announcing import (
    ORDERED,
    short,
    tell_milestone,
    tell_silence,
    threat,
    warning,
)
from powmonman.core.elapsed import elapse
from powmonman.core.feeds import host_power, host_tripped, triggers_of
from powmonman.core.plan import (
    NEVER,
    Acknowledge,
    Alone,
    Ask,
    Command,
    Now,
    Phase,
    Plan,
    Rules,
    Run,
    Say,
)
from powmonman.core.power import PowerState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from powmonman.core.lost_contact import Fact
    from powmonman.core.messages import Order, State, UpsNews

REARM = 600.0
LONGEST_SLEEP = 10.0
LONGEST_LEASE = 300.0

Step = tuple[Plan, list[Command]]


def connected(plan: Plan, now: Now, rules: Rules | None = None) -> Step:
    """Begin a conversation: the answer to this ping will be fresh."""
    plan, commands = elapse(plan, now)
    plan, more = lost_contact.contact(plan, rules)
    plan, nonce = _ping(plan, now)
    return plan, [*commands, *more, Ask(nonce)]


def disconnected(plan: Plan) -> Plan:
    """End a conversation: nothing sent in it can be answered any more."""
    return replace(plan, pings=(), vague=False)


def passed(plan: Plan, rules: Rules, now: Now, *, connected: bool) -> Step:
    """Let time pass; must be called at `plan.wake_at` at the latest."""
    plan, commands = elapse(plan, now)
    if plan.phase is Phase.COUNTING and rules.after is not None:
        plan = replace(plan, after=min(plan.after, rules.after))
    plan = waiting.lowered(plan, rules)
    plan, more = lost_contact.passed(plan, rules, now)
    return _decide(plan, commands + more, rules, now, may_ask=connected)


def looked(
    plan: Plan, facts: Sequence[Fact], began: float, rules: Rules, now: Now, *, outage: str = ""
) -> Step:
    """Take what a look at the evidence has found; it `began` then, on the running clock.

    `outage` is the id that the outage gets that this host takes to be one, if it does so now.
    """
    plan, commands = elapse(plan, now)
    plan, more = lost_contact.looked(plan, facts, began, rules, now, outage=outage)
    return _decide(plan, commands + more, rules, now, may_ask=False)


def heard(plan: Plan, state: State, rules: Rules, now: Now) -> Step:
    """Take a state that the server sent."""
    plan, commands = elapse(plan, now)
    plan, more = lost_contact.contact(plan, rules)
    commands += more
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
    rules = replace(rules, confirm=min(rules.confirm, max(0.0, state.policy.restore_confirm)))
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
        plan, more = waiting.told(plan, state.own.waits, rules)
        commands += more
        plan, more = _ordered(plan, state.own.order, rules, now)
        commands += more
    return _decide(plan, commands, rules, now, may_ask=False)


def _ping(plan: Plan, now: Now) -> tuple[Plan, int]:
    """A few pings are kept: an answer older than a lease would not be fresh anyway."""
    nonce = plan.nonce + 1
    return replace(plan, nonce=nonce, pings=(*plan.pings[-7:], (nonce, now.running))), nonce


def _on_mains(plan: Plan, known: UpsNews, rules: Rules) -> Step:
    commands: list[Command] = []
    left = plan.left(rules)
    if plan.power is not PowerState.ON_MAINS:
        plan = replace(plan, good=0.0)
    waits_for_order = plan.phase is Phase.WAITING and plan.ordered
    if left is not None and not waits_for_order:
        text = f"mains are back · outage {short(plan.outage)} · shutdown cancelled"
        commands.append(Say(logging.INFO, f"{text} with {left:.0f} s left"))
        commands.append(warning(rules, "The mains are back. This host stays up."))
    elif plan.phase is Phase.IDLE and plan.power is PowerState.UNKNOWN:
        commands.append(Say(logging.INFO, "on mains"))
    if plan.phase is Phase.COMMITTED:
        plan, more = _rearmed(plan)
        commands += more
    elif not waits_for_order:
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
    if plan.phase in (Phase.COUNTING, Phase.WAITING):
        confirm = min(plan.confirm, rules.confirm)
        after = min(plan.after, after)
        return replace(plan, after=after, confirm=confirm, outage=known.outage), []
    plan = replace(
        waiting.forgotten(plan, rules),
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
        warning(rules, f"The mains have failed. {threat(plan, left)}"),
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
    if plan.phase is not Phase.WAITING:
        timeout = rules.wait_timeout
        if plan.phase is Phase.COUNTING:
            timeout = min(timeout, plan.wait_timeout)
        plan = replace(plan, waited=0.0, wait_timeout=timeout)
    plan = replace(plan, ordered=True)
    if plan.pending(rules):
        return waiting.begin(plan, rules, why=ORDERED)
    return _commit_as_ordered(plan, rules)


def _decide(plan: Plan, commands: list[Command], rules: Rules, now: Now, *, may_ask: bool) -> Step:
    plan, more = tell_silence(plan, rules, now)
    commands += more
    plan, more = _arm(plan, rules)
    commands += more
    plan, more = tell_milestone(plan, rules)
    commands += more
    plan, more = _due(plan, rules, now, may_ask=may_ask)
    return replace(plan, wake_at=_next(plan, rules, now)), commands + more


def _due(plan: Plan, rules: Rules, now: Now, *, may_ask: bool) -> Step:
    """Wait or commit, if it is time to."""
    if plan.alone.holds:
        plan, commands, reason = lost_contact.due(plan, rules, now)
        told = "there is no contact with the server, and all signs are of an outage"
        plan, more = _commit(plan, rules, reason, told) if reason else (plan, [])
        return plan, commands + more
    commands = []
    if plan.phase is Phase.COUNTING and plan.left(rules) == 0.0 and plan.pending(rules):
        why = plan.due or f"deadline reached, {plan.spent:.0f} s of battery spent"
        plan, commands = waiting.begin(replace(plan, ordered=False), rules, why=why)
    counted = plan.phase is Phase.COUNTING and plan.left(rules) == 0.0
    waited = plan.phase is Phase.WAITING and waiting.over(plan, rules)
    if not counted and not waited:
        return plan, commands
    if waited and plan.ordered:
        plan, more = _commit_as_ordered(plan, rules)
        return plan, commands + more
    fresh = now.running <= plan.fresh_until
    if fresh or plan.silent >= plan.lease:
        source = "the server says so" if fresh else "the server is silent"
        grounds = plan.due or f"{plan.spent:.0f} s of battery spent"
        reasons = (grounds, source, waiting.outcome(plan, rules))
        reason = f"outage {short(plan.outage)}: {', '.join(filter(None, reasons))}"
        plan = replace(plan, ordered=False)
        plan, more = _commit(plan, rules, reason, "the mains have not returned")
        return plan, commands + more
    if not plan.holding:
        text = "deadline reached · waiting for fresh news, or for silence of a whole lease"
        commands.append(Say(logging.INFO, text))
        plan = replace(plan, holding=True)
    if may_ask:
        plan, nonce = _ping(plan, now)
        commands.append(Ask(nonce))
    return plan, commands


def _arm(plan: Plan, rules: Rules) -> Step:
    if plan.phase is not Phase.COMMITTED or not plan.rehearsed or rules.dry_run:
        return plan, []
    if plan.power is not PowerState.ON_BATTERY:
        alone = Alone(ran=plan.alone.ran)
        return replace(plan, phase=Phase.IDLE, outage="", why="", rehearsed=False, alone=alone), []
    plan = replace(plan, phase=Phase.COUNTING, rehearsed=False, ordered=False)
    text = f"no longer a dry run · outage {short(plan.outage)}"
    return plan, [Say(logging.WARNING, f"{text} · shutdown in {plan.left(rules) or 0.0:.0f} s")]


def _commit_as_ordered(plan: Plan, rules: Rules) -> Step:
    reason = ", ".join(filter(None, (ORDERED, waiting.outcome(plan, rules))))
    return _commit(plan, rules, reason, "the operator says so")


def _commit(plan: Plan, rules: Rules, reason: str, told: str) -> Step:
    what = "dry run: would shut down now" if rules.dry_run else "shutting down now"
    # Mains that were good before an order say nothing about whether the commands have worked.
    plan = replace(plan, phase=Phase.COMMITTED, rehearsed=rules.dry_run, why=reason, good=0.0)
    return plan, [
        Say(logging.WARNING, f"{what} · {reason}"),
        warning(rules, f"This host shuts down now: {told}."),
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
