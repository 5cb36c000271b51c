"""The drill among the server's other parts: what it may see of them, and what it asks of them."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from powmonman.core import drill_report
from powmonman.core.drill_facts import facts
from powmonman.core.events import Event, Kind
from powmonman.core.messages import StartDrill
from powmonman.net import wake
from powmonman.server.drill import Drills
from powmonman.server.drill_live import Live, Ways
from powmonman.server.seen import seen_in
from powmonman.service.apart import apart
from powmonman.service.clock import boottime

if TYPE_CHECKING:
    from powmonman.core.drill_stage import Stage
    from powmonman.core.messages import StopDrill
    from powmonman.notify import Notifier
    from powmonman.server.drill import Fleet
    from powmonman.server.recovery import Waker
    from powmonman.server.roster import Host
    from powmonman.server.scribe import Scribe

log = logging.getLogger("powmonman.server")

LOOK_EVERY = 0.5


class Drilling:
    """Drills, and live ones, of one server."""

    def __init__(
        self,
        fleet: Fleet,
        notifier: Notifier,
        scribe: Scribe,
        waker: Waker,
    ) -> None:
        """Take part in what these do."""
        self._fleet, self._notifier, self._scribe = fleet, notifier, scribe
        self.drills = Drills(replace(fleet, busy=self._busy), self._test_waking, self._ended)
        ways = Ways(
            hindrance=self.drills.hindrance,
            trouble=self.drills.trouble,
            obstacle=waker.obstacle,
            due=waker.expose,
            down=fleet.roster.is_down,
            wake=waker.gone,
            publish=fleet.publish,
        )
        self.live = Live(fleet.roster, fleet.config, ways)

    def answer(self, message: StartDrill | StopDrill, user: int) -> str:
        """Do what somebody on this host asks; return why not, or nothing."""
        if not isinstance(message, StartDrill):
            if self.drills.stage is None:
                return "no drill is running"
            self.stop(f"stopped by the user with uid {user}")
            return ""
        if message.fleet != self._fleet.config().fleet:
            return f"this is fleet {self._fleet.config().fleet}, not {message.fleet}"
        log.warning("a drill is asked for by the user with uid %d", user)
        if message.live:
            return self.live.start(message.live)
        return self.drills.start(message.scale)

    def stop(self, reason: str) -> None:
        """End the drill that runs, if one does."""
        self.drills.stop(reason)

    def report(self) -> dict[str, Any]:
        """Return what stands in the server's report."""
        return {"drill": self.drills.report(), "drill_live": self.live.report()}

    async def run(self) -> None:
        """Drive what runs until cancelled, and show it to those who are told."""
        driving = asyncio.create_task(self.drills.run())
        try:
            while not driving.done():
                await asyncio.sleep(LOOK_EVERY)
                if (stage := self.drills.stage) is not None:
                    self._look(stage)
            driving.result()
        finally:
            driving.cancel()

    def broken(self) -> None:
        """End the drill: nobody would be told how it goes."""
        self.drills.stop("an error that nobody thought of: see the server's log")

    @apart(None)
    def _look(self, stage: Stage) -> None:
        found = facts(stage, boottime())
        self._scribe.drill(stage.id, ", ".join(stage.real), stage.began, found, over=stage.over)
        if self._notifier.enabled:
            seen = seen_in(stage, self._fleet.roster, self._fleet.policy())
            self._notifier.observe_drill(seen)

    def _busy(self) -> str:
        if self.live.running:
            return "a host is being shut down and woken"
        return self._fleet.busy()

    @apart(None)
    def _ended(self, stage: Stage) -> None:
        self._look(stage)
        text = drill_report.result(stage)
        self._notifier.end_drill(Event(Kind.DRILL, at=time.time(), reason=text, drill=True))

    async def _test_waking(self, host: Host) -> str:
        """Send the packets to where a client listens; a host that sleeps hears them anywhere."""
        config, means = self._fleet.config(), self._fleet.means(host.name)
        sent = wake.wake(
            means.macs,
            only=config.recovery.interfaces,
            broadcasts=means.broadcasts,
            ports=(config.listen.port,),
        )
        return "" if sent.by else means.fault or "; ".join(sent.faults)
