"""Several places tried at once: one that takes its time to refuse keeps no other one waiting.

Whoever proves first to be the server wins; who comes later is hung up on.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from powmonman.client.link import Link, LinkError

if TYPE_CHECKING:
    from collections.abc import Callable

    Connect = Callable[[str, int], Link]

log = logging.getLogger("powmonman.client")

# A thread each; the search gives no more than 16 in a second.
MOST_AT_ONCE = 64
# What is on its way when the search is over may still arrive.
LAST_CHANCE = 5.0
_LOOK_AGAIN = 0.05


class Race:
    """One round of attempts; `connect` and `beside` block, and raise `LinkError`.

    Attributes:
        tried: The places that had their turn.
        refused: Somebody did not accept this host, or this host did not accept somebody.
    """

    def __init__(self, connect: Connect, beside: Connect) -> None:
        """`connect` is for a place that is tried alone, `beside` for one of many."""
        self._connect = connect
        self._beside = beside
        self._lock = threading.Lock()
        self._running = 0
        self._over = False
        self._link: Link | None = None
        self.tried: set[tuple[str, int]] = set()
        self.refused = False

    @property
    def won(self) -> bool:
        """Whether there is a link."""
        return self._link is not None

    def run(self, host: str, port: int) -> Link | None:
        """Try one place here and now, unless it was tried; return the link."""
        if (host, port) in self.tried:
            return None
        self.tried.add((host, port))
        return self._try(self._connect, host, port)

    def start(self, host: str, port: int) -> None:
        """Try one place beside the others, unless it was tried; left out if they are too many."""
        with self._lock:
            if (host, port) in self.tried or self._running >= MOST_AT_ONCE:
                return
            self.tried.add((host, port))
            self._running += 1
        attempt = threading.Thread(target=self._compete, args=(host, port), daemon=True)
        try:
            attempt.start()
        except RuntimeError:
            # No room for one more thread.
            self._compete(host, port)

    def _compete(self, host: str, port: int) -> None:
        link = None
        try:
            link = self._try(self._beside, host, port)
        except Exception:
            # Of this place alone; the others go on.
            log.exception("%s port %d", host, port)
        with self._lock:
            self._running -= 1
            if link is not None and not self._over and self._link is None:
                self._link, link = link, None
        if link is not None:
            link.close()

    def _try(self, connect: Connect, host: str, port: int) -> Link | None:
        try:
            return connect(host, port)
        except LinkError as error:
            self.refused |= error.refused
            return None

    def wait(self, stop: Callable[[], bool]) -> None:
        """Wait until somebody has won, all have lost, or it has taken too long."""
        give_up = time.monotonic() + LAST_CHANCE
        while self._running and not self.won and not stop() and time.monotonic() < give_up:
            time.sleep(_LOOK_AGAIN)

    def finish(self) -> Link | None:
        """Return the winner's link; nobody wins any more."""
        with self._lock:
            self._over = True
            return self._link
