"""When a sensor that failed is tried again, and what the log says of it.

After a failure the next try comes 1 s later, then after 2 s, 4 s, 8 s and every 10 s. A fault is
logged once, as a warning; that it has gone, as information.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from powmonman.core.power import Reading, unknown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

FIRST_RETRY = 1.0
LAST_RETRY = 10.0

_log = logging.getLogger("powmonman.sensors")


class SensorError(Exception):
    """Why the sensor can't tell, and how to mend it: "what is wrong; what to do".

    Attributes:
        answered: The server is well and says so itself: the next poll asks again.
    """

    def __init__(self, text: str, *, answered: bool = False) -> None:
        super().__init__(text)
        self.answered = answered


class Retry:
    """Turns what a sensor raises into readings of unknown, and spaces out its tries."""

    def __init__(self, place: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._place = place
        self._clock = clock
        self._fault = ""
        self._delay = 0.0
        self._at = 0.0

    async def attempt(self, look: Callable[[], Awaitable[Reading]]) -> Reading:
        """Return what `look` returns; unknown while it fails, or while its next try is not due."""
        if self._fault and self._clock() < self._at:
            return unknown(self._fault)
        try:
            reading = await look()
        except SensorError as fault:
            return self._failed(fault)
        if self._fault:
            _log.info("%s can be read again", self._place)
        self._fault, self._delay = "", 0.0
        return reading

    def _failed(self, fault: SensorError) -> Reading:
        self._delay = 0.0 if fault.answered else min(max(FIRST_RETRY, 2 * self._delay), LAST_RETRY)
        self._at = self._clock() + self._delay
        text = f"{self._place}: {fault}"
        if text != self._fault:
            _log.warning("%s", text)
        self._fault = text
        return unknown(text)
