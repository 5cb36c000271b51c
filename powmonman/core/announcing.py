"""What people are told of a plan: how much time is left, that news are missing, whom it waits for.

Nothing here decides. Every line is told once, or at sensible moments only.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from powmonman.core.plan import NEVER, Command, Now, Phase, Plan, Rules, Say, Warn
from powmonman.core.power import PowerState

if TYPE_CHECKING:
    from collections.abc import Sequence

MILESTONES = (3600.0, 1800.0, 600.0, 300.0, 120.0, 60.0, 30.0, 10.0)
USERS_WARNED_AT = 60.0
REMIND = 3600.0
ORDERED = "ordered by the operator"
MOST_NAMES, LONGEST_NAMES = 8, 400

Told = tuple[Plan, list[Command]]


def tell_silence(plan: Plan, rules: Rules, now: Now) -> Told:
    """Say at once, and then hourly, that fresh news are missing and what comes of it."""
    if plan.silent < plan.lease or plan.phase is Phase.COMMITTED:
        return plan, []
    if plan.reminded != NEVER and now.running - plan.reminded < REMIND:
        return plan, []
    left = plan.left(rules)
    if left is not None:
        what = f"{_grounds(plan)}: this host shuts down on its own, in {limit(plan, left)}"
    elif plan.power is PowerState.ON_MAINS:
        what = f"last known on mains: {_without_contact(plan, rules)}"
    else:
        what = f"the power was never known: {_without_contact(plan, rules)}"
    why = "the server does not know the power" if plan.vague else "no contact with the server"
    return replace(plan, reminded=now.running), [Say(logging.WARNING, f"{why} · {what}")]


def tell_milestone(plan: Plan, rules: Rules) -> Told:
    """Say how much time is left, at the moments that matter."""
    left = plan.left(rules)
    if left is None:
        return plan, []
    reached = [mark for mark in MILESTONES if left <= mark < plan.said]
    if not reached:
        return plan, []
    text = f"shutdown in {limit(plan, left)}"
    if plan.phase is Phase.WAITING:
        text = waiting_text(plan, rules)
    commands: list[Command] = [Say(logging.WARNING, f"{text}{of_outage(plan)}")]
    if USERS_WARNED_AT in reached:
        commands.append(warning(rules, threat(plan, left)))
    return replace(plan, said=reached[-1]), commands


def waiting_text(plan: Plan, rules: Rules) -> str:
    """Say for whom this host waits, and for how long at most."""
    left = plan.left(rules) or 0.0
    return f"waiting for {names(plan.pending(rules))}, at most {left:.0f} s more"


def threat(plan: Plan, left: float) -> str:
    """Say to the users what comes, and what would prevent it."""
    return f"This host shuts down in {limit(plan, left)}{unless(plan)}."


def unless(plan: Plan) -> str:
    """Say what would keep this host up."""
    if plan.alone.holds:
        return " unless the server is heard again"
    return "" if plan.ordered and plan.phase is Phase.WAITING else " unless the mains return"


def warning(rules: Rules, text: str) -> Warn:
    """Return the warning; in a dry run it says so."""
    return Warn(f"(dry run) {text}" if rules.dry_run else text)


def names(hosts: Sequence[str]) -> str:
    """Name the hosts, but not more than anybody reads, or the plan on disk takes."""
    text = ", ".join(hosts[:MOST_NAMES])[:LONGEST_NAMES]
    return text if len(hosts) <= MOST_NAMES else f"{text} and {len(hosts) - MOST_NAMES} more"


def of_outage(plan: Plan) -> str:
    """Say of which outage a line is, where there is one."""
    return f" · outage {short(plan.outage)}" if plan.outage else ""


def short(outage: str) -> str:
    """The part of an outage's id that people read."""
    return outage[:4] or "?"


def _without_contact(plan: Plan, rules: Rules) -> str:
    chosen = rules.on_lost_contact
    if not chosen.chosen or plan.vague:
        return "nothing is shut down; this host is not protected"
    if plan.alone.ran:
        return "on_lost_contact has shut this host down once in this boot, and does not again"
    after, kinds = chosen.shutdown_after, ", ".join(chosen.only_if)
    return f"on_lost_contact: shutdown once all of this has held for {after:g} s: {kinds}"


def _grounds(plan: Plan) -> str:
    if plan.alone.holds:
        return "on_lost_contact"
    return ORDERED if plan.ordered else "on battery"


def limit(plan: Plan, left: float) -> str:
    """Say how long it is; that of a wait is only the longest that it may be."""
    return f"at most {left:.0f} s" if plan.phase is Phase.WAITING else f"{left:.0f} s"
