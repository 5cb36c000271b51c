"""Sockets and timers of very many clients in one thread, with as little between as can be."""

from __future__ import annotations

import heapq
import selectors
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
# Seconds that it waits at the most while no timer is set.
IDLE = 1.0


class EventLoop:
    """All moments are CLOCK_MONOTONIC, in seconds."""

    def __init__(self) -> None:
        self._selector = selectors.EpollSelector()
        self._timers: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._timed = 0
        self._later: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._ended = False

    def run(self) -> None:
        """Serve whatever comes, until the end is called for."""
        while not self._ended:
            wait = self._timers[0][0] - time.monotonic() if self._timers else IDLE
            for key, mask in self._selector.select(max(0.0, wait)):
                key.data(mask)
            calls, self._later = self._later, []
            for call, arguments in calls:
                call(*arguments)
            while self._timers and self._timers[0][0] <= time.monotonic():
                _, _, call, arguments = heapq.heappop(self._timers)
                call(*arguments)

    def end(self) -> None:
        """Come to an end after what is being served."""
        self._ended = True

    def at(self, moment: float, call: Callable[..., None], *arguments: Any) -> None:
        """Call something then."""
        self._timed += 1
        heapq.heappush(self._timers, (moment, self._timed, call, arguments))

    def when_all_is_read(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call something when all that has come by now has been read.

        Clients on hosts of their own don't wait until those before them have answered.
        """
        self._later.append((call, arguments))

    def watch(self, file: socket.socket | int, ready: Callable[[int], None], events: int) -> None:
        """Call `ready` with what a file is ready for, as far as it is among `events`."""
        key = self._selector.get_map().get(file)
        if key is None:
            self._selector.register(file, events, ready)
        elif key.events != events:
            self._selector.modify(file, events, ready)

    def forget(self, file: socket.socket | int) -> None:
        """Watch a file no more."""
        if file in self._selector.get_map():
            self._selector.unregister(file)
