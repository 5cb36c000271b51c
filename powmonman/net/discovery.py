"""The server makes itself known: announcements on every interface, answers to probes.

Rules:

1. A datagram is a locator, nothing more: whoever answers is trusted only after TLS.
2. Interfaces are listed afresh for each announcement, so that cables, addresses and interfaces may
   come and go; one that fails never keeps the others from being served.
3. Probes are answered by unicast, never with more bytes than were asked, at a bounded rate.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from typing import TYPE_CHECKING

from powmonman.net.interfaces import Interface, interfaces
from powmonman.net.locator import MAX_DATAGRAM, announcement, asks_for
from powmonman.net.search import Candidate, search
from powmonman.net.udp import arrived_on, open_udp, send, send_to_neighbours

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Announcer", "Candidate", "Interface", "interfaces", "search"]

ANSWERS_PER_SECOND = 100.0
_READS = 64  # datagrams taken in one go: under a flood, under 1 ms of the event loop's time

log = logging.getLogger("powmonman.discovery")


class Announcer:
    """The server's side: says where it is, and answers who asks.

    Attributes:
        sockets: Call `on_readable` with the one that is readable. Empty if the port can't be had:
            that is logged, and no reason for a server to stop.
    """

    def __init__(
        self,
        port: int,
        fleet: str,
        interfaces: Sequence[str] = (),
        *,
        address: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Announce `port` on these interfaces (none: all) for a server bound to `address`."""
        self._port, self._fleet, self._names = port, fleet, frozenset(interfaces)
        family, self._source = _bound(address)
        self._answer = announcement(fleet, port)
        self._clock = clock
        self._refilled = clock()
        self._allowance = ANSWERS_PER_SECOND
        self._silent: frozenset[str] = frozenset()
        self.sockets: list[socket.socket] = []
        for wanted in (socket.AF_INET, socket.AF_INET6):
            if family in {None, wanted}:
                self._listen(wanted)

    def _listen(self, family: socket.AddressFamily) -> None:
        try:
            self.sockets.append(open_udp(family, self._port))
        except OSError as error:
            # A host without IPv6 is no fault.
            level = logging.WARNING if family == socket.AF_INET else logging.DEBUG
            log.log(level, "no discovery on udp/%d: %s", self._port, error.strerror)

    def announce(self) -> None:
        """Announce on every interface; one that fails is skipped, and logged once."""
        present = [it for it in interfaces() if self._wants(it)]
        sent = {it.name for it in present if self._announce_on(it)}
        absent = self._names - {it.device for it in present}
        silent = absent.union(it.name for it in present) - sent
        for name in sorted(silent - self._silent):
            log.warning("not announced on %s: it is down or can't be sent on; will retry", name)
        for name in sorted(self._silent & sent):
            log.info("announced on %s again", name)
        self._silent = silent

    def _wants(self, interface: Interface) -> bool:
        if not interface.is_among(self._names):
            return False
        if self._source and ":" not in self._source:
            # All of 127/8 belongs to the loopback interface.
            loopback = self._source.startswith("127.") and interface.address.startswith("127.")
            return loopback or interface.address == self._source
        return bool(interface.broadcast or interface.multicast)

    def _announce_on(self, interface: Interface) -> bool:
        sent = False
        for sock in self.sockets:
            sent |= send_to_neighbours(sock, self._answer, self._port, interface, self._source)
        return sent

    def on_readable(self, sock: socket.socket) -> None:
        """Answer the probes that wait on `sock`, a bounded number; the rest is ignored."""
        listed = interfaces() if self._names else []
        allowed = {it.index for it in listed if it.is_among(self._names)}
        for _ in range(_READS):
            try:
                datagram, control, _flags, sender = sock.recvmsg(MAX_DATAGRAM + 1, 64)
            except OSError:  # nothing more, or the ICMP error of an earlier answer
                return
            if self._names and arrived_on(control) not in allowed:
                continue
            if len(datagram) < len(self._answer) or not asks_for(datagram, self._fleet):
                continue
            if self._may_answer():
                scope = sender[3] if sock.family == socket.AF_INET6 else 0
                with contextlib.suppress(OSError):
                    send(sock, self._answer, sender[:2], index=scope, source=self._source)

    def _may_answer(self) -> bool:
        """Take one from the allowance; who gets no answer hears the next announcement."""
        now = self._clock()
        gained = (now - self._refilled) * ANSWERS_PER_SECOND
        self._allowance = min(ANSWERS_PER_SECOND, self._allowance + gained)
        self._refilled = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True

    def close(self) -> None:
        """Close the sockets."""
        for sock in self.sockets:
            sock.close()
        self.sockets = []


def _bound(address: str) -> tuple[socket.AddressFamily | None, str]:
    """Return the family that a listener on `address` serves (None: both), and its own address."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            if any(socket.inet_pton(family, address)):
                return family, address
            return (family if family == socket.AF_INET else None), ""
    return None, ""
