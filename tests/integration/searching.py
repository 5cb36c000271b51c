"""Searches for a server on the loopback interface, and who else is heard there."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from powmonman.net.discovery import Announcer, Candidate, search
from powmonman.net.udp import open_udp, send

from .daemon import PATIENCE, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

LOOPBACK = ("lo",)


def found(
    port: int, fleet: str = "home", timeout: float = 0.3, wanted: Iterable[Candidate] = ()
) -> set[Candidate]:
    """Search for `timeout` seconds, and for as long as it takes until these `wanted` are found."""
    candidates: list[Candidate] = []
    end = time.monotonic() + timeout

    def enough() -> bool:
        return time.monotonic() >= end and set(wanted) <= set(candidates)

    for candidate in search(port, fleet, PATIENCE if wanted else timeout, LOOPBACK, enough):
        candidates.append(candidate)  # noqa: PERF402 (`enough` looks at it meanwhile)
    assert len(candidates) == len(set(candidates))
    return set(candidates)


def listening(port: int) -> int:
    """Return how many sockets listen for announcements on all addresses of IPv4."""
    rows = Path("/proc/net/udp").read_text("ascii").splitlines()[1:]
    return sum(row.split()[1] == f"00000000:{port:04X}" for row in rows)


@contextlib.contextmanager
def as_soon_as_it_listens(port: int, act: Callable[[], None], beside: int = 0) -> Iterator[None]:
    """Act in the background when somebody listens on a port, `beside` those who did already."""

    def run() -> None:
        wait_for("somebody listens", lambda: listening(port) > beside)
        act()

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join()


def take(announcer: Announcer) -> None:
    """Let an announcer take what has been sent to it."""
    select.select(announcer.sockets[:1], [], [], PATIENCE)
    announcer.on_readable(announcer.sockets[0])


@contextlib.contextmanager
def asking(port: int, question: bytes) -> Iterator[socket.socket]:
    """Ask once, from a port of its own, and give the socket where the answers arrive."""
    with open_udp(socket.AF_INET, 0) as sock:
        send(sock, question, ("127.0.0.1", port))
        yield sock


def first_answer(sock: socket.socket) -> list[bytes]:
    """Wait for what is sure to come."""
    select.select([sock], [], [], PATIENCE)
    return answers(sock)


def answers(sock: socket.socket) -> list[bytes]:
    received = []
    with contextlib.suppress(BlockingIOError):
        while True:
            received.append(sock.recv(2048))
    return received
