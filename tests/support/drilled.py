"""The fleet of `drill_world`, with drills in it, beside a twin in which there are none.

Both live through the same faults; the drills have random numbers of their own. The oracle: what the
real plans know, decide and run is to the letter what it is in the twin, so no drill is the cause of
anything; no drill of a client asks for a run; and each drill ends by its bound, everywhere.
"""

from __future__ import annotations

import random
from dataclasses import replace

from drill_world import LEASE, OTHERS, WAIT_TIMEOUT, ViolationError, World

from powmonman.core import drill, drill_stage
from powmonman.core.drill import Check, Rehearsal
from powmonman.core.drill_stage import Part, Stage
from powmonman.core.messages import Drill, DrillStatus, UpsNews
from powmonman.core.plan import Phase, Say
from powmonman.core.power import PowerState

MARGIN = 120.0


class Drilled(World):
    """A world whose server drills, and whose hosts rehearse."""

    def __init__(self, hosts=2, seed=0, after=600.0):
        self.stage: Stage | None = None
        self.parts: dict[str, Rehearsal] = {}
        self.heard_first: dict[tuple[str, str], float] = {}
        self.forged: Drill | None = None
        self.checks = 0
        self.drills = 0
        self.goes = 0.0
        self.random_of_drills = random.Random(seed)
        super().__init__(hosts, seed, after)

    def start(self, scale):
        """Begin a drill, if one may begin."""
        running = self.stage is not None and not self.stage.over
        if running or not self.server_runs or self._trouble():
            return
        self.drills += 1
        parts = {
            host.name: Part(
                host.name,
                connected=host.connected and host.up,
                known=True,
                takes=30.0,
                wait_for=host.rules.wait_for,
            )
            for host in self.hosts
        }
        # In every other drill the last host waits for one that goes down late, or never.
        parts[OTHERS[0]] = Part(
            OTHERS[0], connected=self.drills % 2 == 1, gone=None if self.drills % 2 else 0.0
        )
        parts[OTHERS[1]] = Part(OTHERS[1], gone=0.0)
        self.goes = self.time + self.random_of_drills.choice((100, 620, 1e9)) / scale
        self.stage = drill_stage.begin(
            f"d{self.drills}",
            {"ups": self.supply},
            parts,
            self.time,
            bound=self.after + WAIT_TIMEOUT + MARGIN,
            scale=scale,
        )

    def stop(self):
        """End it, at the operator's word."""
        if self.stage is not None:
            self.stage = drill_stage.abort(self.stage, "stopped")

    def forge(self, id_):
        """Let the next states name a drill that no server began, on battery for ever."""
        news = UpsNews(PowerState.ON_BATTERY, outage="forged", age=1e6, spent=1e6, low_battery=True)
        self.forged = Drill(id_, {"ups": news}, 20.0) if id_ else None

    def _trouble(self):
        return self.supply.news(self.time).state is not PowerState.ON_MAINS

    def end_server(self, seconds, *, reboot):
        super().end_server(seconds, reboot=reboot)
        if not self.server_up:
            self.stage = None

    def _server(self):
        super()._server()
        stage = self.stage
        if stage is None or stage.over or not self.server_runs:
            return
        if self._trouble():
            stage = drill_stage.abort(stage, "real")
        if self.time >= self.goes:
            status = DrillStatus(stage.id, "committed", checked=True)
            stage = drill_stage.said(stage, OTHERS[0], status, self.time)
        self.stage = drill_stage.advance(stage, self.time)
        real = self.time - stage.began
        if not self.stage.over and real > stage.bound / stage.scale + drill_stage.WAKING + 60:
            raise ViolationError(f"the server's drill has lasted for {real:.0f} s")

    def _send(self, host, echo):
        super()._send(host, echo)
        told = drill_stage.told(self.stage) if self.stage is not None else None
        if self._trouble():
            told = None
        waits = () if self.stage is None else drill_stage.waits(self.stage, host.name, self.time)
        state = host.inbox[-1]
        own = replace(state.own, drill_waits=waits)
        host.inbox[-1] = replace(state, drill=self.forged or told, own=own)

    def _hear(self, host, state):
        before = host.plan
        super()._hear(host, state)
        if host.dead_link:
            return
        part = self.parts.get(host.name, Rehearsal())
        now = self.now(host)
        self._rehearse(
            host,
            drill.heard(part, state, host.rules, now, before=before, after=host.plan),
        )

    def _client(self, host):
        super()._client(host)
        part = self.parts.get(host.name)
        still = not host.up or host.asleep or host.stopped_until > self.time
        if still or part is None or part.wake_at is None:
            return
        now = self.now(host)
        if now.running >= part.wake_at:
            self._rehearse(host, drill.passed(part, host.plan, host.rules, now))
        self._check_part(host)

    def _rehearse(self, host, outcome):
        part, effects = outcome
        self.parts[host.name] = part
        for effect in effects:
            if not isinstance(effect, Say | Check):
                raise ViolationError(f"S9 {host.name}: a drill wants {effect}")
            self.checks += isinstance(effect, Check)
        status = part.status(host.rules)
        if status is not None and self.stage is not None:
            self.stage = drill_stage.said(
                self.stage, host.name, replace(status, checked=True, wake_heard=True), self.time
            )

    def _check_part(self, host):
        part = self.parts[host.name]
        if not part.id:
            return
        plan = host.plan
        if plan.power is not PowerState.ON_MAINS or plan.phase is not Phase.IDLE:
            raise ViolationError(f"S9 {host.name} drills on, and is really {plan.phase}")
        lasted = self.now(host).running - part.began.running
        if lasted > drill.LONGEST + LEASE:
            raise ViolationError(f"{host.name} drills for {lasted:.0f} s")

    def boot_host(self, host):
        super().boot_host(host)
        self.parts.pop(host.name, None)

    def restart_client(self, host):
        super().restart_client(host)
        self.parts.pop(host.name, None)

    def calm(self):
        super().calm()
        if self.stage is not None and not self.stage.over:
            self.wait(self.stage.bound / self.stage.scale + drill_stage.WAKING + 2 * LEASE)
        if self.stage is not None and not self.stage.over:
            raise ViolationError("the drill never ends")


class Twins:
    """One world with drills and one without, under the same faults."""

    def __init__(self, seed=0):
        self.drilled, self.plain = Drilled(seed=seed), World(seed=seed)

    def both(self, act):
        """Do the same to both, and compare."""
        for world in (self.drilled, self.plain):
            act(world)
        self.compare()

    def wait(self, seconds):
        """Let time pass, second by second."""
        for _ in range(int(seconds)):
            self.both(lambda world: world.wait(1))

    def compare(self):
        """Nothing real may differ."""
        for mine, other in zip(self.drilled.hosts, self.plain.hosts, strict=True):
            if (mine.plan, mine.runs) != (other.plan, other.runs):
                raise ViolationError(f"S9 a drill changes {mine.name}: {mine.plan} {other.plan}")
        if self.drilled.stats != self.plain.stats:
            raise ViolationError("S9 a drill changes what happens")
