"""What `nut` and `apcupsd` have in common: one connection to a server that knows the UPS."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from powmonman.net.peer import AnswerError, Peer
from powmonman.sensors.retry import Retry, SensorError
from powmonman.sensors.unreachable import Service, explain
from powmonman.sensors.ups_status import Report, reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from powmonman.config.sources import Apcupsd, Nut
    from powmonman.core.power import Reading

# Shorter than the patience of whoever polls, so that the reason is ours. apcupsd answers only
# between two questions to its UPS: 1.4 s were seen on a dying serial line.
TIME_LIMIT = 3.0


class AskedSensor(ABC):
    """Asks a server what its UPS says. The server, its driver and the UPS may come and go."""

    service: Service
    patience = 5.0
    verify_takes = 0.0

    def __init__(
        self, settings: Nut | Apcupsd, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._floor = settings.calibration_floor
        self._peer = Peer(settings.host, settings.port, time_limit=TIME_LIMIT)
        self.poll = settings.poll
        self._retry = Retry(self.place(), clock)

    @abstractmethod
    def place(self) -> str:
        """Return what is asked, and where, for the log."""

    @abstractmethod
    def remedy(self) -> str:
        """Return what to do where the UPS says nothing of use."""

    @abstractmethod
    async def ask(self) -> Report:
        """Return what the UPS says of itself.

        Raises:
            AnswerError: The answer is not this kind of server's.
            OSError: There is none.
            SensorError: The server says itself that it can't tell.
        """

    def describe(self) -> str:
        """Return one line for the log."""
        return f"{self.place()}, asked every {self.poll:g} s; no password, no TLS"

    async def read(self) -> Reading:
        """Return what the server says now."""
        return await self._retry.attempt(self._look)

    async def verify(self) -> Reading:
        """Return `read()`: each answer is the server's own, and there is no wire to check."""
        return await self.read()

    def close(self) -> None:
        """Drop the connection."""
        self._peer.close()

    async def _look(self) -> Reading:
        try:
            report = await self.ask()
        except (AnswerError, OSError) as error:
            raise SensorError(explain(error, self._peer, self.service)) from None
        judged = reading(report, self._floor, self.remedy())
        if judged.mains is None:
            raise SensorError(judged.reason, answered=True)
        return judged
