"""A server that says what a test wants: the fleet's own certificate, and no sensor behind it."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from powmonman.net.tls import TlsPipe, server_context
from powmonman.service.clock import boottime

from .daemon import wait_for
from .fleet import LEASE

if TYPE_CHECKING:
    from pathlib import Path

BEAT = LEASE / 5


class Word:
    """Repeats its state every fifth of a lease, and at every word of the client.

    Attributes:
        waits: Whom the client still waits for.
        heard: Every message of the client, in order.
    """

    def __init__(self, identity: Path, port: int, *waits: str, after: float = 2.0) -> None:
        self.waits = waits
        self.heard: list[dict[str, Any]] = []
        self._after = after
        self._lost_at: float | None = None
        self._context = server_context(identity)
        self._listener = socket.create_server(("127.0.0.1", port))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def mains(self, on: bool) -> float:
        """Set what is said of the mains; return when."""
        self._lost_at = None if on else boottime()
        return boottime()

    def said(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """Return the client's messages of this type in which `fields` are so."""
        return [m for m in self.heard if m["type"] == kind and fields.items() <= m.items()]

    def hears(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Wait for such a message, and return it."""
        return wait_for(f"a {kind} with {fields}", lambda: self.said(kind, **fields))[0]

    def close(self) -> None:
        """Hang up, and listen no more."""
        self._ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(OSError, ssl.SSLError):
                connection, _ = self._listener.accept()
                with connection:
                    connection.settimeout(BEAT)
                    self._talk(connection, TlsPipe(self._context, server_side=True))

    def _talk(self, connection: socket.socket, pipe: TlsPipe) -> None:
        rest, nonce = b"", 0
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                data = connection.recv(65536)
                *lines, rest = (rest + pipe.receive(data)).split(b"\n")
                self.heard += (messages := [json.loads(line) for line in lines])
                nonce = max([nonce, *(message.get("nonce", 0) for message in messages)])
                if not data or pipe.eof:
                    return
                if messages and messages[-1]["type"] == "ack":
                    time.sleep(0.02)
            if nonce:
                pipe.send(json.dumps(self._state(nonce)).encode() + b"\n")
            connection.sendall(pipe.outgoing())

    def _state(self, nonce: int) -> dict[str, Any]:
        ups: dict[str, Any] = {"state": "on_mains"}
        if self._lost_at is not None:
            age = boottime() - self._lost_at
            ups = {"state": "on_battery", "outage": "f" * 32, "age": age, "spent": age}
        return {
            "type": "state",
            "id": "e" * 32,
            "lease": LEASE,
            "policy": {"after": self._after, "refill_ratio": 10.0},
            "upses": {"ups": ups},
            "own": {"waits": list(self.waits)},
            "seq": 1,
            "echo": nonce,
        }
