"""A TCP server on loopback that answers as a test says, whole, in pieces, or not at all."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

from daemons import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Scripted:
    """Sends the pieces of `answer(question)`; an empty piece closes the connection.

    Attributes:
        port: Where it listens on 127.0.0.1.
        questions: What it was sent, in this order.
        connections: How many it has taken.
        answer: May be replaced at any time.
    """

    def __init__(self, answer: Callable[[bytes], Iterable[bytes]] | None = None) -> None:
        self.answer = answer or (lambda _question: ())
        self.questions: list[bytes] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        # What closes a listener doesn't wake who waits in accept().
        self._listener.shutdown(socket.SHUT_RDWR)
        self.hang_up()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def hang_up(self) -> None:
        """Close every connection, and wait until its descriptor is given back."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        eventually("every connection is closed", lambda: not self._open)

    def say(self, words: bytes) -> None:
        """Send something to everybody, unasked."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.sendall(words)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections += 1
                self._open.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=[connection]))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            self._converse(connection)
        finally:
            self._open.remove(connection)

    def _converse(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while question := connection.recv(1024):
                self.questions.append(question)
                for piece in self.answer(question):
                    if not piece:
                        return
                    connection.sendall(piece)
