"""A light client: one that has no process, no files and no commands of its own.

On the wire it is a client: it proves who it is by its own certificate, says hello, acknowledges
every state with a nonce, reports its phase, takes a server that is silent for a lease for lost, and
comes back with the product's own back-off. With rules it goes by the product's own `core.policy`
too, as the true client does; without, it only listens, and reports the phase that a client would be
in. It has no diary.
"""

from __future__ import annotations

import contextlib
import errno
import random
import socket
import ssl
import time
from typing import TYPE_CHECKING

from powmonman import __version__
from powmonman.client.connector import FIRST_BACKOFF, backoff
from powmonman.client.link import CONNECT_TIMEOUT
from powmonman.client.telling import status_of
from powmonman.core import policy
from powmonman.core.messages import (
    Ack,
    Hello,
    Lines,
    Message,
    Ping,
    ProtocolError,
    State,
    Status,
    encode,
)
from powmonman.core.plan import NEVER, Acknowledge, Ask, Phase, Plan, Rules, Run
from powmonman.core.power import PowerState
from powmonman.net.tls import TlsPipe, client_context
from powmonman.service.clock import boot_id, now

from .countdown import Countdown
from .event_loop import READ, WRITE
from .state_reader import heard

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .event_loop import EventLoop


class LightClient:
    """All times are CLOCK_MONOTONIC, in seconds.

    Attributes:
        power: What it was told last: `on_battery`, or `on_battery, low`.
        power_at: When it was first told so.
        state: The id of the newest state, and `state_at` when that came first.
        told_at: When its present connection told it the first state; None: it has not.
        attempts: How often it has tried to connect.
        plan: What it goes by; None: it only listens.
        countdown: What has become of that of its plan.
    """

    def __init__(
        self,
        loop: EventLoop,
        name: str,
        identity: Path,
        port: int,
        *,
        rules: Rules | None,
        changed: Callable[[LightClient], None],
    ) -> None:
        """`changed` is called when it has been told something, and when its connection is lost."""
        self._loop = loop
        self.name = name
        self._context = client_context(identity)
        self._port = port
        self._rules = rules
        self._changed = changed
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
        self.countdown = Countdown()

    def connect(self) -> None:
        """Begin to connect."""
        self.attempts += 1
        self._socket = sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pipe = TlsPipe(self._context, server_side=False)
        self._lines, self._unsent, self._greeted = Lines(), b"", False
        self._phase = ""
        error = sock.connect_ex(("127.0.0.1", self._port))
        if error not in {0, errno.EINPROGRESS}:
            self._lost()
            return
        self._loop.watch(sock, self._ready, READ | WRITE)
        self._loop.at(time.monotonic() + CONNECT_TIMEOUT, self._in_time, sock)

    def _in_time(self, sock: socket.socket) -> None:
        if sock is self._socket and self._pipe is not None and not self._pipe.handshaken:
            self._lost()

    def _ready(self, mask: int) -> None:
        try:
            if mask & WRITE:
                self._flush()
            if mask & READ:
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
        self._loop.at(self._heard_at + self._lease, self._alive, self._socket)
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
        self._changed(self)
        self._loop.when_all_is_read(self._answer, state)

    def _answer(self, state: State) -> None:
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

    def _pass_time(self, due: int) -> None:
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
        self.countdown.look(self.plan, self._rules or Rules())
        self._wakes += 1
        if self.plan.wake_at != NEVER:
            self._loop.at(self.plan.wake_at, self._pass_time, self._wakes)
        for command in commands:
            match command:
                case Acknowledge(seq, nonce):
                    self._say(Ack(seq, nonce))
                case Ask(nonce):
                    self._say(Ping(nonce) if self._greeted else self._hello(nonce))
                    self._greeted = True
                case Run(reason):
                    self.countdown.faults.append(f"committed: {reason}")
        if self.told_at is not None and self.plan.phase != self._phase:
            self._phase = self.plan.phase
            self._say(status_of(self.plan, left=self.plan.left(self._rules or Rules())))

    def _alive(self, sock: socket.socket) -> None:
        """A server that says nothing for a lease is gone."""
        if sock is not self._socket:
            return
        due = self._heard_at + self._lease
        if time.monotonic() >= due:
            self._lost()
        else:
            self._loop.at(due, self._alive, sock)

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
        self._loop.watch(self._socket, self._ready, READ | WRITE if self._unsent else READ)

    def _lost(self) -> None:
        """Come back as `client.connector` does."""
        worked = self.told_at is not None
        self._hang_up()
        moment = time.monotonic()
        if self.plan is not None:
            self.plan = policy.disconnected(self.plan)
        if worked:
            wait = random.uniform(0, FIRST_BACKOFF)  # noqa: S311 (jitter)
        else:
            self._failures += 1
            longest = backoff(self._failures)
            wait = random.uniform(longest / 2, longest)  # noqa: S311
        self._loop.at(moment + wait, self._again)
        self._changed(self)

    def _again(self) -> None:
        if self._socket is None:
            self.connect()

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._loop.forget(self._socket)
            self._socket.close()
        self._socket = self._pipe = self.told_at = None
