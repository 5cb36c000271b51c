"""A TCP server that is asked, and answers: one question at a time, on one connection that is kept.

An answer is never taken for that of another question: after anything but a whole answer (an error,
a time-out, a cancelled wait) the connection is dropped, and what arrives unasked drops it too.

The socket is used without a transport of asyncio's: it belongs to no event loop, needs none to be
closed, and holds no buffer between two questions.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK = 8192
LOOK_AGAIN = 0.05

_Address = tuple[socket.AddressFamily, Any]


class AnswerError(Exception):
    """What came is no answer to the question; the text says what it is."""


class Peer:
    """A server at `host` and `port`; nothing is looked up or connected before the first question.

    Attributes:
        host: Its name or address.
        port: Its TCP port.
        time_limit: Seconds that a question may take, the connection included.
        longest: Bytes that an answer may have.
    """

    def __init__(self, host: str, port: int, *, time_limit: float, longest: int = 65536) -> None:
        self.host = host
        self.port = port
        self.time_limit = time_limit
        self.longest = longest
        self._names = Names(host, port)
        self._socket: socket.socket | None = None
        self._alone = asyncio.Lock()

    @property
    def place(self) -> str:
        """The server, for people."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    async def ask(self, question: bytes, complete: Callable[[bytearray], bool]) -> bytes:
        """Return the whole answer: all bytes until `complete` holds of them.

        Raises:
            AnswerError: It is too long, or ends early.
            OSError: No connection, or it broke; TimeoutError where that took `time_limit`.
        """
        async with self._alone:
            try:
                async with asyncio.timeout(self.time_limit):
                    connection = self._kept() or await self._connect()
                    await asyncio.get_running_loop().sock_sendall(connection, question)
                    return await self._answer(connection, complete)
            except BaseException:
                # Cancelled too: the answer still to come would pass for that of the next question.
                self.close()
                raise

    def close(self) -> None:
        """Drop the connection, if there is one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _kept(self) -> socket.socket | None:
        """Return the connection, unless the server has closed it or has spoken unasked."""
        if self._socket is not None:
            try:
                self._socket.recv(1)
            except BlockingIOError:
                return self._socket
            except OSError:
                pass
            self.close()
        return None

    async def _connect(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        addresses = await self._names.addresses()
        problem: OSError | None = None
        for family, address in addresses:
            self._socket = socket.socket(family, socket.SOCK_STREAM)
            self._socket.setblocking(False)
            try:
                # A silent first address leaves the others their turn.
                async with asyncio.timeout(self.time_limit / len(addresses)):
                    await loop.sock_connect(self._socket, address)
            except OSError as error:
                problem = problem or error
                self.close()
            else:
                self._names.proved((family, address))
                return self._socket
        self._names.doubt()
        raise problem or OSError(f"{self.host} has no address")

    async def _answer(
        self, connection: socket.socket, complete: Callable[[bytearray], bool]
    ) -> bytes:
        answer = bytearray()
        while not complete(answer):
            chunk = await asyncio.get_running_loop().sock_recv(connection, CHUNK)
            if not chunk:
                raise AnswerError(
                    "closed the connection " + ("in mid-answer" if answer else "without an answer")
                )
            answer += chunk
            if len(answer) > self.longest:
                raise AnswerError(f"answers with more than {self.longest // 1024} KiB")
        return bytes(answer)


class Names:
    """The addresses of a host name.

    A resolver can hang for half a minute where the DNS died with the mains. So it runs in a thread
    of its own, one at a time, that nobody waits for at the end; and the address that was connected
    to last is tried first, without waiting for what a new look-up says.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._proven: _Address | None = None
        self._thread: threading.Thread | None = None
        self._found: list[_Address] | OSError | None = None

    async def addresses(self) -> list[_Address]:
        """Return the addresses to try, the best first; waits for the resolver if it must.

        Raises:
            OSError: The name can't be resolved.
        """
        with contextlib.suppress(socket.gaierror):
            return self._resolve(socket.AI_NUMERICHOST)
        if self._proven is None:
            while self._found is None:
                self._look_up()
                await asyncio.sleep(LOOK_AGAIN)
        found, self._found = self._found, None
        if self._proven is not None:
            found = found if isinstance(found, list) else []
            return [self._proven, *(each for each in found if each != self._proven)]
        if isinstance(found, OSError):
            raise found
        return found or []

    def proved(self, address: _Address) -> None:
        """`address` is the server's."""
        self._proven = address

    def doubt(self) -> None:
        """No address answered: the name may mean another host by now."""
        if self._proven is not None:
            self._look_up()

    def _look_up(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._keep, name="resolver", daemon=True)
            self._thread.start()

    def _keep(self) -> None:
        try:
            self._found = self._resolve(0)
        except OSError as error:
            self._found = error

    def _resolve(self, flags: int) -> list[_Address]:
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM, flags=flags)
        return [(family, address) for family, _, _, _, address in found]
