"""A client looks for its server: probes, announcements, DNS-SD.

Rules:

1. A datagram is a locator, nothing more: whoever answers is trusted only after TLS.
2. A client probes every second and listens for announcements too, since a firewall may pass only
   one of the two.
3. A flood of forged datagrams costs a bounded amount of memory and work, and leaves the true server
   its chance: each round takes a random sample of the hosts heard, one candidate each.
"""

from __future__ import annotations

import contextlib
import random
import selectors
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from powmonman.net import dnssd
from powmonman.net.interfaces import interfaces as list_interfaces
from powmonman.net.locator import MAX_DATAGRAM, announced_port, probe
from powmonman.net.udp import address_of, open_udp, send, send_to_neighbours

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

SAMPLE = 16  # candidates of one round
_ROUND = 1.0  # seconds from one probe to the next
# Seconds in which datagrams are collected before the sample is drawn; this is also what keeps a
# flood from costing more than a tenth of one processor.
_GATHER = 0.05
_STOP_CHECK = 0.2  # seconds in which `stop` is noticed
_READS = 256  # datagrams taken from one socket in one go
_MDNS_PACKET = 9000

_random = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Candidate:
    """Where a server may be; `host` is an IP address, with `%interface` where it needs one."""

    host: str
    port: int


def search(
    port: int,
    fleet: str,
    timeout: float,
    interfaces: Sequence[str] = (),
    stop: Callable[[], bool] = lambda: False,
) -> Generator[Candidate, None, None]:
    """Look for `fleet`'s servers for `timeout` seconds; yield each candidate once.

    Looks on the named interfaces (none: all). Blocks between candidates, at most 16 a second, and
    notices `stop` within 0.2 s.
    """
    with contextlib.closing(_Search(port, fleet, interfaces)) as looking:
        yield from looking.run(timeout, stop)


class _Search:
    """The sockets of one search, and what was offered so far."""

    def __init__(self, port: int, fleet: str, names: Sequence[str]) -> None:
        self._port, self._fleet, self._names = port, fleet, names
        self._offered: set[Candidate] = set()
        self._hosts: set[str] = set()  # those of this round
        self._query = _random.getrandbits(16)
        # Probes come from a port of their own: several programs may listen on the fleet's port,
        # and an answer by unicast would reach only one of them.
        self._probing = _open_each(0, socket.AF_INET, socket.AF_INET6)
        self._mdns = _open_each(0, socket.AF_INET)
        listening = _open_each(port, socket.AF_INET, socket.AF_INET6)
        self._sockets = [*self._probing, *self._mdns, *listening]
        self._selector = selectors.DefaultSelector()
        for sock in self._sockets:
            self._selector.register(sock, selectors.EVENT_READ)

    def close(self) -> None:
        self._selector.close()
        for sock in self._sockets:
            sock.close()

    def run(self, timeout: float, stop: Callable[[], bool]) -> Iterator[Candidate]:
        start = due = time.monotonic()
        rounds = left = 0
        while not stop() and (now := time.monotonic()) < start + timeout:
            if now >= due:
                # mDNS asks that repeated queries become rare: in rounds 0, 1, 3, 7, ...
                self._ask(by_mdns=rounds & (rounds + 1) == 0)
                rounds, left, due = rounds + 1, SAMPLE, now + _ROUND
                self._hosts.clear()
            pause = min(due, start + timeout, now + _STOP_CHECK) - now
            if not left:
                time.sleep(pause)
            elif self._selector.select(pause):
                time.sleep(_GATHER)
                chosen = self._sample(left)
                left -= len(chosen)
                yield from chosen

    def _ask(self, *, by_mdns: bool) -> None:
        question = probe(self._fleet)
        for interface in list_interfaces():
            if not interface.is_among(self._names):
                continue
            for sock in self._probing:
                send_to_neighbours(sock, question, self._port, interface)
            for sock in self._mdns if by_mdns and interface.address else ():
                query, index = dnssd.query(self._query), interface.index
                with contextlib.suppress(OSError):
                    send(sock, query, dnssd.GROUP, index=index, source=interface.address)

    def _sample(self, most: int) -> list[Candidate]:
        """Read what has come in, and choose among what is new: one candidate of a host."""
        heard: dict[str, list[Candidate]] = {}
        for sock in self._sockets:
            for candidate in self._read(sock):
                if candidate not in self._offered and candidate.host not in self._hosts:
                    heard.setdefault(candidate.host, []).append(candidate)
        hosts = _random.sample(list(heard), min(most, len(heard)))
        chosen = [self._likeliest(heard[host]) for host in hosts]
        self._offered.update(chosen)
        self._hosts.update(hosts)
        return chosen

    def _likeliest(self, candidates: list[Candidate]) -> Candidate:
        usual = [candidate for candidate in candidates if candidate.port == self._port]
        return usual[0] if usual else _random.choice(candidates)

    def _read(self, sock: socket.socket) -> Iterator[Candidate]:
        by_mdns = sock in self._mdns
        for _ in range(_READS):
            try:
                datagram, sender = sock.recvfrom(_MDNS_PACKET if by_mdns else MAX_DATAGRAM + 1)
                host = address_of(sender)
            except BlockingIOError:
                return
            except OSError:  # the ICMP error of a probe, or an interface that went away
                continue
            if by_mdns:
                yield from self._services(datagram, host)
            elif port := announced_port(datagram, self._fleet):
                yield Candidate(host, port)

    def _services(self, packet: bytes, host: str) -> Iterator[Candidate]:
        for service in dnssd.parse(packet, self._query):
            if service.port and service.text.get("fleet", self._fleet) == self._fleet:
                # A link-local address says nothing without an interface; the sender's does.
                hosts = [it for it in service.addresses if not it.startswith("fe80:")]
                for address in hosts[:4] or [host]:
                    yield Candidate(address, service.port)


def _open_each(port: int, *families: socket.AddressFamily) -> list[socket.socket]:
    opened = []
    for family in families:
        with contextlib.suppress(OSError):
            opened.append(open_udp(family, port))
    return opened
