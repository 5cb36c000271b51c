"""Order: a host that is due waits until the hosts of its `wait_for` are down.

Rules:

1. Who is down is what *fresh* news of this outage say; whoever they don't say it of is waited for.
   So a host that was never told waits for all.
2. The wait begins at the deadline, or with the operator's order, fresh news or not: waiting harms
   nobody. It is over when nobody is left to wait for, or when `wait_timeout` is used up.
3. `wait_timeout` is a budget like that of the battery: it drains slowly on good mains, or a
   flapping line would begin each wait anew; and no reload raises it during an outage.
4. That a wait is over decides nothing alone: `policy` commits then, on the same conditions as
   without a wait. News of the power end it as they end a countdown; an order's they don't.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from powmonman.core.announcing import ORDERED, names, of_outage, unless, waiting_text, warning
from powmonman.core.plan import Command, Phase, Plan, Rules, Say

if TYPE_CHECKING:
    from collections.abc import Sequence

Step = tuple[Plan, list[Command]]


def forgotten(plan: Plan, rules: Rules) -> Plan:
    """Begin an outage: nobody is known to be down."""
    return replace(plan, down=(), wait_timeout=rules.wait_timeout, ordered=False)


def lowered(plan: Plan, rules: Rules) -> Plan:
    """Take a shorter wait from the configuration; a longer one is for the next outage."""
    if plan.phase not in (Phase.COUNTING, Phase.WAITING):
        return plan
    return replace(plan, wait_timeout=min(plan.wait_timeout, rules.wait_timeout))


def told(plan: Plan, waits: Sequence[str] | None, rules: Rules) -> Step:
    """Take from fresh news which hosts are not down yet; None says nothing of any."""
    if waits is None:
        return plan, []
    down = tuple(host for host in rules.wait_for if host not in waits)
    if down == plan.down:
        return plan, []
    gone = [host for host in down if host not in plan.down]
    again = [host for host in rules.wait_for if host in plan.down and host not in down]
    plan = replace(plan, down=down)
    if plan.phase is not Phase.WAITING:
        return plan, []
    news = [_are(gone, "down")] if gone else []
    news += [_are(again, "up again")] if again else []
    plan = replace(plan, why=_why(plan, rules))
    if plan.pending(rules):
        news.append(waiting_text(plan, rules))
    return plan, [Say(logging.WARNING, f"{' · '.join(news)}{of_outage(plan)}")] if news else []


def begin(plan: Plan, rules: Rules, *, why: str) -> Step:
    """Wait from now on; `why` this host is due, in words."""
    plan = replace(plan, phase=Phase.WAITING, holding=False, rehearsed=False)
    left = plan.left(rules) or 0.0
    plan = replace(plan, said=left, why=_why(plan, rules))
    ending = unless(plan)
    text = f"This host shuts down when {_are(plan.pending(rules), 'down')}, in at most {left:.0f} s"
    return plan, [
        Say(logging.WARNING, f"{why} · {waiting_text(plan, rules)}{of_outage(plan)}"),
        warning(rules, f"{text}{',' if ending else ''}{ending}."),
    ]


def over(plan: Plan, rules: Rules) -> bool:
    """Whether there is nothing to wait for, or no time to."""
    return not plan.pending(rules) or (plan.phase is Phase.WAITING and plan.left(rules) == 0.0)


def outcome(plan: Plan, rules: Rules) -> str:
    """Say how the wait ended; empty for a host that waits for nobody."""
    if pending := plan.pending(rules):
        return f"waited {plan.waited:.0f} s for {names(pending)}"
    return _are(rules.wait_for, "down") if rules.wait_for else ""


def _why(plan: Plan, rules: Rules) -> str:
    cause = ORDERED if plan.ordered else plan.alone.evidence if plan.alone.holds else plan.due
    pending = plan.pending(rules)
    waits = f"waiting for {names(pending)}" if pending else ""
    return "; ".join(filter(None, (cause, waits)))


def _are(hosts: Sequence[str], what: str) -> str:
    return f"{names(hosts)} {'is' if len(hosts) == 1 else 'are'} {what}"
