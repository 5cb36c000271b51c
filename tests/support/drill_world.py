"""A small fleet in virtual time, on which a drill is laid: one UPS, one server, some clients.

The product's own cores decide (`core.outage`, `core.policy`); this is the physics around them, and
an oracle. `world` is the large one, with all that can go wrong.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field, replace

from powmonman.core import policy
from powmonman.core.messages import Own, Policy, State
from powmonman.core.outage import Record, Supply
from powmonman.core.plan import Ask, Now, Phase, Plan, Rules, Run
from powmonman.core.power import Debounce, PowerState, Reading, unknown
from powmonman.core.records import from_json, to_json

LEASE = 15.0
BEAT = 5
OTHERS = ("web", "db")
WAIT_TIMEOUT = 120.0
KNOWN_WITHIN = 32.0
"""Seconds after which a return of the mains is known wherever the path is whole: debounce 5,
heartbeat 5, reconnect 5, transit, and a lease."""


class ViolationError(AssertionError):
    """An invariant does not hold."""


@dataclass
class Host:
    """One client, its host, and what the oracle knows about it."""

    name: str
    rules: Rules
    plan: Plan = field(default_factory=Plan)
    up: bool = True
    linked: bool = True
    connected: bool = False
    asleep: bool = False
    stopped_until: float = 0.0
    slept: float = 0.0
    slept_before: float = 0.0
    dead_link: bool = False
    reconnect_at: float = 0.0
    inbox: list[State] = field(default_factory=list)
    saw_outage: bool = False
    heard_battery: bool = False
    healthy: float = 0.0
    due: float | None = None
    runs: int = 0
    idle_until: float = 0.0
    free_at: float = 0.0
    waited: int = 0


class World:
    """Steps of one second; `wait` takes many.

    The last host waits for `OTHERS`. The server says of them what it likes: `down` are those that
    it calls down.
    """

    def __init__(self, hosts=2, seed=0, after=600.0):
        self.random = random.Random(seed)
        self.time = 1000.0
        self.mains = True
        self.good_for = 1e9
        self.sensor_works = True
        self.after = after
        self.hosts = [Host(f"h{n}", Rules(after=after if n else None)) for n in range(hosts)]
        waits = replace(self.hosts[-1].rules, wait_for=OTHERS, wait_timeout=WAIT_TIMEOUT)
        self.hosts[-1].rules = waits
        self.down: frozenset[str] = frozenset()
        self.server_up = True
        self.server_stopped_until = 0.0
        self.server_back_at = 0.0
        self.record = Record()
        self.record_boot = 0
        self.boot = 0
        self.supply = self._new_supply()
        self.seq = 0
        self.stats = {"seconds": 0, "commits": 0, "outages": 0, "waited": 0, "late": 0.0}
        self.wait(20)

    def _new_supply(self) -> Supply:
        return Supply(debounce=Debounce(), runtime=2 * self.after)

    @property
    def server_runs(self) -> bool:
        return self.server_up and self.server_stopped_until <= self.time

    def wait(self, seconds):
        for _ in range(int(seconds)):
            self._second()

    def _second(self):
        self.time += 1
        self.stats["seconds"] += 1
        if self.mains:
            self.good_for += 1
        else:
            self.stats["outages"] += self.good_for > 0
            self.good_for = 0
        for host in self.hosts:
            if host.up and not self.mains:
                host.saw_outage = True
            healthy = (
                self.server_runs
                and host.linked
                and self.sensor_works
                and self.supply.state is not PowerState.UNKNOWN
            )
            host.healthy = host.healthy + 1 if healthy else 0
        self._server()
        for host in self.random.sample(self.hosts, len(self.hosts)):
            self._client(host)
        for host in self.hosts:
            self._note_wait(host)
            self._check_bound(host)

    def _server(self):
        if not self.server_up and self.time >= self.server_back_at:
            self.server_up = True
            same = self.record_boot == self.boot
            self.supply = self._new_supply().resumed(self.record, self.time, same_boot=same)
        if not self.server_runs:
            return
        reading = Reading(mains=self.mains) if self.sensor_works else unknown("broken")
        before = self.supply
        new_id = f"{self.random.getrandbits(64):016x}"
        self.supply = before.observe(reading, self.time, new_id)
        if self.supply.debounce.wants_verify:
            self.supply = self.supply.verified(reading, self.time, new_id)
        self.record, self.record_boot = self.supply.record(self.time), self.boot
        changed = (before.state, before.outage) != (self.supply.state, self.supply.outage)
        if changed or self.time % BEAT == 0:
            for host in self.hosts:
                if host.connected and not host.asleep:
                    self._send(host, host.plan.nonce)

    def _send(self, host, echo):
        self.seq += 1
        news = {"ups": self.supply.news(self.time)}
        own = Own(waits=self.pending(host))
        policy = Policy(after=self.after)
        host.inbox.append(State(f"s{self.seq}", LEASE, policy, news, own=own, seq=1, echo=echo))

    def pending(self, host) -> tuple[str, ...]:
        """Whom the server says that `host` still waits for."""
        return tuple(name for name in host.rules.wait_for if name not in self.down)

    def cut(self, host):
        """The connection breaks, with everything in it."""
        host.connected = host.dead_link = False
        host.inbox.clear()
        host.reconnect_at = self.time + self.random.choice((1, 2, 4))
        host.plan = policy.disconnected(host.plan)

    def now(self, host) -> Now:
        return Now(running=self.time - host.slept, boot=self.time)

    def _client(self, host):
        if not host.up:
            return
        if host.asleep:
            host.slept += 1
            return
        if host.stopped_until > self.time:
            return
        reachable = host.linked and self.server_runs
        if not host.connected and reachable and self.time >= host.reconnect_at:
            host.connected = True
            self._take(host, policy.connected(host.plan, self.now(host)))
        if host.linked and host.connected:
            waiting, host.inbox = host.inbox, []
            for state in waiting:
                self._hear(host, state)
        if host.dead_link:
            self.cut(host)
        now = self.now(host)
        if now.running >= host.plan.wake_at:
            linked = host.connected and host.linked
            self._take(host, policy.passed(host.plan, host.rules, now, connected=linked))

    def _hear(self, host, state):
        news = state.upses["ups"]
        before = host.plan
        self._take(host, policy.heard(host.plan, state, host.rules, self.now(host)))
        if host.dead_link:
            return
        if news.state is PowerState.ON_BATTERY:
            host.heard_battery = True
        if news.state is PowerState.ON_MAINS:
            host.due = None
            going = (Phase.COUNTING, Phase.WAITING)
            if before.phase in going and host.plan.phase in going:
                raise ViolationError(f"S5 {host.name} did not cancel on mains")

    def _take(self, host, step):
        host.plan, commands = step
        for command in commands:
            if isinstance(command, Run):
                self._commit(host)
            elif isinstance(command, Ask) and host.connected and host.linked:
                self._answer(host, command.nonce)

    def _answer(self, host, nonce):
        if self.server_runs:
            self._send(host, nonce)

    def _commit(self, host):
        host.runs += 1
        self.stats["commits"] += 1
        if host.due is not None and not self.mains:
            self.stats["late"] = max(self.stats["late"], self.time - host.due)
        host.due = None
        if host.runs > 1:
            raise ViolationError(f"S4 {host.name} ran twice")
        if not host.saw_outage:
            raise ViolationError(f"S1 {host.name} committed without an outage since its boot")
        if not host.heard_battery:
            raise ViolationError(f"S6 {host.name} committed on what was known before")
        # A state may be a lease old, and the first of an outage already says who is down.
        free = not host.rules.wait_for or host.free_at >= host.idle_until - LEASE
        self.stats["waited"] += not free
        if not free and host.waited < self.longest_wait(host) - 1:
            raise ViolationError(f"O {host.name} went before {self.pending(host)}: {host.plan}")
        if min(self.good_for, host.healthy) >= KNOWN_WITHIN:
            raise ViolationError(f"S3 {host.name} committed {self.good_for:.0f} s after the return")

    def _note_wait(self, host):
        if not self.pending(host):
            host.free_at = self.time
        if host.plan.phase is Phase.IDLE:
            host.idle_until = self.time
        elif host.plan.phase is Phase.WAITING and not host.asleep:
            host.waited += 1

    def _check_bound(self, host):
        """L1: from learning of an outage that lasts, the commit comes in bounded time."""
        if self.mains or not host.up or host.asleep or host.plan.phase is Phase.COMMITTED:
            host.due = None
            return
        if host.stopped_until > self.time:
            return
        left = host.plan.left(host.rules)
        if host.due is None and left is not None and host.plan.power is PowerState.ON_BATTERY:
            waits = host.plan.phase is Phase.COUNTING and host.rules.wait_for
            host.due = self.time + left + (self.longest_wait(host) if waits else 0.0)
        if host.due is None:
            return
        bound = host.due + LEASE * (host.plan.short_stalls + 1) + 3
        if self.time > bound:
            raise ViolationError(
                f"L1 {host.name}: due {host.due:.0f}, bound {bound:.0f}, now {self.time:.0f}, "
                f"{host.plan}"
            )

    def longest_wait(self, host) -> float:
        """How long the host may wait for others at the most."""
        return min(host.plan.wait_timeout, host.rules.wait_timeout)

    def restart_client(self, host, seconds=0):
        """The process ends and comes back after some time; its plan is on disk."""
        if host.up:
            kept = json.dumps(to_json(host.plan))
            self.cut(host)
            host.plan = policy.disconnected(from_json(Plan, json.loads(kept)))
            self.stop_client(host, seconds)

    def reload_client(self, host, **rules):
        """The client goes on with other rules, on a new connection; the bound is theirs."""
        host.rules = replace(host.rules, **rules)
        self.cut(host)
        host.due = None

    def stop_client(self, host, seconds):
        """SIGSTOP; what the server sends waits in the socket."""
        if host.up and not host.asleep:
            host.stopped_until = self.time + seconds
            if seconds > 3:
                host.due = None

    def boot_host(self, host):
        """The host is reset: everything in /run is gone."""
        self.cut(host)
        host.plan, host.up, host.asleep = Plan(), True, False
        host.stopped_until, host.slept, host.runs, host.due = 0.0, 0.0, 0, None
        host.heard_battery, host.healthy, host.waited = False, 0.0, 0
        host.saw_outage = not self.mains or self.good_for < KNOWN_WITHIN

    def suspend(self, host):
        """What arrives as it falls asleep is read after the resume, from a dead connection."""
        if host.up and not host.asleep:
            if host.connected and host.linked and self.server_runs:
                self._send(host, host.plan.nonce)
            host.asleep, host.due, host.dead_link = True, None, host.connected
            host.slept_before = host.slept

    def resume(self, host):
        """A sleep of no time at all is none."""
        if host.asleep:
            host.asleep = False
            if host.slept == host.slept_before:
                host.dead_link = False
            else:
                host.heard_battery, host.due = False, None
                host.saw_outage = not self.mains or self.good_for < KNOWN_WITHIN

    def end_server(self, seconds, *, reboot):
        if self.server_up:
            self.server_up = False
            self.server_back_at = self.time + seconds
            self.boot += reboot
            for host in self.hosts:
                self.cut(host)

    def calm(self):
        """Every fault ends and the mains stay good: nothing more may be shut down."""
        self.mains = self.sensor_works = True
        self.server_stopped_until = 0.0
        for host in self.hosts:
            host.linked = True
            host.stopped_until = 0.0
            self.resume(host)
        self.wait(40)
        before = self.stats["commits"]
        self.wait(700)
        if self.stats["commits"] != before:
            raise ViolationError("S3 a commit although all is well")
        for host in self.hosts:
            if host.plan.power is not PowerState.ON_MAINS or not host.connected:
                raise ViolationError(f"L4 {host.name} does not know that all is well: {host.plan}")
