"""What the time does to a plan: budgets fill and drain, news grow old, a sleep forgets.

A host that slept, or a client that stood still, is found out here: by the clocks, which are the
only witnesses of it.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from powmonman.core import lost_contact
from powmonman.core.plan import Alone, Command, Now, Phase, Plan, Say
from powmonman.core.power import PowerState

SHORT_STALLS = 2


def elapse(plan: Plan, now: Now) -> tuple[Plan, list[Command]]:
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
            alone=Alone(ran=plan.alone.ran),
        )
        if plan.phase is Phase.COMMITTED:
            forgotten = replace(
                forgotten, phase=plan.phase, outage=plan.outage, rehearsed=plan.rehearsed
            )
        return forgotten, [Say(logging.WARNING, asleep)]
    late = now.running - max(plan.wake_at, last.running)
    lived = passed
    commands: list[Command] = []
    if late > plan.lease / 5:
        lived = passed - late
        plan = _stalled(plan, late)
        plan, commands = lost_contact.interrupted(plan, f"this client stood still for {late:.0f} s")
    if plan.phase is Phase.WAITING:
        plan = replace(plan, waited=plan.waited + boot)
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
        if plan.phase is not Phase.WAITING:
            plan = replace(plan, waited=max(0.0, plan.waited - repaid))
    unfresh = max(0.0, now.running - max(plan.fresh_until, last.running))
    silent = plan.silent + min(lived, unfresh)
    return replace(plan, last=now, silent=silent), commands


def _stalled(plan: Plan, late: float) -> Plan:
    plan = replace(plan, fresh_until=min(plan.fresh_until, 0.0), pings=(), good=0.0)
    if late >= plan.lease:
        return replace(plan, silent=0.0)
    if plan.short_stalls < SHORT_STALLS:
        return replace(plan, silent=0.0, short_stalls=plan.short_stalls + 1)
    return plan
