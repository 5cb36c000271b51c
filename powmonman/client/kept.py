"""The plan on disk: it survives a restart of the client, and no boot.

A plan is taken up only if it was written in this boot, and forgotten if it knew of an outage longer
ago than any battery lasts: a host that still runs then has had its mains back. Without this a
client that was stopped in one outage and started days later would act on it. The operator's order
that a host was waiting with is forgotten in the same way.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from powmonman.core import lost_contact
from powmonman.core.plan import Now, Phase, Plan, Rules
from powmonman.core.policy import LONGEST_LEASE
from powmonman.core.power import PowerState
from powmonman.core.records import RecordError, from_json, to_json
from powmonman.service.clock import boot_id
from powmonman.service.files import overwrite, read_json, write_json

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger("powmonman.client")

FILE = "plan.json"
# A battery may last longer than hosts want to stay on it, and a slow restart longer than that.
SHORTEST_BATTERY = 300.0
# As the configuration allows: what can't come would keep a host up until its battery is empty.
LONGEST_AFTER = 86400.0
# What a file has of the disk in any case, if it says anything.
PAGE = 4096


def load_plan(runtime_dir: Path, now: Now) -> Plan:
    """Return the plan that an earlier process of this boot kept, or an empty one."""
    plan = _read(runtime_dir / FILE)
    if plan is None or plan.last is None:
        return Plan()
    if plan.last.boot > now.boot or plan.last.running > now.running:
        return Plan()
    last, away = plan.last, now.boot - plan.last.boot
    # What this host saw by itself it did not see while no client ran.
    plan, _ = lost_contact.interrupted(plan, "the client was restarted")
    if plan.power is PowerState.ON_BATTERY and away > max(SHORTEST_BATTERY, 2 * plan.after):
        log.warning("was not running for %.0f s: the outage it knew of is over", away)
        if plan.phase is not Phase.COMMITTED:
            return Plan()
        # That this host has committed in this boot is not about the power, and stays.
        return Plan(
            phase=plan.phase, outage=plan.outage, rehearsed=plan.rehearsed, alone=plan.alone
        )
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
    # In a directory that others may write to, anybody could lay a plan that shuts this host down.
    kept = read_json(path, own=True)
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
    path = runtime_dir / FILE
    kept = {"boot_id": boot_id(), "plan": to_json(plan)}
    try:
        write_json(path, kept, durable=False)
    except OSError as error:
        try:
            _write_over(path, json.dumps(kept).encode())
        except OSError:
            return f"{path}: {error.strerror}"
    return ""


def _write_over(path: Path, data: bytes) -> None:
    """Write where the old plan is, if that has room enough: a disk may be full.

    Raises:
        OSError: It has not, or there is none.
    """
    room = -(-path.stat(follow_symlinks=False).st_size // PAGE) * PAGE
    if len(data) > room:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    overwrite(path, data)
