"""Finds the server and connects to it, in a thread of its own.

Name resolution, connects and handshakes can hang for as long as they like: the countdown runs in
another thread and never waits for this one. Candidates are tried in this order: configured
addresses, the address that passed TLS last time, then whatever answers on the LAN; none is trusted
before TLS. A name that the DNS is slow to answer is passed over: the DNS may have died with the
mains, and what comes after it must have its turn. Between rounds there is a jittered back-off; a
server that refuses this host, or that this host refuses, is asked again at the longest interval
only.
"""

from __future__ import annotations

import logging
import queue
import random
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from powmonman.client.link import Link, LinkError
from powmonman.config.forms import server_address
from powmonman.net.search import search
from powmonman.service.files import read_json, write_json

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from powmonman.config.schema import ClientConfig

log = logging.getLogger("powmonman.client")

FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 20.0
SEARCH_FOR = 6.0
RESOLVE_TIMEOUT = 3.0
LONGEST_ROUND = 30.0
LAST_SERVER = "last-server.json"


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
        self._names: dict[str, _Name] = {}
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
                longest = LONGEST_BACKOFF if refused else self._backoff()
                if self._stopped.wait(random.uniform(longest / 2, longest)):  # noqa: S311
                    return

    def _backoff(self) -> float:
        return min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(self._failures, 10))

    def _round(self) -> tuple[Link | None, bool]:
        """Try every candidate once; return the link, or whether somebody refused."""
        refused = False
        tried: set[tuple[str, int]] = set()
        give_up = time.monotonic() + LONGEST_ROUND
        for host, port in candidates(self._config, self._stopped.is_set):
            if (host, port) in tried or self._stopped.is_set():
                continue
            if tried and time.monotonic() > give_up:
                # Forged announcements may lead to hosts that take their time to refuse: what is
                # configured must have its turn again.
                break
            tried.add((host, port))
            try:
                addresses = self._addresses(host)
            except LinkError as error:
                self._tell(f"{host} port {port}", str(error))
                continue
            for address in addresses:
                if address != host and (address, port) in tried:
                    continue
                tried.add((address, port))
                try:
                    began = time.monotonic()
                    link = Link.open(self._context, address, port, revoked=self._config.tls.revoked)
                except LinkError as error:
                    refused |= error.refused
                    self._tell(f"{address} port {port}", str(error))
                    continue
                took = (time.monotonic() - began) * 1000
                log.debug("%s port %d: %.0f ms", address, port, took)
                return link, False
        if not tried:
            self._tell("server", "nothing answers on the LAN and no address is configured")
        return None, refused

    def _addresses(self, host: str) -> list[str]:
        if _is_address(host):
            return [host]
        name = self._names.get(host)
        if name is None or not name.hangs:
            name = self._names[host] = _Name(host)
        return name.addresses(RESOLVE_TIMEOUT)

    def _tell(self, where: str, reason: str) -> None:
        """Say it once; after that it is only worth a debug line."""
        new = self._told.get(where) != reason
        if len(self._told) > 64:
            self._told.clear()
        self._told[where] = reason
        log.log(logging.WARNING if new else logging.DEBUG, "no connection: %s: %s", where, reason)


class _Name:
    """One look-up of a host name, which may hang for as long as it likes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._found: list[str] = []
        self._fault = ""
        self._thread = threading.Thread(target=self._look_up, name="resolver", daemon=True)
        self._thread.start()

    @property
    def hangs(self) -> bool:
        """Whether it has not ended; a second one would hang too."""
        return self._thread.is_alive()

    def addresses(self, timeout: float) -> list[str]:
        """Wait for the answer.

        Raises:
            LinkError: There is none, or none within `timeout` seconds.
        """
        self._thread.join(timeout)
        if self.hangs:
            raise LinkError(f"the DNS does not answer within {timeout:g} s")
        if self._fault:
            raise LinkError(self._fault)
        return self._found

    def _look_up(self) -> None:
        try:
            found = socket.getaddrinfo(self._name, None, type=socket.SOCK_STREAM)
        except (OSError, ValueError) as error:
            # A name that can't be one is a ValueError.
            self._fault = getattr(error, "strerror", None) or str(error)
        else:
            self._found = list(dict.fromkeys(str(address[0]) for *_, address in found))


def _is_address(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
    except (OSError, ValueError):
        return False
    return True


def candidates(config: ClientConfig, stop: Callable[[], bool]) -> Iterator[tuple[str, int]]:
    """Yield every place where the server may be, most likely first. May block on the LAN."""
    for text in config.servers:
        yield server_address(text, config.port)
    last = read_json(Path(config.state_dir) / LAST_SERVER) or {}
    if isinstance(last.get("host"), str) and type(last.get("port")) is int:
        yield last["host"], last["port"]
    if config.discovery.enabled:
        found = search(
            config.port,
            config.fleet,
            SEARCH_FOR,
            interfaces=config.discovery.interfaces,
            stop=stop,
        )
        yield from ((candidate.host, candidate.port) for candidate in found)


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
