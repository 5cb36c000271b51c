"""One host of the virtual fleet: its machine, its client, and what connects it to a server.

The client's part is the product's own: `core.policy` decides, `client.kept` takes up what an
earlier process wrote, and the clocks are those of `service.clock`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from virtual_time import CLOCKS

from powmonman.client import kept
from powmonman.client.agent import rules_of
from powmonman.client.telling import SAVE_COUNTING_EVERY, SAVE_EVERY
from powmonman.config.loader import ConfigError, parse
from powmonman.config.schema import ClientConfig
from powmonman.core import policy
from powmonman.core.messages import State, decode, encode
from powmonman.core.plan import Acknowledge, Ask, Now, Phase, Plan, Rules, Run, Say
from powmonman.core.records import to_json
from powmonman.service import clock

if TYPE_CHECKING:
    from world import World
    from world_server import Server

# Fields that a plan has had from the beginning; an older version's record has no others.
FIRST = (
    *("power", "phase", "outage", "reason", "after", "spent", "observed", "unbroken"),
    *("fresh_until", "silent", "short_stalls", "nonce", "pings", "last", "wake_at", "lease"),
)


@dataclass
class Host:
    """A machine, up or down, and its client."""

    name: str
    world: World
    rules: Rules
    machine: str = "on"
    until: float = 0.0
    woken: bool = False
    boots: int = 1
    booted: float = 0.0
    slept: float = 0.0
    asleep: bool = False
    slept_before: float = 0.0
    stopped_until: float = 0.0
    stubborn: bool = False
    linked: bool = True
    delay: float = 2.0
    scrambled: bool = False
    server: Server | None = None
    ended: bool = False
    dead_link: bool = False
    reconnect_at: float = 0.0
    quiet: float = 0.0
    inbox: list[tuple[float, State]] = field(default_factory=list)
    outbox: list[tuple[float, str, Any]] = field(default_factory=list)
    plan: Plan = field(default_factory=Plan)
    saved: Plan | None = None
    saved_at: float = 0.0
    committed: bool = False
    ordered: bool = False

    @property
    def on(self) -> bool:
        """Whether its machine runs, were it asleep or on its way down."""
        return self.machine in ("on", "going")

    @property
    def acts(self) -> bool:
        """Whether its client can do anything now."""
        return self.on and not self.asleep and self.stopped_until <= self.world.time

    @property
    def boot_id(self) -> str:
        return f"{self.name}-{self.boots}"

    @property
    def pending(self) -> bool:
        return bool(self.plan.pending(self.rules))

    def now(self) -> Now:
        CLOCKS.boot = self.world.time - self.booted
        CLOCKS.running = CLOCKS.boot - self.slept
        return clock.now()

    # One moment of its life.
    def tick(self, dt: float) -> None:
        time = self.world.time
        if self.machine == "booting" and time >= self.until and self.world.power:
            self.start()
        if self.machine == "going" and time >= self.until:
            self.goes_off()
        if self.on and self.asleep:
            self.slept += dt
        if self.acts:
            self._lives(dt)

    def _lives(self, dt: float) -> None:
        time = self.world.time
        self.quiet += dt
        if self.server is None and self.linked and time >= self.reconnect_at:
            self._connect()
        if self.linked or self.dead_link:
            due = [state for at, state in self.inbox if at <= time]
            self.inbox = [(at, state) for at, state in self.inbox if at > time]
            for state in due:
                if self.on:
                    self._hear(state)
        over = self.dead_link or (self.ended and self.linked)
        if over or (self.server is not None and self.quiet > self.plan.lease):
            self.cut()
        if not self.on:
            return
        now = self.now()
        if now.running >= self.plan.wake_at:
            linked = self.server is not None
            self.take(policy.passed(self.plan, self.rules, now, connected=linked))
        every = (
            SAVE_EVERY if self.plan.phase in (Phase.IDLE, Phase.COMMITTED) else SAVE_COUNTING_EVERY
        )
        if time - self.saved_at >= every:
            self.save()

    def _connect(self) -> None:
        servers = [server for server in self.world.servers if server.answers]
        if not servers:
            return
        self.server, self.quiet = self.world.random.choice(servers), 0.0
        self.inbox.clear()
        self.outbox.clear()
        self.take(policy.connected(self.plan, self.now()), hello=True)

    def _hear(self, state: State) -> None:
        self.quiet = 0.0
        if self.world.random.random() < 1 / 40:
            state = through_the_wire(state)
        self.world.oracle.hears(self, state)
        self.take(policy.heard(self.plan, state, self.rules, self.now()))
        self.world.oracle.heard(self, state)

    def take(self, step: policy.Step, *, hello: bool = False) -> None:
        before, (self.plan, commands) = self.plan, step
        for command in commands:
            if isinstance(command, Run):
                self._commit()
            elif isinstance(command, Ask):
                self.send("hello" if hello else "ping", command.nonce)
                if hello:
                    self.send("status", self.plan.phase)
            elif isinstance(command, Acknowledge):
                self.send("ack", (command.seq, command.nonce))
            elif isinstance(command, Say) and "asleep" in command.text:
                self.world.oracle.forgot(self)
        if self.plan.phase is not before.phase:
            self.send("status", self.plan.phase)
            self.save()

    def send(self, kind: str, body: Any) -> None:
        if self.server is not None:
            self.outbox.append((self._arrives(), kind, body))

    def receive(self, state: State) -> None:
        """Let a state be on its way to this host."""
        self.inbox.append((self._arrives(), state))
        if self.scrambled and self.world.random.random() < 0.3:
            self.inbox.append((self._arrives(), state))
        if not self.scrambled:
            self._in_order()

    def _arrives(self) -> float:
        return self.world.time + self.world.random.choice((0.0, 0.0, self.delay / 2, self.delay))

    def _in_order(self) -> None:
        """A stream keeps its order: what is late holds up what comes after it."""
        if len(self.inbox) > 1 and self.inbox[-1][0] < self.inbox[-2][0]:
            self.inbox[-1] = (self.inbox[-2][0], self.inbox[-1][1])

    def cut(self) -> None:
        """The connection breaks, with everything in it; the server may not notice."""
        if self.server is not None and self.linked:
            self.server.hung_up(self.name)
        self.server, self.dead_link, self.ended = None, False, False
        self.inbox.clear()
        self.outbox.clear()
        self.reconnect_at = self.world.time + self.world.random.choice((1, 2, 4))
        self.plan = policy.disconnected(self.plan)

    def _commit(self) -> None:
        self.world.oracle.committed(self)
        self.committed, self.ordered = True, self.plan.ordered
        if not self.stubborn:
            self.machine = "going"
            self.until = self.world.time + self.world.random.choice((5, 20, 60))

    # What happens to it.
    def goes_off(self) -> None:
        """Its machine stops, by its own commands or because the power is gone."""
        self.cut()
        self.machine, self.asleep, self.dead_link, self.woken = "off", False, False, False

    def wakes(self, seconds: float, *, woken: bool = False) -> None:
        """By a magic packet, by hand, or because its mains are back."""
        if self.machine == "off" and self.world.power:
            self.machine, self.until = "booting", self.world.time + seconds
            self.woken = woken

    def start(self) -> None:
        """A boot: what was in /run is gone."""
        self.cut()
        self.machine, self.asleep, self.dead_link, self.stubborn = "on", False, False, False
        self.boots += 1
        self.booted, self.slept, self.stopped_until = self.world.time - 5.0, 0.0, 0.0
        self.plan, self.saved, self.committed, self.ordered = Plan(), None, False, False
        self.quiet = 0.0
        self.world.oracle.booted(self)

    def save(self) -> None:
        self.saved, self.saved_at = self.plan, self.world.time

    def restart(self, seconds: float, *, crash: bool, version: str) -> None:
        """The process ends; the next one, of this version or another, finds what was kept."""
        if not self.acts:
            return
        if not crash:
            self.save()
        self.cut()
        record = json.loads(json.dumps(to_json(self.saved or Plan())))
        if version == "older":
            record = {name: record[name] for name in FIRST}
        elif version == "newer":
            record |= {"later": {"x": [1]}, "much_later": "y"}
        self.stop(seconds)
        CLOCKS.boot = self.world.time + seconds - self.booted
        CLOCKS.running = CLOCKS.boot - self.slept
        body = {"boot_id": self.boot_id, "plan": record}
        with (
            mock.patch.object(kept, "read_json", return_value=body),
            mock.patch.object(kept, "boot_id", return_value=self.boot_id),
        ):
            self.plan = kept.load_plan(Path(), clock.now())
        self.world.oracle.restarted(self)

    def stop(self, seconds: float) -> None:
        """SIGSTOP, a machine that is overloaded, or nobody there for that long."""
        if self.on and not self.asleep:
            self.stopped_until = self.world.time + seconds
            self.world.oracle.stopped(self, seconds)

    def reload(self, text: str) -> None:
        """SIGHUP with this file; a bad one changes nothing."""
        if not self.acts:
            return
        try:
            rules = rules_of(parse(text, ClientConfig).config)
        except ConfigError:
            return
        self.rules = replace(rules, upses=())
        self.cut()
        self.world.oracle.reloaded(self)

    def suspend(self) -> None:
        """What arrives as it falls asleep is read after the resume, from a dead connection."""
        if not self.acts or self.machine != "on":
            return
        server = self.server
        if server is not None and self.linked and server.runs:
            self.inbox.append((self.world.time, server.state(self, self.plan.nonce, 1)))
        self.asleep, self.dead_link = True, server is not None
        self.slept_before = self.slept

    def resume(self) -> None:
        """A sleep of no time at all is none."""
        if self.asleep:
            self.asleep = False
            if self.slept == self.slept_before:
                self.dead_link = False
            else:
                self.world.oracle.resumed(self)


def through_the_wire(state: State) -> State:
    """Return what a client makes of the bytes, which a newer server may have sent."""
    line = encode(state).replace(b'{"type"', b'{"later":{"x":[null]},"type"', 1)
    told = decode(line)
    assert isinstance(told, State)
    assert told == state
    return told


assert set(FIRST) <= {field.name for field in fields(Plan)}
