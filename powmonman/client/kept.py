"""The plan on disk: it survives a restart of the client, and no boot.

A plan is taken up only if it was written in this boot, and forgotten if it knew of an outage longer
ago than any battery lasts: a host that still runs then has had its mains back. Without this a
client that was stopped in one outage and started days later would act on it. The operator's order
that a host was waiting with is forgotten in the same way.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from powmonman.core.plan import Now, Phase, Plan, Rules
from powmonman.core.policy import LONGEST_LEASE
from powmonman.core.power import PowerState
from powmonman.core.records import RecordError, from_json, to_json
from powmonman.service.clock import boot_id
from powmonman.service.files import read_json, write_json

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger("powmonman.client")

FILE = "plan.json"
# A battery may last longer than hosts want to stay on it, and a slow restart longer than that.
SHORTEST_BATTERY = 300.0
# As the configuration allows: what can't come would keep a host up until its battery is empty.
LONGEST_AFTER = 86400.0


def load_plan(runtime_dir: Path, now: Now) -> Plan:
    """Return the plan that an earlier process of this boot kept, or an empty one."""
    plan = _read(runtime_dir / FILE)
    if plan is None or plan.last is None:
        return Plan()
    if plan.last.boot > now.boot or plan.last.running > now.running:
        return Plan()
    last, away = plan.last, now.boot - plan.last.boot
    if plan.power is PowerState.ON_BATTERY and away > max(SHORTEST_BATTERY, 2 * plan.after):
        log.warning("was not running for %.0f s: the outage it knew of is over", away)
        if plan.phase is not Phase.COMMITTED:
            return Plan()
        # That this host has committed in this boot is not about the power, and stays.
        return Plan(phase=plan.phase, outage=plan.outage, rehearsed=plan.rehearsed)
    ordered = plan.phase is Phase.WAITING and plan.ordered
    if ordered and away > max(SHORTEST_BATTERY, plan.wait_timeout):
        log.warning("was not running for %.0f s: the order it was waiting with is over", away)
        if plan.power is not PowerState.ON_BATTERY:
            return Plan()
        plan = replace(plan, phase=Phase.COUNTING, ordered=False, why="")
    if not _may_count(plan):
        log.warning("%s can't be used: it counts down without an outage", runtime_dir / FILE)
        plan = Plan()
    elif plan.phase is not Phase.IDLE:
        log.warning("resumed: %s, away for %.1f s", plan.phase, away)
    return replace(
        plan,
        pings=(),
        vague=False,
        fresh_until=min(plan.fresh_until, last.running + plan.lease),
        wake_at=min(plan.wake_at, now.running),
    )


def _may_count(plan: Plan) -> bool:
    """Whether nothing is counted, or there is a ground to: a known outage, or the order."""
    ordered = plan.phase is Phase.WAITING and plan.ordered
    return ordered or plan.power is PowerState.ON_BATTERY or plan.left(Rules()) is None


def _read(path: Path) -> Plan | None:
    """Return the plan in the file, if a client of this boot can have written it."""
    kept = read_json(path)
    if kept is None or not boot_id() or kept.get("boot_id") != boot_id():
        return None
    try:
        plan = from_json(Plan, dict(kept["plan"]))
    except (KeyError, TypeError, ValueError, RecordError) as error:
        log.warning("%s can't be used: %s", path, error)
        return None
    negative = min(plan.spent, plan.observed, plan.waited, plan.wait_timeout, plan.short_stalls) < 0
    endless = plan.lease > LONGEST_LEASE or plan.after > LONGEST_AFTER
    if plan.lease <= 0 or plan.refill_ratio < 1 or plan.after <= 0 or negative or endless:
        log.warning("%s can't be used: no client wrote that", path)
        return None
    return plan


def save_plan(runtime_dir: Path, plan: Plan) -> str:
    """Keep `plan`; return why it can't be kept. That costs the restart, not the countdown."""
    try:
        write_json(runtime_dir / FILE, {"boot_id": boot_id(), "plan": to_json(plan)}, durable=False)
    except OSError as error:
        return f"{runtime_dir / FILE}: {error.strerror}"
    return ""
