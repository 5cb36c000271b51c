"""Peers that don't keep to the rules: callers of the server, and servers that are none."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from powmonman.core.messages import Hello, encode
from powmonman.net.tls import TlsPipe, client_context, server_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HELLO = encode(Hello(nonce=1, version="odd"))
TIMEOUT = 10.0


class Caller:
    """Somebody with a certificate who says what he likes to a server."""

    def __init__(self, identity: Path | ssl.SSLContext, port: int, *, buffer: int = 0) -> None:
        self._socket = socket.socket()
        if buffer:
            # Before the connection, or the window is already open.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self._socket.settimeout(TIMEOUT)
        context = identity if isinstance(identity, ssl.SSLContext) else client_context(identity)
        self._pipe = TlsPipe(context, server_side=False)
        self._heard = b""
        self.closed = False
        try:
            self._socket.connect(("127.0.0.1", port))
            while not self._pipe.handshaken:
                self._socket.sendall(self._pipe.outgoing())
                self._receive()
            self._socket.sendall(self._pipe.outgoing())
        except BaseException:
            self._socket.close()
            raise

    def says(self, data: bytes) -> None:
        """Send `data` within the session; a server that hangs up meanwhile is no fault."""
        self._pipe.send(data)
        with contextlib.suppress(OSError):
            self._socket.sendall(self._pipe.outgoing())

    def hears(self) -> dict[str, Any]:
        """Return the next message; empty when the server has hung up."""
        while b"\n" not in self._heard and not self.closed:
            self._receive()
        line, _, self._heard = self._heard.partition(b"\n")
        return dict(json.loads(line)) if line else {}

    def hears_the_end(self) -> str:
        """Read until the server hangs up; return the reason that it gave."""
        reason = ""
        while message := self.hears():
            reason = message.get("reason", "") if message["type"] == "error" else reason
        return reason

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _receive(self) -> None:
        """Take what comes; a refusal in TLS or TCP ends the call."""
        try:
            data = self._socket.recv(65536)
            self._heard += self._pipe.receive(data)
        except (ssl.SSLError, ConnectionError):
            data = b""
        if not data:
            self.closed = True
            if not self._pipe.handshaken:
                raise ConnectionError("no handshake")


class FalseServer:
    """A server that is none, or a true one that was taken over; what it says is `answer`'s.

    `answer` is given all that it has heard in this call, and how often it was asked; whatever it
    returns is said. By itself it tells everybody of an old outage.
    """

    def __init__(
        self,
        identity: Path | ssl.SSLContext,
        port: int,
        answer: Callable[[bytes, int], bytes] = lambda _, turn: outage(turn),
    ) -> None:
        context = identity if isinstance(identity, ssl.SSLContext) else server_context(identity)
        self._context, self._answer = context, answer
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", port))
        self._listener.listen()
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self.calls = 0
        self.heard = b""

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.calls += 1
                with connection, contextlib.suppress(OSError, ssl.SSLError):
                    connection.settimeout(TIMEOUT)
                    self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        pipe = TlsPipe(self._context, server_side=True)
        before, turn = len(self.heard), 0
        while True:
            data = connection.recv(65536)
            try:
                self.heard += pipe.receive(data)
            finally:
                connection.sendall(pipe.outgoing())
            if not data:
                return
            if pipe.handshaken:
                turn += 1
                pipe.send(self._answer(self.heard[before:], turn))
                connection.sendall(pipe.outgoing())

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(TIMEOUT)


def nonce(heard: bytes) -> int:
    """Return the last one that a client has said, 0 before the first."""
    return int(re.findall(rb'"nonce":(\d+)', b'"nonce":0' + heard)[-1])


def outage(sequence: int, *, echo: int = 1, lease: float = 1.0) -> bytes:
    """Return a state that tells of an old outage."""
    battery = {"state": "on_battery", "outage": "f" * 32, "age": 1000.0, "spent": 1000.0}
    return _state(battery, sequence, echo, lease)


def mains(sequence: int, *, echo: int, lease: float = 1.0) -> bytes:
    """Return a state that says that all is well."""
    return _state({"state": "on_mains"}, sequence, echo, lease)


def _state(ups: dict[str, Any], sequence: int, echo: int, lease: float) -> bytes:
    policy = {"after": 1.0, "refill_ratio": 10.0}
    state = {"type": "state", "id": "e" * 32, "lease": lease, "policy": policy}
    told = {**state, "upses": {"ups": ups}, "seq": sequence, "echo": echo}
    return json.dumps(told).encode() + b"\n"


@contextlib.contextmanager
def half_open(port: int, count: int, first: bytes = b"") -> Iterator[list[socket.socket]]:
    """Open connections that say `first` and nothing more."""
    with contextlib.ExitStack() as opened:
        sockets = []
        for _ in range(count):
            sockets.append(socket.create_connection(("127.0.0.1", port), TIMEOUT))
            opened.enter_context(sockets[-1])
            sockets[-1].sendall(first)
        yield sockets


def dropped(sock: socket.socket, within: float) -> bool:
    """Whether the server hangs up on `sock` in time."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        sock.settimeout(max(0.01, end - time.monotonic()))
        try:
            if not sock.recv(65536):
                return True
        except TimeoutError:
            return False
        except ConnectionError:
            return True
    return False
