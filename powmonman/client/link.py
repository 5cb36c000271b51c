"""One established connection to the server: a socket, a TLS pipe, lines, messages."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

from powmonman.core.messages import LONGEST_LINE, Lines, Message, ProtocolError, decode, encode
from powmonman.core.records import printable
from powmonman.net.tls import Peer, TlsPipe, is_revoked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CONNECT_TIMEOUT = 5.0
MOST_UNSENT = 256 * 1024


class LinkError(Exception):
    """The connection is over. `refused`: the server, or this host, does not accept the other."""

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


class Link:
    """A connection whose socket never blocks.

    Attributes:
        host: The server's address.
        port: The server's port.
    """

    def __init__(
        self, sock: socket.socket, pipe: TlsPipe, host: str, port: int, longest_line: int
    ) -> None:
        self._socket = sock
        self._pipe = pipe
        self._lines = Lines(longest_line)
        self._unsent = bytearray()
        self.host = host
        self.port = port
        self.heard = time.monotonic()

    @classmethod
    def open(
        cls,
        context: ssl.SSLContext,
        host: str,
        port: int,
        *,
        revoked: Iterable[str] = (),
        longest_line: int = LONGEST_LINE,
    ) -> Link:
        """Connect and shake hands. Blocks for at most a few times `CONNECT_TIMEOUT`.

        Raises:
            LinkError: Nobody answers there, or not the fleet's server.
        """
        give_up = time.monotonic() + CONNECT_TIMEOUT
        try:
            # As bytes: for a text Python loads all of Unicode's rules for names, 0.5 MB.
            address: Any = (host.encode("ascii"), port)
            sock = socket.create_connection(address, CONNECT_TIMEOUT)
        except (OSError, ValueError, OverflowError) as error:
            # A name that can't be one is a ValueError.
            raise LinkError(getattr(error, "strerror", None) or str(error)) from None
        pipe = TlsPipe(context, server_side=False)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                sock.sendall(pipe.outgoing())
                if pipe.handshaken:
                    break
                pipe.receive(_received(sock, give_up))
            _check_revoked(pipe.peer(), revoked)
            sock.setblocking(False)
        except ssl.SSLError as error:
            # The alert tells the server's log why this host does not come.
            with contextlib.suppress(OSError):
                sock.sendall(pipe.outgoing())
            sock.close()
            raise LinkError(_tls_fault(error), refused=True) from None
        except LinkError:
            sock.close()
            raise
        except OSError as error:
            sock.close()
            raise LinkError(error.strerror or str(error)) from None
        except BaseException:
            sock.close()
            raise
        return cls(sock, pipe, host, port, longest_line)

    def fileno(self) -> int:
        """The socket's descriptor, for a selector."""
        return self._socket.fileno()

    @property
    def peer(self) -> Peer:
        """Who the server is."""
        return self._pipe.peer()

    @property
    def unsent(self) -> bool:
        """Whether the selector should also wait for the socket to take more."""
        return bool(self._unsent)

    def receive(self) -> Iterator[Message]:
        """Yield what has arrived, all that comes before an error too; never blocks.

        Raises:
            LinkError: The connection is over.
        """
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            raise LinkError(error.strerror or str(error)) from None
        if not data:
            raise LinkError("the server closed the connection")
        said = False
        try:
            for line in self._lines.feed(self._pipe.receive(data)):
                message, said = decode(line), True
                self.heard = time.monotonic()
                yield message
        except ssl.SSLError as error:
            raise LinkError(_tls_fault(error), refused=True) from None
        except ProtocolError as error:
            raise LinkError(f"the server talks nonsense: {error}") from None
        if self._pipe.eof and not said:
            raise LinkError("the server said goodbye")

    def ask(self, message: Message, timeout: float) -> Message:
        """Send `message` and return the first answer; blocks, for tools only.

        Raises:
            LinkError: There is no answer.
        """
        self._socket.settimeout(timeout)
        self.send(message)
        while True:
            for answer in self.receive():
                return answer

    def send(self, message: Message) -> None:
        """Send `message` as soon as the socket takes it; never blocks.

        Raises:
            LinkError: The connection is over, or the server reads nothing any more.
        """
        try:
            self._pipe.send(encode(message))
        except ssl.SSLError as error:
            raise LinkError(_tls_fault(error)) from None
        self._unsent += self._pipe.outgoing()
        if len(self._unsent) > MOST_UNSENT:
            raise LinkError("the server reads nothing any more")
        self.flush()

    def flush(self) -> None:
        """Send what is left over; never blocks.

        Raises:
            LinkError: The connection is over.
        """
        while self._unsent:
            try:
                sent = self._socket.send(self._unsent)
            except BlockingIOError:
                return
            except OSError as error:
                raise LinkError(error.strerror or str(error)) from None
            del self._unsent[:sent]

    def leave(self, message: Message, timeout: float) -> None:
        """Say a last thing and hang up; blocks until it is heard, or for `timeout` seconds.

        A socket that is closed while something lies in it unread would take back what it sent.
        """
        give_up = time.monotonic() + timeout
        with contextlib.suppress(LinkError, OSError, ssl.SSLError):
            self._socket.settimeout(timeout)
            self.send(message)
            self._pipe.close()
            self._unsent += self._pipe.outgoing()
            self.flush()
            self._socket.shutdown(socket.SHUT_WR)
            while (left := give_up - time.monotonic()) > 0:
                self._socket.settimeout(left)
                if not self._socket.recv(65536):
                    break
        self._socket.close()

    def close(self) -> None:
        """Say goodbye if that is possible at once, and hang up."""
        try:
            self._pipe.close()
            self._socket.send(self._pipe.outgoing())
        except (OSError, ssl.SSLError):
            pass
        self._socket.close()


def _received(sock: socket.socket, give_up: float) -> bytes:
    left = give_up - time.monotonic()
    if left <= 0:
        raise LinkError("no handshake in time")
    sock.settimeout(left)
    data = sock.recv(65536)
    if not data:
        raise LinkError("closed during the handshake")
    return data


def _check_revoked(peer: Peer, revoked: Iterable[str]) -> None:
    if is_revoked(peer.fingerprint, revoked):
        raise LinkError("the server's certificate is revoked", refused=True)


def _tls_fault(error: ssl.SSLError) -> str:
    # Only errors that OpenSSL itself raised have a reason.
    reason = getattr(error, "verify_message", "") or getattr(error, "reason", None)
    text = printable(str(reason or error.args[-1]))
    return f"TLS: {text.lower().replace('_', ' ')}"
