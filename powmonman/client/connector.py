"""Finds the server and connects to it, in a thread of its own.

Name resolution, connects and handshakes can hang for as long as they like: the countdown runs in
another thread and never waits for this one. Candidates are tried in this order: configured
addresses and names, the address that passed TLS last time, then whatever answers on the LAN, all of
that at once; none is trusted before TLS. A name that hangs holds up none of the others. Between
rounds there is a jittered back-off; a server that refuses this host, or that this host refuses, is
asked again at the longest interval only.
"""

from __future__ import annotations

import logging
import queue
import random
import socket
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from powmonman.client.link import Link, LinkError
from powmonman.client.names import WAIT, Names, is_address
from powmonman.client.race import Race
from powmonman.config.forms import server_address
from powmonman.net.search import search
from powmonman.service.files import read_json, write_json

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from powmonman.config.client_schema import ClientConfig

log = logging.getLogger("powmonman.client")

FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 20.0
SEARCH_FOR = 6.0
MOST_TOLD = 64
LAST_SERVER = "last-server.json"


def backoff(failures: int) -> float:
    """Return the longest wait after so many failures in a row, in seconds."""
    return min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures, 10))


class Connector:
    """Hands an established `Link` to `connected` for every `want`.

    `connected` is called in the connector's thread, with the connector that made the link.
    """

    def __init__(
        self,
        config: ClientConfig,
        context: ssl.SSLContext,
        connected: Callable[[Connector, Link], None],
    ) -> None:
        self._config = config
        self._context = context
        self._connected = connected
        self._wanted: queue.SimpleQueue[float | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._failures = 0
        self._told: dict[str, str] = {}
        self._names = Names()
        self._telling = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="connector", daemon=True)

    def start(self) -> None:
        """Start the thread, and want a connection."""
        self._thread.start()
        self._wanted.put(0.0)

    def want(self, *, refused: bool = False) -> None:
        """Ask for another connection. `refused`: the last one was no good, take your time."""
        self._wanted.put(LONGEST_BACKOFF if refused else FIRST_BACKOFF)

    def works(self) -> None:
        """The last connection has proved itself."""
        self._failures = 0
        self._told.clear()

    def stop(self) -> None:
        """End; a connect in progress is abandoned."""
        self._stopped.set()
        self._wanted.put(None)

    def _run(self) -> None:
        while (delay := self._wanted.get()) is not None:
            if self._stopped.wait(random.uniform(0, delay)):  # noqa: S311 (jitter)
                return
            while not self._stopped.is_set():
                try:
                    link, refused = self._round()
                except Exception:
                    # Without this thread the host would be cut off for ever.
                    log.exception("the search for the server failed; it goes on")
                    link, refused = None, False
                if link is not None:
                    self._connected(self, link)
                    break
                self._failures += 1
                longest = LONGEST_BACKOFF if refused else backoff(self._failures)
                if self._stopped.wait(random.uniform(longest / 2, longest)):  # noqa: S311
                    return

    def _round(self) -> tuple[Link | None, bool]:
        """Try every candidate once; return the link, or whether somebody refused."""
        race = Race(self._open, partial(self._open, once=True))
        late: list[tuple[str, int]] = []
        for host, port in known(self._config, self._names, late, self._tell):
            if self._stopped.is_set():
                break
            if link := race.run(host, port):
                return link, False
        if self._config.discovery.enabled:
            # Forged announcements may lead to hosts that take their time to refuse, so that nobody
            # waits for anybody here; and what is known must soon have its turn again.
            for host, port in on_the_lan(self._config, lambda: self._stopped.is_set() or race.won):
                race.start(host, port)
            race.wait(self._stopped.is_set)
        if link := race.finish():
            return link, False
        for host, port in addressed(late, self._names, self._tell):
            if link := race.run(host, port):
                return link, False
        if not race.tried and not self._config.servers:
            self._tell("server", "nothing answers on the LAN and no address is configured")
        return None, race.refused

    def _open(self, host: str, port: int, *, once: bool = False) -> Link:
        """Connect to one candidate; `once` as for `_tell`.

        Raises:
            LinkError: It is no good; that has been told.
        """
        began = time.monotonic()
        try:
            link = Link.open(self._context, host, port, revoked=self._config.tls.revoked)
        except LinkError as error:
            self._tell(f"{host} port {port}", str(error), once=once)
            raise
        log.debug("%s port %d: %.0f ms", host, port, (time.monotonic() - began) * 1000)
        return link

    def _tell(self, where: str, reason: str, *, once: bool = False) -> None:
        """Say each new reason; after that it is only worth a debug line.

        `once`: the place was announced, perhaps by a liar. Of a flood of these the log hears one
        reason each, and not of all.
        """
        with self._telling:
            enough = once and (where in self._told or len(self._told) >= MOST_TOLD)
            new = self._told.get(where) != reason and not enough
            if new:
                self._told[where] = reason
        log.log(logging.WARNING if new else logging.DEBUG, "no connection: %s: %s", where, reason)


def candidates(
    config: ClientConfig,
    stop: Callable[[], bool],
    names: Names | None = None,
    tell: Callable[[str, str], None] = lambda *_: None,
) -> Iterator[tuple[str, int]]:
    """Yield every place where the server may be, most likely first. May block on the LAN.

    A name that nobody answers for is put off to the end, and holds nothing else up. `tell` is told
    which names have no address, and why.
    """
    names = Names() if names is None else names
    late: list[tuple[str, int]] = []
    yield from known(config, names, late, tell)
    if config.discovery.enabled:
        yield from on_the_lan(config, stop)
    yield from addressed(late, names, tell)


def known(
    config: ClientConfig,
    names: Names,
    late: list[tuple[str, int]],
    tell: Callable[[str, str], None],
) -> Iterator[tuple[str, int]]:
    """Yield the addresses where the server should be, most likely first.

    Those whose names nobody has answered for yet are added to `late`.
    """
    servers = [server_address(text, config.port) for text in config.servers]
    yield from addressed(servers, names, tell, WAIT, late)
    if last := last_server(config):
        yield last


def addressed(
    servers: list[tuple[str, int]],
    names: Names,
    tell: Callable[[str, str], None],
    wait: float = 0.0,
    late: list[tuple[str, int]] | None = None,
) -> Iterator[tuple[str, int]]:
    """Yield the addresses of servers by name or address, all of them within `wait` seconds."""
    named = {host for host, _ in servers if not is_address(host)}
    for host in named:
        names.ask(host)
    give_up = time.monotonic() + wait
    for host, port in servers:
        try:
            found = names.addresses(host, give_up) if host in named else (host,)
        except TimeoutError as error:
            if late is None:
                tell(f"{host} port {port}", str(error))
            else:
                late.append((host, port))
        except OSError as error:
            tell(f"{host} port {port}", error.strerror or str(error))
        else:
            yield from ((address, port) for address in found)


def on_the_lan(config: ClientConfig, stop: Callable[[], bool]) -> Iterator[tuple[str, int]]:
    """Yield what says on the LAN that it is the server. Blocks until `stop`, or for a while."""
    names = config.discovery.interfaces
    found = search(config.port, config.fleet, SEARCH_FOR, interfaces=names, stop=stop)
    yield from ((candidate.host, candidate.port) for candidate in found)


def last_server(config: ClientConfig) -> tuple[str, int] | None:
    """Return where the server was that passed TLS last; None if there was none."""
    last = read_json(Path(config.state_dir) / LAST_SERVER) or {}
    host, port = last.get("host"), last.get("port")
    if isinstance(host, str) and is_address(host) and type(port) is int:
        return host, port
    return None


def remember(config: ClientConfig, host: str, port: int) -> None:
    """Keep an address that passed TLS for the next start."""
    path = Path(config.state_dir) / LAST_SERVER
    if read_json(path) == {"host": host, "port": port}:
        return
    try:
        write_json(path, {"host": host, "port": port}, durable=False)
    except OSError as error:
        log.debug("%s: %s", path, error.strerror)


def mac_addresses() -> tuple[str, ...]:
    """Return the MAC addresses of this host's network interfaces; none where it may not ask."""
    found = set()
    try:
        names = [name for _, name in socket.if_nameindex()]
    except OSError:
        return ()
    for name in names:
        try:
            mac = Path(f"/sys/class/net/{name}/address").read_text("ascii").strip()
        except OSError:
            continue
        if len(mac) == 17 and mac != "00:00:00:00:00:00":
            found.add(mac)
    return tuple(sorted(found))[:16]
