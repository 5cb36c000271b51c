"""Bytes of a server to a client's process: nothing but a known outage, or an order, shuts it down.

The agent is the real one; its clock is virtual, and its requests are counted instead of made.
"""

from __future__ import annotations

import selectors
import socket
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from fuzzing import Deaf, cut, emptied, expect, instead
from words import JSON, MESSAGES

from powmonman.client.agent import Agent
from powmonman.client.link import Link
from powmonman.config.schema import ClientConfig
from powmonman.core import policy
from powmonman.core.messages import LONGEST_LINE, Error, ProtocolError, State, decode
from powmonman.core.plan import Now, Phase, Plan
from powmonman.core.power import PowerState
from targets import messages as lines
from targets.session import Open

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WORDS = JSON + MESSAGES
LARGEST = 4096
BEGAN = 1000.0
ON_MAINS = (
    b'{"type":"state","id":"s","lease":15,"policy":{},"echo":%d,'
    b'"upses":{"ups":{"state":"on_mains"}}}\n'
)


class Clock:
    """Both clocks of a client; they stand still unless they are told."""

    moment = BEGAN

    def now(self) -> Now:
        return Now(self.moment, self.moment)


_CLOCK = Clock()


class Wire:
    """A socket that hands over given pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]
        self._descriptor = _sockets()[0].fileno()

    def fileno(self) -> int:
        return self._descriptor

    def recv(self, _: int) -> bytes:
        if not self._pieces:
            raise BlockingIOError
        return self._pieces.pop(0)

    def send(self, data: bytes) -> int:
        return len(data)

    def close(self) -> None: ...


@cache
def _sockets() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair()


class Client:
    """A client that is connected, and has been told that all is well."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.runs = 0
        directory = emptied("client")
        config = ClientConfig(
            state_dir=str(directory), runtime_dir=str(directory), warn_users=False
        )
        self.agent = Agent(Path("client.yml"), config, Deaf())
        self.agent._connector = Deaf()
        self.agent._diary._keep = lambda: None
        self.agent._remember = lambda _: None
        self.agent._shut_down = self._shut_down
        self.agent._drill = Deaf(wake_at=None)
        self.wire, self.pipe = Wire(pieces), Open()
        link = Link(self.wire, self.pipe, "192.0.2.1", 7444, LONGEST_LINE)
        self.agent._adopt(self.agent._connector, link)

    def _shut_down(self, _: str) -> None:
        self.runs += 1

    @property
    def connected(self) -> bool:
        return self.agent._link is not None

    @property
    def plan(self) -> Plan:
        return self.agent._plan

    def reads(self) -> None:
        """Take all that has arrived."""
        while self.wire._pieces and self.connected:
            self.agent._serve_link(selectors.EVENT_READ)

    def lives(self, seconds: int) -> None:
        """Let time pass without a word of anybody."""
        agent = self.agent
        while _CLOCK.moment < BEGAN + seconds:
            _CLOCK.moment = max(_CLOCK.moment + 0.5, agent._plan.wake_at)
            agent._take(
                policy.passed(agent._plan, agent._rules, _CLOCK.now(), connected=self.connected)
            )

    def close(self) -> None:
        agent = self.agent
        agent._selector.close()
        agent._wake.close()
        agent._woken.close()


def target(data: bytes) -> None:
    whole, pieces = cut(data)
    with instead(
        {
            "powmonman.client.agent.now": _CLOCK.now,
            "powmonman.client.diary.boottime": lambda: _CLOCK.moment,
            "powmonman.client.agent.notify": Deaf(),
            "powmonman.client.agent.client_context": lambda _: None,
            "powmonman.client.connector.mac_addresses": lambda: (),
        }
    ):
        _CLOCK.moment = BEGAN
        _listen(whole, pieces)


def _listen(whole: bytes, pieces: list[bytes]) -> None:
    greeting = [ON_MAINS % 1]
    clients = Client([*greeting, whole]), Client([*greeting, *pieces])
    once, again = clients
    try:
        for each in clients:
            each.reads()
        expect(once.plan == again.plan, "what a client knows depends on how the bytes are cut")
        expect(once.connected == again.connected, "so does whether it hangs up")
        expect(len(once.pipe.said) <= 4 * len(whole) + LONGEST_LINE, "it answers too much")
        _follow(once, whole)
    finally:
        for each in clients:
            each.close()


def hostile() -> Iterator[bytes]:
    for each in lines.hostile():
        yield b"1" + each + b"\n"
    news = b'"a%d":{"state":"on_battery","outage":"o%d"}'
    yield b"1" + b'{"type":"state","id":"s","lease":1,"policy":{},"upses":{%b}}\n' % b",".join(
        news % (n, n) for n in range(1000)
    )
    yield b"1" + ON_MAINS % 1 * 400


def _follow(client: Client, whole: bytes) -> None:
    """See that the client did what the lines say that it could read, and nothing else."""
    battery = ordered = False
    for line in whole.split(b"\n")[:-1]:
        try:
            said = decode(line)
        except ProtocolError:
            said = None
        if said is None or isinstance(said, Error) or len(line) > LONGEST_LINE:
            expect(not client.connected, f"no message, and not hung up on: {line[:80]!r}")
            break
        if isinstance(said, State):
            battery |= any(ups.state is PowerState.ON_BATTERY for ups in said.upses.values())
            ordered |= said.own.order is not None
    if not battery and not ordered:
        expect(client.plan.phase is Phase.IDLE, "S2: it counts without an outage")
        expect(client.plan.power is PowerState.ON_MAINS, "it forgot what was certain")
    client.lives(90)
    if not battery and not ordered:
        expect(client.runs == 0, "S2: it shut down without an outage")
    expect(client.runs <= 1, "S4: it shut down twice")
