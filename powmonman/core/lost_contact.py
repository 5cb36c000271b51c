"""Contact lost while no outage is known: what this host may still do by its own eyes.

The switch may have lost power with the mains: "the server is gone" and "there is an outage" look
the same then.

Rules:

1. On mains, or nothing known yet, lost contact alone shuts nothing down: that is said at once, and
   again hourly. Only where the operator has chosen (`on_lost_contact`) does evidence count.
2. Evidence counts if *all* of it holds. What can't be told doesn't hold.
3. It must hold for `shutdown_after` without a break. A break is: a look that finds one of it not
   holding, or another mark than before (it broke in between); no look for `LONGEST_GAP`; anything
   that is heard of the server; a stall, a restart of the process, a suspend, a boot. After each
   the time begins anew.
4. Then this host waits for those of its `wait_for`. Nobody tells it that they are down, so that is
   `wait_timeout`. Rule 3 holds in the wait too.
5. It goes at a look that finds all of the evidence, never between two; and once in a boot.
6. A known outage is none of this: the countdown goes on, and there is no evidence to be looked for.

| phase             | event / guard                                    | next      | commands      |
|-------------------|--------------------------------------------------|-----------|---------------|
| idle              | silent for a lease, all evidence holds           | counting  | Say, Warn     |
| idle              | silent for a lease, some does not                | idle      | Say (if new)  |
| counting, waiting | a break                                          | idle      | Say, Warn     |
| counting          | a look, `shutdown_after` over, somebody not down | waiting   | Say, Warn     |
| counting          | a look, `shutdown_after` over                    | committed | Run, Say, Warn|
| waiting           | a look, `wait_timeout` over                      | committed | Run, Say, Warn|
| committed         | in a dry run, the server is heard                | idle      | Say           |
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from powmonman.core import waiting
from powmonman.core.announcing import threat, warning
from powmonman.core.plan import Alone, Command, Now, Phase, Plan, Rules, Say
from powmonman.core.power import PowerState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LONGEST_GAP = 20.0
LONGEST_EVIDENCE = 400

Step = tuple[Plan, list[Command]]


@dataclass(frozen=True)
class Fact:
    """One kind of evidence, as one look has found it.

    Attributes:
        kind: Its name in `only_if`.
        holds: Whether it does; None: that can't be told.
        text: What was found, in words.
        mark: Another mark than at the last look: it did not hold in between.
    """

    kind: str
    holds: bool | None
    text: str
    mark: str = ""


def asks(plan: Plan, rules: Rules) -> bool:
    """Whether evidence is to be looked for now."""
    lost = plan.silent >= plan.lease and not plan.vague
    free = plan.phase is Phase.IDLE or (
        plan.alone.holds and plan.phase in (Phase.COUNTING, Phase.WAITING)
    )
    known = plan.power is PowerState.ON_BATTERY
    return rules.on_lost_contact.chosen and lost and free and not known and not plan.alone.ran


def looked(
    plan: Plan, facts: Sequence[Fact], began: float, rules: Rules, now: Now, *, outage: str = ""
) -> Step:
    """Take what a look has found that `began` then (running clock) and has just ended."""
    if not asks(plan, rules):
        return plan, []
    by_kind = {fact.kind: fact for fact in facts}
    if now.running - began > LONGEST_GAP:
        by_kind = {}
    wanted = rules.on_lost_contact.only_if
    if failing := _failing(wanted, by_kind):
        return _missed(plan, failing, by_kind, rules)
    found = [by_kind[kind] for kind in wanted]
    marks = tuple(fact.mark for fact in found)
    evidence = "; ".join(fact.text for fact in found)[:LONGEST_EVIDENCE]
    commands: list[Command] = []
    if plan.alone.holds and marks != plan.alone.marks:
        plan, commands = broken(plan, "the evidence broke between two looks", rules)
    if plan.alone.holds:
        alone = replace(plan.alone, looked=now.running, evidence=evidence)
        why = evidence if plan.phase is Phase.COUNTING else plan.why
        return replace(plan, alone=alone, why=why), commands
    alone = Alone(
        since=now.running,
        looked=now.running,
        after=rules.on_lost_contact.shutdown_after or 0.0,
        marks=marks,
        evidence=evidence,
    )
    plan = waiting.forgotten(plan, rules)
    plan = replace(plan, alone=alone, phase=Phase.COUNTING, outage=outage, due="", why=evidence)
    left = plan.left(rules) or 0.0
    plan = replace(plan, said=left, holding=False)
    return plan, [
        *commands,
        Say(logging.WARNING, described(plan, rules)),
        warning(rules, f"No contact with the server, and maybe no mains. {threat(plan, left)}"),
    ]


def passed(plan: Plan, rules: Rules, now: Now) -> Step:
    """Let time pass: evidence grows old, and the operator may have chosen otherwise."""
    if not _goes(plan):
        return plan, []
    chosen = rules.on_lost_contact
    if not chosen.chosen:
        return broken(plan, "on_lost_contact is taken out of the configuration", rules)
    if now.running - plan.alone.looked > LONGEST_GAP:
        return broken(plan, f"no evidence for more than {LONGEST_GAP:.0f} s", rules)
    after = min(plan.alone.after, chosen.shutdown_after or plan.alone.after)
    return replace(plan, alone=replace(plan.alone, after=after)), []


def contact(plan: Plan, rules: Rules | None) -> Step:
    """Hear of the server, whatever it is."""
    if _goes(plan):
        plan, commands = broken(plan, "contact with the server is back", rules)
    elif plan.alone.holds and plan.phase is Phase.COMMITTED and plan.rehearsed:
        plan = replace(plan, phase=Phase.IDLE, outage="", rehearsed=False, why="")
        commands = [Say(logging.INFO, "contact with the server is back · dry run over")]
    else:
        commands = []
    return replace(plan, alone=Alone(ran=plan.alone.ran)), commands


def interrupted(plan: Plan, why: str) -> Step:
    """Begin anew: nobody has looked meanwhile."""
    return broken(plan, why, None) if _goes(plan) else (plan, [])


def broken(plan: Plan, why: str, rules: Rules | None) -> Step:
    """End the count, or the wait, that went by evidence."""
    left = plan.left(rules or Rules()) or 0.0
    text = f"on_lost_contact: shutdown cancelled with {left:.0f} s left · {why}"
    alone = Alone(ran=plan.alone.ran, evidence=why)
    plan = replace(plan, phase=Phase.IDLE, outage="", why="", alone=alone)
    commands: list[Command] = [Say(logging.WARNING, text)]
    if rules is not None:
        commands.append(warning(rules, "This host stays up."))
    return plan, commands


def due(plan: Plan, rules: Rules, now: Now) -> tuple[Plan, list[Command], str]:
    """Wait or commit, if it is time to; the text is the reason for a commit, or empty."""
    if not _goes(plan) or plan.alone.looked != now.running:
        return plan, [], ""
    commands: list[Command] = []
    over = plan.left(rules) == 0.0
    if plan.phase is Phase.COUNTING and over and plan.pending(rules):
        why = f"on_lost_contact: {plan.alone.evidence}"
        plan, commands = waiting.begin(replace(plan, ordered=False), rules, why=why)
    if not (waiting.over(plan, rules) if plan.phase is Phase.WAITING else over):
        return plan, commands, ""
    held = now.running - plan.alone.since
    reasons = (
        f"on_lost_contact: no contact for {plan.silent:.0f} s",
        f"for {held:.0f} s {plan.alone.evidence}",
        waiting.outcome(plan, rules),
    )
    plan = replace(plan, ordered=False, alone=replace(plan.alone, ran=not rules.dry_run))
    return plan, commands, ", ".join(filter(None, reasons))


def described(plan: Plan, rules: Rules) -> str:
    """Say in one line what comes of lost contact; empty if nothing does."""
    if _goes(plan):
        left = plan.left(rules) or 0.0
        what = "shutdown" if not rules.dry_run else "dry run of the shutdown"
        most = "at most " if plan.phase is Phase.WAITING else ""
        return (
            f"contact lost for {plan.silent:.0f} s · on_lost_contact: {what} in {most}{left:.0f} s "
            "unless the server is heard again or the evidence breaks · "
            f"evidence: {plan.alone.evidence}"
        )
    if asks(plan, rules) and plan.alone.evidence:
        return (
            f"contact lost for {plan.silent:.0f} s · on_lost_contact: no shutdown: "
            f"{plan.alone.evidence}"
        )
    return ""


def _goes(plan: Plan) -> bool:
    """Whether this host counts or waits by evidence."""
    return plan.alone.holds and plan.phase in (Phase.COUNTING, Phase.WAITING)


def _failing(wanted: Sequence[str], by_kind: Mapping[str, Fact]) -> list[str]:
    """Return what does not hold; what was not looked at, or can't be told, does not."""
    return [kind for kind in wanted if kind not in by_kind or by_kind[kind].holds is not True]


def _missed(plan: Plan, failing: list[str], by_kind: Mapping[str, Fact], rules: Rules) -> Step:
    """Take a look that found something that does not hold."""
    texts = [by_kind[kind].text if kind in by_kind else f"{kind}: not known" for kind in failing]
    why = "; ".join(texts)[:LONGEST_EVIDENCE]
    missing = tuple(failing)
    if _goes(plan):
        plan, commands = broken(plan, why, rules)
    else:
        new = missing != plan.alone.missing
        plan = replace(plan, alone=replace(plan.alone, evidence=why))
        commands = [Say(logging.INFO, described(plan, rules))] if new else []
    return replace(plan, alone=replace(plan.alone, missing=missing)), commands
