"""One connection to the server: TLS, lines, messages, and what it may cost.

| phase    | what is allowed                          | ends                             |
|----------|------------------------------------------|----------------------------------|
| shaking  | TLS handshake, taken in turns by the hub | handshake_timeout, or a refusal  |
| greeting | `hello` or `query`                       | handshake_timeout                |
| speaking | `ack`, `ping`, `status`, `drill-status`, | a lease without a word           |
|          | `diary`                                  |                                  |

Nothing queues up for a client that does not read: while its transport is blocked the session
remembers only that something new is due, and sends the newest state when it drains.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING, cast

from powmonman.core.messages import (
    Ack,
    Diary,
    DrillStatus,
    Error,
    Hello,
    Lines,
    Message,
    Ping,
    ProtocolError,
    Query,
    Report,
    Status,
    address,
    decode,
    encode,
)
from powmonman.core.records import printable
from powmonman.net.tls import Peer, TlsPipe
from powmonman.net.udp import address_of
from powmonman.service.clock import boottime

if TYPE_CHECKING:
    from powmonman.server.hub import Hub

log = logging.getLogger("powmonman.server")

MOST_BLOCKED = 64 * 1024


class Session(asyncio.Protocol):
    """What the hub needs of one connection."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._pipe = TlsPipe(hub.context, server_side=True)
        self._lines = Lines()
        self._unshaken = bytearray()
        self._transport: asyncio.Transport | None = None
        self._echo = 0
        self._blocked = False
        self._due = False
        self._second = 0.0
        self._messages = 0
        self.peer: Peer | None = None
        self.name = ""
        self.where = ""
        self.seq = 0
        self.begun = False
        self.since = self.heard = boottime()

    @property
    def speaking(self) -> bool:
        """Whether the client has said hello."""
        return bool(self.name)

    @property
    def behind(self) -> bool:
        """Whether a newer state than the last one sent is due."""
        return self._due

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; the hub may refuse at once."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=MOST_BLOCKED)
        peer = transport.get_extra_info("peername")
        self.where = address_of(peer) if isinstance(peer, tuple) else "?"
        self._hub.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        """End; whatever the cause, the client is gone."""
        self._transport = None
        self._hub.closed(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes; handshakes wait for their turn, so that no push waits for them."""
        if self._pipe.handshaken:
            self._take(data)
            return
        self._unshaken += data
        if self._transport is not None:
            self._transport.pause_reading()
            self._hub.wants_handshake(self)

    def shake(self) -> None:
        """Take the next step of the handshake."""
        if self._transport is None:
            return
        self.begun = True
        data, self._unshaken = bytes(self._unshaken), bytearray()
        self._transport.resume_reading()
        self._take(data)

    def _take(self, data: bytes) -> None:
        try:
            plain = self._pipe.receive(data)
        except ssl.SSLError as error:
            self._flush()
            self._refuse(_tls_fault(error))
            return
        self._flush()
        if self.peer is None and self._pipe.handshaken:
            self.peer = self._pipe.peer()
            if reason := self._hub.refuses(self.peer):
                self.fail(reason)
                return
        try:
            for line in self._lines.feed(plain):
                if not self._open:
                    # What follows the last word is not even refused.
                    return
                self._hear(decode(line))
        except ProtocolError as error:
            self.fail(str(error))
        if self._pipe.eof:
            self.close()

    @property
    def _open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def _hear(self, message: Message) -> None:
        self.heard = boottime()
        if self.heard - self._second >= 1.0:
            self._second, self._messages = self.heard, 0
        self._messages += 1
        if self._messages > self._hub.limits.messages:
            raise ProtocolError(f"more than {self._hub.limits.messages} messages a second")
        if not self.speaking:
            self._greeted(message)
        elif isinstance(message, Ack):
            self._echo = message.nonce
            self._hub.acknowledged(self, message.seq)
        elif isinstance(message, Ping):
            self._echo = message.nonce
            self.tell(self._hub.shared())
        elif isinstance(message, Status):
            self._hub.reported(self, message)
        elif isinstance(message, Diary):
            self._hub.handed(self, message)
        elif isinstance(message, DrillStatus):
            self._hub.rehearsed(self, message)
        else:
            raise ProtocolError(f"{type(message).__name__} is not for a client to say here")

    def _greeted(self, message: Message) -> None:
        if isinstance(message, Query):
            self._send(encode(Report(self._hub.report())))
            self.close()
        elif isinstance(message, Hello) and self.peer is not None:
            self.name, self._echo = self.peer.name, message.nonce
            self._hub.joined(self, self.peer, message)
        else:
            raise ProtocolError("the first message must be hello or query")

    def tell(self, shared: bytes) -> None:
        """Send the newest state, now or as soon as the client reads again."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._blocked:
            self._due = True
            return
        self.seq += 1
        self._send(address(shared, self.seq, self._echo, self._hub.own(self.name)))

    def pause_writing(self) -> None:
        """Remember only what is newest from here on."""
        self._blocked = True

    def resume_writing(self) -> None:
        """Send the newest state, if there was one in between."""
        self._blocked = False
        if self._due:
            self._due = False
            self.tell(self._hub.shared())

    def _send(self, line: bytes) -> None:
        try:
            self._pipe.send(line)
        except ssl.SSLError as error:
            self._refuse(_tls_fault(error))
            return
        self._flush()

    def _flush(self) -> None:
        if self._transport is not None and (data := self._pipe.outgoing()):
            self._transport.write(data)

    def fail(self, reason: str) -> None:
        """Tell the client why, and hang up."""
        if self._pipe.handshaken:
            self._send(encode(Error(reason)))
        self._refuse(reason)

    def _refuse(self, reason: str) -> None:
        self._hub.refused(self, reason)
        self.close()

    def close(self) -> None:
        """Hang up after what is written has been sent."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._pipe.handshaken:
            self._pipe.close()
            self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Hang up at once."""
        if self._transport is not None:
            self._transport.abort()


def _tls_fault(error: ssl.SSLError) -> str:
    # Only errors that OpenSSL itself raised have a reason.
    return f"TLS: {printable(str(getattr(error, 'reason', None) or error.args[-1]))}"
