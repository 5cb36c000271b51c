"""The server's part of a drill: who may begin one, what drives it, what comes of it.

Nothing of a drill is kept over the server's end: one that is restarted has none.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from powmonman.core import drill_report, drill_stage
from powmonman.core.drill import LARGEST_SCALE, LONGEST
from powmonman.core.drill_stage import Part, Phase, Stage
from powmonman.core.feeds import feeding
from powmonman.core.forecast import Battery, Forecast, forecast
from powmonman.core.policy import LONGEST_LEASE
from powmonman.core.power import PowerState
from powmonman.service.apart import apart
from powmonman.service.clock import boottime

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from powmonman.config.schema import ServerConfig
    from powmonman.core.messages import Drill, DrillStatus, Hello, Policy, UpsNews
    from powmonman.core.outage import Supply
    from powmonman.server.roster import Host, Roster
    from powmonman.server.waking import Means

log = logging.getLogger("powmonman.server")

TICK = 0.1
WAKE_EVERY = 5.0
# For what no forecast knows: a push, a lease of doubt, a stall.
MARGIN = 120.0


@dataclass(frozen=True)
class Fleet:
    """What a drill must know of the server that it runs in.

    Attributes:
        config: Returns the configuration in force.
        policy: Returns the fleet's policy.
        supplies: Returns the real UPSes.
        busy: Returns why no drill may begin now, beside the power; empty if one may.
        publish: Pushes a new state to everybody.
        means: Returns what there is to wake a host with.
    """

    roster: Roster
    config: Callable[[], ServerConfig]
    policy: Callable[[], Policy]
    supplies: Callable[[], Mapping[str, Supply]]
    busy: Callable[[], str]
    publish: Callable[[], None]
    means: Callable[[str], Means]


class Drills:
    """At most one drill at a time.

    Args:
        fleet: The server.
        wake: Sends a host what would wake it, for a test; returns what is wrong with it.
        ended: Takes a drill that has ended.
    """

    def __init__(
        self,
        fleet: Fleet,
        wake: Callable[[Host], Awaitable[str]],
        ended: Callable[[Stage], None],
    ) -> None:
        self._fleet = fleet
        self._wake = wake
        self._ended = ended
        self._stage: Stage | None = None
        self._begun = asyncio.Event()
        self._pushed: float | None = None
        self._told: tuple[Any, ...] = ()
        self._woke = 0.0
        self._waking: set[asyncio.Task[None]] = set()

    @property
    def stage(self) -> Stage | None:
        """The drill in progress; None where there is none."""
        return self._stage if self._stage is not None and not self._stage.over else None

    @property
    def last(self) -> Stage | None:
        """The drill in progress, or the last one."""
        return self._stage

    @apart("an error that nobody thought of: see the server's log")
    def start(self, scale: float) -> str:
        """Begin a drill; return why not, or nothing."""
        config, now = self._fleet.config(), boottime()
        largest = min(LARGEST_SCALE, LONGEST_LEASE / config.lease)
        if reason := self.hindrance():
            return reason
        if not 1 <= scale <= largest:
            return f"scale must be from 1 to {largest:g} (a lease is {config.lease:g} s)"
        supplies = self._fleet.supplies()
        plans = self._forecasts(supplies, now)
        parts = {
            name: self._part(host, supplies) for name, host in self._fleet.roster.hosts.items()
        }
        if not any(part.connected for part in parts.values()):
            return "no host is connected"
        bound = _bound(plans, self._fleet.roster)
        if bound / scale > LONGEST:
            least = min(largest, -(-bound // LONGEST))
            return (
                f"it would take {bound / scale / 3600:.1f} h, and no drill lasts longer than "
                f"{LONGEST / 3600:g} h: use a scale of {least:g} or more"
            )
        order = config.order
        self._stage = drill_stage.begin(
            secrets.token_hex(16),
            supplies,
            parts,
            now,
            bound=bound,
            scale=scale,
            settle=order.settle,
            gone_after=order.gone_after,
        )
        self._pushed, self._told, self._woke = None, (), 0.0
        log.warning(
            "drill %s begins, %g times as fast as an outage · for %.0f s at most · nothing is "
            "switched off",
            self._stage.id[:4],
            scale,
            bound / scale,
        )
        self._fleet.publish()
        self._begun.set()
        return ""

    def hindrance(self) -> str:
        """Return why no drill may begin now; empty if one may."""
        if self.stage is not None:
            return "a drill is running"
        if reason := self.trouble():
            return reason
        return self._fleet.busy()

    def broken(self) -> None:
        """Forget the drill, after an error: what counts goes on."""
        self._stage = None

    @apart(None)
    def stop(self, reason: str) -> None:
        """End the drill that runs, if one does."""
        if (stage := self.stage) is not None:
            self._take(drill_stage.abort(stage, reason))

    @apart(None)
    def told(self) -> Drill | None:
        """Return what clients are told now: beside news of real trouble, nothing."""
        stage = self.stage
        if stage is None:
            return None
        if reason := self.trouble():
            self._take(drill_stage.abort(stage, reason), publish=False)
            return None
        return drill_stage.told(stage)

    @apart(())
    def waits(self, name: str) -> tuple[str, ...]:
        """Return for whom a host waits in the drill."""
        stage = self.stage
        return () if stage is None else drill_stage.waits(stage, name, boottime())

    @apart(None)
    def said(self, name: str, status: DrillStatus) -> None:
        """A client says what it would do."""
        stage = self.stage
        if stage is None:
            return
        after = drill_stage.said(stage, name, status, boottime())
        before, part = stage.parts.get(name), after.parts.get(name)
        if part is not None and (before is None or _phase(before) != _phase(part)):
            log.info("drill: %s is %s", name, status.phase, extra={"host": name})
        self._stage = after

    @apart(None)
    def understood(self, name: str) -> None:
        """A client has acknowledged the newest state."""
        stage = self.stage
        if stage is not None and self._pushed is not None:
            now = boottime()
            self._stage = drill_stage.understood(stage, name, now - self._pushed, now)

    @apart(None)
    def report(self) -> dict[str, Any] | None:
        """Return the drill in progress, or the last one."""
        return None if self._stage is None else drill_report.report(self._stage, boottime())

    async def run(self) -> None:
        """Drive every drill to its end, until cancelled."""
        while True:
            await self._begun.wait()
            self._begun.clear()
            while self.stage is not None:
                self._look()
                await asyncio.sleep(TICK)

    @apart(None)
    def _look(self) -> None:
        stage = self.stage
        if stage is None:
            return
        now = boottime()
        if reason := self.trouble():
            self._take(drill_stage.abort(stage, reason))
            return
        hosts = self._fleet.roster.hosts
        for name, part in stage.parts.items():
            here = name in hosts and hosts[name].connected
            if part.connected and not here and part.gone is None:
                stage = drill_stage.changed(stage, name, gone=stage.since_loss(now))
        stage = drill_stage.advance(stage, now)
        if stage.phase is Phase.WAKING and now - self._woke >= WAKE_EVERY:
            self._woke = now
            self._test_waking(stage)
        self._take(stage)

    def _take(self, stage: Stage, *, publish: bool = True) -> None:
        """Go on with `stage`, and push what is news in it."""
        before, self._stage = self._stage, stage
        if stage.over:
            if before is not None and not before.over:
                log.warning("drill %s is over · %s", stage.id[:4], drill_report.result(stage))
                self._ended(stage)
                if publish:
                    self._fleet.publish()
            return
        if before is not None and before.phase is not stage.phase:
            log.warning("drill %s · %s", stage.id[:4], stage.phase.replace("_", " "))
        news = drill_stage.told(stage)
        states = tuple((ups.state, ups.outage) for ups in news.upses.values()) if news else ()
        now = boottime()
        told = (states, *(drill_stage.waits(stage, name, now) for name in stage.parts))
        if told != self._told:
            lost = all(state is PowerState.ON_BATTERY for state, _ in states)
            if lost and self._pushed is None:
                self._pushed = boottime()
            self._told = told
            self._fleet.publish()

    def _test_waking(self, stage: Stage) -> None:
        for name, part in stage.parts.items():
            host = self._fleet.roster.hosts.get(name)
            heard = part.status is not None and part.status.wake_heard
            if not part.macs or part.wakes != "wake_on_lan" or heard:
                continue
            if host is not None and host.connected:
                task = asyncio.create_task(self._wake_one(host))
                self._waking.add(task)
                task.add_done_callback(self._waking.discard)

    async def _wake_one(self, host: Host) -> None:
        with contextlib.suppress(OSError):
            if fault := await self._wake(host):
                log.warning("drill: %s can't be sent a magic packet: %s", host.name, fault)

    def trouble(self) -> str:
        """Return why the power forbids a drill; empty if it does not."""
        now = boottime()
        for name, supply in self._fleet.supplies().items():
            news = supply.news(now)
            if news.state is PowerState.ON_BATTERY:
                return f"{name} is really on battery"
            if news.state is not PowerState.ON_MAINS:
                return f"the power of {name} is really unknown: {news.reason}"
        return ""

    def _part(self, host: Host, supplies: Mapping[str, Supply]) -> Part:
        hello, roster = host.hello, self._fleet.roster
        means = self._fleet.means(host.name)
        # Who is off is asked in an outage, and is down after `gone_after`; not who has no address.
        gone = 0.0 if host.address and not host.connected else None
        if host.down(roster.bounds):
            gone = -roster.bounds.gone_after
        return Part(
            name=host.name,
            connected=host.connected,
            known=host.since is not None,
            dry_run=bool(hello and hello.dry_run),
            takes=host.takes,
            wait_for=roster.waits_for(host.name),
            battery=_battery(hello, supplies) if hello else None,
            macs=bool(means.macs),
            wakes=means.method,
            gone=gone,
        )

    def _forecasts(self, supplies: Mapping[str, Supply], now: float) -> dict[str, Forecast]:
        upses = self._fleet.config().upses
        batteries = {
            name: Battery(supply.news(now), supply.full_runtime, upses[name].confirm)
            for name, supply in supplies.items()
            if name in upses
        }
        return {
            name: forecast(batteries, host.hello, self._fleet.policy())
            for name, host in self._fleet.roster.hosts.items()
            if host.connected and host.hello is not None
        }


def _phase(part: Part) -> str:
    return part.status.phase if part.status else ""


def _bound(plans: Mapping[str, Forecast], roster: Roster) -> float:
    """Return how long the slowest host can take; a wait has its timeout, however long the chain."""
    ends = [0.0]
    for name, plan in plans.items():
        if plan.shutdown is not None:
            waits = roster.wait_timeout(name) if roster.waits_for(name) else 0.0
            ends.append(plan.shutdown + waits)
    return max(ends) + MARGIN


def _battery(hello: Hello, supplies: Mapping[str, Supply]) -> float | None:
    """Return when the battery whose end is this host's end would be empty.

    What is only assumed of a battery convicts nobody: then it is None.
    """
    news: dict[str, UpsNews] = {name: supply.news(boottime()) for name, supply in supplies.items()}
    feeds = feeding(news, hello.upses)
    ends = sorted(
        supplies[name].full_runtime - each.spent for name, each in feeds.items() if each is not None
    )
    place = len(feeds) - hello.min_supplies
    fed = [supplies[name] for name, each in feeds.items() if each is not None]
    if any(supply.measures and supply.measured is None for supply in fed):
        return None
    return ends[place] if 0 <= place < len(ends) else None
