"""One process of a swarm: many light clients, each with a TLS connection of its own, in one thread.

A light client has no process, no files and no commands; on the wire it is a client: it proves who
it is by its own certificate, says hello, acknowledges every state with a nonce, reports its phase,
takes a server that is silent for a lease for lost, and comes back with the product's own back-off.
With `plan` each goes by the product's own `core.policy` too, as the true client does. None has a
diary.

It reads its orders as JSON lines from the standard input, and answers each that is fulfilled with
one line, if no other has come meanwhile: see `swarm`. It ends with its input.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import json
import os
import random
import resource
import selectors
import socket
import ssl
import sys
import time
from collections import deque
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from powmonman import __version__
from powmonman.client.connector import FIRST_BACKOFF, LONGEST_BACKOFF
from powmonman.client.link import CONNECT_TIMEOUT
from powmonman.client.telling import status_of
from powmonman.core import policy
from powmonman.core.messages import (
    Ack,
    Hello,
    Lines,
    Message,
    Own,
    Ping,
    ProtocolError,
    State,
    Status,
    decode,
    encode,
)
from powmonman.core.plan import NEVER, Acknowledge, Ask, Phase, Plan, Rules, Run
from powmonman.core.power import PowerState
from powmonman.core.records import from_json, parse
from powmonman.net.tls import TlsPipe, client_context
from powmonman.service.clock import boot_id, now

if TYPE_CHECKING:
    from collections.abc import Callable

# Handshakes at once while the swarm first gathers: more of them would only wait for the processor.
GATHERING = 32
SPARE_FILES = 64
_READ, _BOTH = selectors.EVENT_READ, selectors.EVENT_READ | selectors.EVENT_WRITE
_OWN = b',"own":'


@lru_cache(16)
def _shared(part: bytes) -> State:
    """Read what a state says to all: one push is the same for everybody, up to its own part."""
    message = decode(part + b"}")
    if not isinstance(message, State):
        raise ProtocolError(f"not a state: {message}")
    return message


def heard(line: bytes) -> State:
    """Return the state in a line, as `messages.decode` does."""
    shared, mark, own = line.partition(_OWN)
    if not mark:
        raise ProtocolError(f"not a state: {decode(line)}")
    rest = parse(b'{"own":' + own)
    said = from_json(Own, rest["own"]) if rest["own"] else Own()
    return replace(_shared(shared), own=said, seq=rest["seq"], echo=rest["echo"])


class LightClient:
    """One client of the swarm; all times are CLOCK_MONOTONIC, in seconds.

    Attributes:
        power: What it was told last: `on_battery`, or `on_battery, low`.
        power_at: When it was first told so.
        state: The id of the newest state, and `state_at` when that came first.
        told_at: When its present connection told it the first state; None: it has not.
        plan: What it goes by; None: it only listens.
        deadline: Of its countdown, when it was first looked at; None: it has none.
        shifts: By how much the deadline has moved since, at the least and the most.
        faults: What must not happen to a countdown, in words.
    """

    def __init__(self, swarm: Swarm, name: str, identity: Path, rules: Rules | None) -> None:
        self._swarm = swarm
        self.name = name
        self._context = client_context(identity)
        self._rules = rules
        self._socket: socket.socket | None = None
        self._pipe: TlsPipe | None = None
        self._lines = Lines()
        self._unsent = b""
        self._nonce = 0
        self._failures = 0
        self._greeted = False
        self._phase = ""
        self._heard_at = 0.0
        self._lease = 15.0
        self._wakes = 0
        self.plan = Plan() if rules is not None else None
        self.power = ""
        self.power_at = 0.0
        self.state = ""
        self.state_at = 0.0
        self.told_at: float | None = None
        self.attempts = 0
        self.deadline: float | None = None
        self.shifts = [0.0, 0.0]
        self.faults: list[str] = []

    def connect(self) -> None:
        """Begin to connect."""
        self.attempts += 1
        self._socket = sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pipe = TlsPipe(self._context, server_side=False)
        self._lines, self._unsent, self._greeted = Lines(), b"", False
        self._phase = ""
        error = sock.connect_ex(("127.0.0.1", self._swarm.port))
        if error not in {0, errno.EINPROGRESS}:
            self._lost()
            return
        self._swarm.watch(sock, self, _BOTH)
        self._swarm.at(time.monotonic() + CONNECT_TIMEOUT, self._in_time, sock)

    def _in_time(self, sock: socket.socket) -> None:
        if sock is self._socket and self._pipe is not None and not self._pipe.handshaken:
            self._lost()

    def ready(self, mask: int) -> None:
        """Serve the socket."""
        try:
            if mask & selectors.EVENT_WRITE:
                self._flush()
            if mask & _READ:
                self._receive()
        except (OSError, ssl.SSLError, ProtocolError):
            self._lost()

    def _receive(self) -> None:
        if self._socket is None or self._pipe is None:
            return
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        if not data:
            raise OSError("the server closed the connection")
        shaken = self._pipe.handshaken
        plain = self._pipe.receive(data)
        if not shaken:
            self._flush()
            if self._pipe.handshaken:
                self._greet()
        for line in self._lines.feed(plain):
            self._hear(heard(line))
        if self._pipe is not None and self._pipe.eof:
            raise OSError("the server said goodbye")

    def _greet(self) -> None:
        self._heard_at = time.monotonic()
        self._swarm.at(self._heard_at + self._lease, self._alive, self._socket)
        if self.plan is not None:
            self._take(policy.connected(self.plan, now(), self._rules))
            return
        self._nonce += 1
        self._say(self._hello(self._nonce))

    def _hello(self, nonce: int) -> Hello:
        rules = vars(self._rules) if self._rules is not None else {}
        macs = ("02:00:00:00:00:01",)
        return Hello(**rules, nonce=nonce, version=__version__, boot_id=boot_id(), macs=macs)

    def _hear(self, state: State) -> None:
        self._heard_at = moment = time.monotonic()
        self._lease, self._failures = state.lease, 0
        news = next(iter(state.upses.values()))
        power = f"{news.state}, low" if news.low_battery else str(news.state)
        if state.id != self.state:
            self.state, self.state_at = state.id, moment
        if power != self.power:
            self.power, self.power_at = power, moment
        if self.told_at is None:
            self.told_at = moment
            self._swarm.gathered(self)
        self._swarm.changed(self)
        self._swarm.answer_later(self, state)

    def answer(self, state: State) -> None:
        """Act on a state, and answer it."""
        if self.told_at is None:
            return
        try:
            if self.plan is not None and self._rules is not None:
                self._take(policy.heard(self.plan, state, self._rules, now()))
            else:
                self._nonce += 1
                self._say(Ack(state.seq, self._nonce))
                self._report(state)
        except (OSError, ssl.SSLError):
            self._lost()

    def _report(self, state: State) -> None:
        """Report a phase as a client would that is told so."""
        news = next(iter(state.upses.values()))
        phase = Phase.COUNTING if news.state is PowerState.ON_BATTERY else Phase.IDLE
        if phase != self._phase:
            self._phase = phase
            left = state.policy.after - news.spent if phase is Phase.COUNTING else None
            self._say(Status(phase, news.state, left, news.outage))

    def pass_time(self, due: int) -> None:
        """Let time pass for the plan, unless something has been decided since."""
        if due != self._wakes or self.plan is None or self._rules is None:
            return
        connected = self.told_at is not None
        try:
            self._take(policy.passed(self.plan, self._rules, now(), connected=connected))
        except (OSError, ssl.SSLError):
            self._lost()

    def _take(self, step: policy.Step) -> None:
        self.plan, commands = step
        self._judge(self.plan)
        self._wakes += 1
        if self.plan.wake_at != NEVER:
            self._swarm.at(self.plan.wake_at, self.pass_time, self._wakes)
        for command in commands:
            match command:
                case Acknowledge(seq, nonce):
                    self._say(Ack(seq, nonce))
                case Ask(nonce):
                    self._say(Ping(nonce) if self._greeted else self._hello(nonce))
                    self._greeted = True
                case Run(reason):
                    self.faults.append(f"committed: {reason}")
        if self.told_at is not None and self.plan.phase != self._phase:
            self._phase = self.plan.phase
            self._say(status_of(self.plan, left=self.plan.left(self._rules or Rules())))

    def _judge(self, plan: Plan) -> None:
        """See whether the countdown is what it was."""
        left = plan.left(self._rules or Rules())
        if left is None or plan.last is None:
            if self.deadline is not None:
                self.faults.append(f"no countdown any more: {plan.phase}")
                self.deadline = None
            return
        deadline = plan.last.running + left
        if self.deadline is None:
            self.deadline = deadline
        shift = deadline - self.deadline
        self.shifts = [min(self.shifts[0], shift), max(self.shifts[1], shift)]

    def _alive(self, sock: socket.socket) -> None:
        """A server that says nothing for a lease is gone."""
        if sock is not self._socket:
            return
        due = self._heard_at + self._lease
        if time.monotonic() >= due:
            self._lost()
        else:
            self._swarm.at(due, self._alive, sock)

    def _say(self, message: Message) -> None:
        if self._pipe is None or self._socket is None:
            return
        self._pipe.send(encode(message))
        self._flush()

    def _flush(self) -> None:
        if self._socket is None or self._pipe is None:
            return
        self._unsent += self._pipe.outgoing()
        if self._unsent:
            with contextlib.suppress(BlockingIOError):
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        self._swarm.watch(self._socket, self, _BOTH if self._unsent else _READ)

    def _lost(self) -> None:
        """Come back as `client.connector` does."""
        worked = self.told_at is not None
        self.hang_up()
        moment = time.monotonic()
        if self.plan is not None:
            self.plan = policy.disconnected(self.plan)
        if worked:
            wait = random.uniform(0, FIRST_BACKOFF)  # noqa: S311 (jitter)
        else:
            self._failures += 1
            longest = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(self._failures, 10))
            wait = random.uniform(longest / 2, longest)  # noqa: S311
        self._swarm.at(moment + wait, self._again)
        self._swarm.changed(self)

    def _again(self) -> None:
        if self._socket is None:
            self.connect()

    def hang_up(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._swarm.forget(self._socket)
            self._socket.close()
        self._socket = self._pipe = self.told_at = None


class Swarm:
    """All clients of this process."""

    def __init__(self, port: int, identities: dict[str, str], rules: Rules | None) -> None:
        self.port = port
        self._selector = selectors.EpollSelector()
        self._timers: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._timed = 0
        self._clients = [LightClient(self, n, Path(i), rules) for n, i in identities.items()]
        self._unanswered: list[tuple[LightClient, State]] = []
        self._gathering: deque[LightClient] = deque(self._clients)
        self._moments: dict[str, float] = {}
        self._awaited: Callable[[LightClient], float | None] | None = None
        self._missing: set[LightClient] = set()
        self._order = 0
        self._orders = b""
        self._ended = False
        os.set_blocking(sys.stdin.fileno(), False)
        self._selector.register(sys.stdin.fileno(), _READ)

    def run(self) -> None:
        """Live until the input ends."""
        for _ in range(GATHERING):
            self._gather()
        while not self._ended:
            wait = self._timers[0][0] - time.monotonic() if self._timers else 1.0
            for key, mask in self._selector.select(max(0.0, wait)):
                if isinstance(key.data, LightClient):
                    key.data.ready(mask)
                else:
                    self._obey()
            answers, self._unanswered = self._unanswered, []
            for client, state in answers:
                client.answer(state)
            while self._timers and self._timers[0][0] <= time.monotonic():
                _, _, call, arguments = heapq.heappop(self._timers)
                call(*arguments)

    def at(self, moment: float, call: Callable[..., None], *arguments: Any) -> None:
        """Call something then."""
        self._timed += 1
        heapq.heappush(self._timers, (moment, self._timed, call, arguments))

    def watch(self, sock: socket.socket, client: LightClient, events: int) -> None:
        """Serve the socket of a client."""
        key = self._selector.get_map().get(sock)
        if key is None:
            self._selector.register(sock, events, client)
        elif key.events != events:
            self._selector.modify(sock, events, client)

    def forget(self, sock: socket.socket) -> None:
        """Serve it no more."""
        if sock in self._selector.get_map():
            self._selector.unregister(sock)

    def answer_later(self, client: LightClient, state: State) -> None:
        """Answer when all that has come has been read: hosts of their own don't wait in turn."""
        self._unanswered.append((client, state))

    def _gather(self) -> None:
        if self._gathering:
            self._gathering.popleft().connect()

    def gathered(self, _: LightClient) -> None:
        """One is there: the next one may come."""
        self._gather()

    def _obey(self) -> None:
        try:
            data = os.read(sys.stdin.fileno(), 65536)
        except BlockingIOError:
            return
        if not data:
            self._ended = True
            return
        *orders, self._orders = (self._orders + data).split(b"\n")
        for order in orders:
            self._carry_out(json.loads(order))

    def _carry_out(self, order: dict[str, Any]) -> None:
        what, value = order["what"], order.get("value", 0.0)
        self._awaited, self._order = None, order["order"]
        if what == "told":
            since = float(value)
            self._await(lambda c: c.told_at if c.told_at and c.told_at >= since else None)
        elif what == "power":
            self._await(lambda c: c.power_at if c.told_at and c.power == value else None)
        elif what == "state":
            self._await(lambda c: c.state_at if c.told_at and c.state == value else None)
        elif what == "connections":
            self._answer({c.name: c.told_at for c in self._clients if c.told_at is not None})
        elif what == "settle":
            for client in self._clients:
                client.deadline, client.shifts = None, [0.0, 0.0]
            self._answer({})
        else:
            self._answer(self._countdowns() if what == "countdowns" else self._moments)

    def _await(self, moment: Callable[[LightClient], float | None]) -> None:
        """Answer as soon as each client has its moment."""
        self._awaited = moment
        self._moments = {}
        self._missing = set(self._clients)
        for client in self._clients:
            self.changed(client)

    def changed(self, client: LightClient) -> None:
        """Something has become of a client: that may have been the last one missing."""
        if self._awaited is None or client not in self._missing:
            return
        moment = self._awaited(client)
        if moment is not None:
            self._moments[client.name] = moment
            self._missing.discard(client)
        if not self._missing:
            self._awaited = None
            self._answer(self._moments)

    def _countdowns(self) -> dict[str, Any]:
        return {
            client.name: {
                "counting": client.deadline is not None,
                "shifts": client.shifts,
                "faults": client.faults,
                "attempts": client.attempts,
            }
            for client in self._clients
        }

    def _answer(self, answer: object) -> None:
        print(json.dumps([self._order, answer]), flush=True)


def main() -> None:
    """Read the first order, which says who is in the swarm, and live."""
    # Unbuffered: what follows the first line is for `Swarm`.
    with open(0, "rb", buffering=0, closefd=False) as orders:
        first = json.loads(orders.readline())
    files = len(first["identities"]) + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(files, hard), hard))
    rules = from_json(Rules, first["rules"]) if first["rules"] is not None else None
    Swarm(first["port"], first["identities"], rules).run()


if __name__ == "__main__":
    main()
