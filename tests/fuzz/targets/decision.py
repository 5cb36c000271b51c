"""A story for a client's core, a step a line: no shutdown but by a known outage, or an order.

| line         | what happens                                       |
|--------------|----------------------------------------------------|
| `{…`         | the server says this                               |
| `+ SECONDS`  | time passes, and nobody says anything              |
| `! SECONDS`  | this process stands still                          |
| `z SECONDS`  | the host sleeps                                    |
| `~`          | the connection breaks, and is there again          |
| `=`          | the process ends and is started again              |
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fuzzing import expect
from words import JSON, MESSAGES, RULES

from powmonman.core import policy
from powmonman.core.feeds import host_power
from powmonman.core.messages import ProtocolError, State, decode
from powmonman.core.plan import Command, Now, Phase, Plan, Rules, Run
from powmonman.core.power import PowerState
from powmonman.core.records import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = (*JSON, *MESSAGES, *RULES, b"\n+ 15\n", b"\n! 20\n", b"\nz 60\n", b"\n~\n", b"\n=\n")
LARGEST = 4096
MOST_STEPS = 60
MOST_TURNS, SHORTEST_TURN = 40, 0.2
RULES_OF_HOST = Rules(upses=("ups",), wait_for=("web",), wait_timeout=30.0, min_observe=20.0)


@dataclass
class Host:
    """A client's plan, and what an honest bystander has heard."""

    plan: Plan = field(default_factory=Plan)
    running: float = 1000.0
    asleep: float = 0.0
    known: PowerState = PowerState.UNKNOWN
    ordered: bool = False
    connected: bool = False

    @property
    def now(self) -> Now:
        return Now(self.running, self.running + self.asleep)

    def connect(self) -> None:
        self.connected = True
        self._take(policy.connected(self.plan, self.now))

    def hear(self, state: State) -> None:
        forgotten = self.plan.woken
        if not (forgotten and dict(self.plan.pings).get(state.echo) is None):
            power = host_power(state.upses, RULES_OF_HOST).state
            self.known = self.known if power is PowerState.UNKNOWN else power
            self.ordered |= state.own.order is not None
        step = policy.heard(self.plan, state, RULES_OF_HOST, self.now)
        self._take(step)
        if self.known is PowerState.ON_MAINS and not self.ordered:
            expect(self.plan.phase in {Phase.IDLE, Phase.COMMITTED}, "S5: the mains did not cancel")

    def live(self, seconds: float, *, stalled: bool = False) -> None:
        end = self.running + seconds
        for _ in range(MOST_TURNS):
            if self.running >= end:
                break
            due = end if stalled else max(self.plan.wake_at, self.running + SHORTEST_TURN)
            self.running = min(end, due)
            self._take(policy.passed(self.plan, RULES_OF_HOST, self.now, connected=self.connected))

    def sleep(self, seconds: float) -> None:
        self.asleep += seconds
        self.plan = policy.disconnected(self.plan)
        if seconds >= 1.0:
            self.known, self.ordered = PowerState.UNKNOWN, False
        self._take(policy.passed(self.plan, RULES_OF_HOST, self.now, connected=False))
        self.connect()

    def restart(self) -> None:
        kept = json.dumps(to_json(self.plan))
        self.plan = policy.disconnected(from_json(Plan, json.loads(kept)))
        expect(len(kept) < 64 * 1024, "the plan grows")
        self.connect()

    def _take(self, step: tuple[Plan, list[Command]]) -> None:
        before, (self.plan, commands) = self.plan, step
        runs = sum(isinstance(command, Run) for command in commands)
        expect(runs <= 1, "S4: two runs at once")
        if runs and not self.ordered:
            expect(self.known is PowerState.ON_BATTERY, "S1, S2: a commit without a known outage")
            expect(before.phase is not Phase.COMMITTED, "S4: a second commit")
        expect(len(commands) < 20, "more commands than one step can mean")
        left = self.plan.left(RULES_OF_HOST)
        expect(left is None or left >= 0, "negative time is left")


def target(data: bytes) -> None:
    host = Host()
    host.connect()
    for line in data.split(b"\n")[:MOST_STEPS]:
        mark, seconds = line[:1], _seconds(line[1:])
        if mark == b"+":
            host.live(seconds)
        elif mark == b"!":
            host.live(seconds, stalled=True)
        elif mark == b"z":
            host.sleep(seconds)
        elif mark == b"~":
            host.plan = policy.disconnected(host.plan)
            host.connect()
        elif mark == b"=":
            host.restart()
        else:
            try:
                said = decode(line)
            except ProtocolError:
                continue
            if isinstance(said, State):
                host.hear(said)


def hostile() -> Iterator[bytes]:
    state = (
        b'{"type":"state","id":"s","lease":1e308,"policy":{"after":%b},"upses":{"ups":%b},"echo":1}'
    )
    for after in (b"0", b"-1e308", b"1e308"):
        for said in (
            b'{"state":"on_battery","spent":1e308,"age":1e308}',
            b'{"state":"on_battery","spent":-1e308,"charge":-1e308,"charge_at_start":1e308}',
            b'{"state":"on_mains","spent":1e308}',
            b'{"state":"unknown"}',
        ):
            yield b"\n".join(
                [state % (after, said), b"+ 59", b"! 600", b"z 600", b"~", b"=", b"+ 59"]
            )
    yield b"~\n" * MOST_STEPS
    yield b"+ 59\n" * MOST_STEPS


def _seconds(text: bytes) -> float:
    try:
        value = float(text)
    except ValueError:
        return 1.0
    return value if 0 <= value <= 1e6 else 1.0
