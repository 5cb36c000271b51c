"""What a client tells of its plan: the server, the process after it, and who looks at this host.

Each is told when something has changed, and the two on the disk now and then as well.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import threading
import time
from typing import TYPE_CHECKING

from powmonman import __version__
from powmonman.client.kept import save_plan
from powmonman.core import lost_contact
from powmonman.core.messages import Status
from powmonman.core.plan import Phase
from powmonman.core.policy import LONGEST_SLEEP
from powmonman.core.records import LONGEST_TEXT
from powmonman.service.clock import now
from powmonman.service.files import write_json
from powmonman.service.program import place

if TYPE_CHECKING:
    from pathlib import Path

    from powmonman.client.link import Link
    from powmonman.core.plan import Plan, Rules
    from powmonman.core.power import PowerState

log = logging.getLogger("powmonman.client")

VIEW = "client.json"
SAVE_EVERY = 5.0
SAVE_COUNTING_EVERY = 1.0
WALL_TIMEOUT = 10.0
# A view older than this, or than a lease, was written by a client that stands still.
VIEW_LASTS = SAVE_EVERY + LONGEST_SLEEP + 1


class Telling:
    """Remembers what was last told, so that it is told again only when it changes."""

    def __init__(self, runtime_dir: Path) -> None:
        self._runtime = runtime_dir
        self._status: Status | None = None
        self._saved = -SAVE_EVERY
        self._unsaved = ""
        self._news: tuple[Phase, PowerState, str, str, bool] | None = None
        self._warning: threading.Thread | None = None

    def new_server(self) -> None:
        """Somebody else listens now, who was told nothing."""
        self._status = None

    def status(self, plan: Plan, rules: Rules) -> Status | None:
        """Return what the server is to be told; None if it knows already."""
        status = status_of(plan)
        if status == self._status:
            return None
        self._status = status
        return status_of(plan, left=plan.left(rules))

    def due(self, plan: Plan, *, connected: bool) -> bool:
        """Whether the files are to be written: something has changed, or it is time."""
        every = SAVE_EVERY
        if plan.phase in (Phase.COUNTING, Phase.WAITING):
            every = SAVE_COUNTING_EVERY
        moment = time.monotonic()
        news = (plan.phase, plan.power, plan.reason, plan.alone.evidence, connected)
        if news == self._news and moment - self._saved < every:
            return False
        self._news, self._saved = news, moment
        return True

    def save(self, plan: Plan) -> None:
        """Keep the plan for the next process."""
        fault = save_plan(self._runtime, plan)
        if fault and fault != self._unsaved:
            log.error("%s · a restart would lose the plan", fault)
        self._unsaved = fault

    def show(self, plan: Plan, rules: Rules, link: Link | None, proved: bool, fault: str) -> None:
        """Write what `powmonman verify` reads. `fault`: why the last reload was refused."""
        view = {
            "pid": os.getpid(),
            "version": __version__,
            "program": str(place()),
            "connected": proved and link is not None,
            "server": link.host if link else "",
            "port": link.port if link else 0,
            "stamp": now().boot,
            "heard": link.heard if link else None,
            "lease": plan.lease,
            "phase": plan.phase,
            "power": plan.power,
            "left": plan.left(rules),
            "outage": plan.outage,
            "reason": plan.reason,
            "lost_contact": lost_contact.described(plan, rules),
            "dry_run": rules.dry_run,
            "reload_fault": fault,
        }
        with contextlib.suppress(OSError):
            write_json(self._runtime / VIEW, view, durable=False)

    def warn_users(self, text: str) -> None:
        """Write to the users' terminals, without waiting for any of them."""
        if self._warning is not None and self._warning.is_alive():
            log.debug("the users are still being told something earlier")
            return
        self._warning = threading.Thread(target=_wall, args=(text,), name="wall", daemon=True)
        self._warning.start()


def status_of(plan: Plan, left: float | None = None) -> Status:
    """Return what the server is told of a plan."""
    reason = "; ".join(filter(None, (plan.why, plan.reason)))[:LONGEST_TEXT]
    return Status(plan.phase, plan.power, left, plan.outage, reason, plan.ordered)


def _wall(text: str) -> None:
    try:
        subprocess.run(
            ["wall", f"PowMonMan: {text}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=WALL_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log.debug("wall: %s", error)
