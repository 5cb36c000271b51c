"""A sensor that is read by a test, however soon after its last failure."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from powmonman.sensors.retry import LAST_RETRY

if TYPE_CHECKING:
    from collections.abc import Callable

    from powmonman.core.power import Reading
    from powmonman.sensors import Sensor


class Reader:
    """A context manager that closes the sensor.

    Attributes:
        sensor: It; made by `make`, which is given the sensor's clock.
    """

    def __init__(self, make: Callable[[Callable[[], float]], Sensor]) -> None:
        self._now = 0.0
        self.sensor = make(lambda: self._now)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sensor.close()

    def read(self) -> Reading:
        """Return a reading; the longest wait for the next try is over."""
        return asyncio.run(self.look())

    async def look(self) -> Reading:
        """Return what `read` does, in the caller's event loop."""
        self._now += LAST_RETRY
        return await self.sensor.read()
