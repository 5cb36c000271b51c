"""One UPS with several sensors: off only if a quorum of them agrees.

All are asked at once, and each is kept from spoiling the others: one that raises, or that takes
longer than its own patience, is *unknown* and the rest are heard. What follows from the readings
stands in `core.witness`.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING

from powmonman.core.witness import agreed
from powmonman.sensors import Alert
from powmonman.sensors.guard import guarded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from powmonman.core.power import Reading
    from powmonman.sensors import Sensor

# For the members' own timeouts to be kept, and for the loop to be late.
MARGIN = 1.0


class WitnessedSensor:
    """Asks several sensors. Its poll is the slowest one's: each reading is of all of them."""

    def __init__(self, sensors: Sequence[Sensor], quorum: int | None = None) -> None:
        self._sensors = tuple(sensors)
        self._quorum = quorum

    @property
    def poll(self) -> float:
        """Seconds between two calls of `read`."""
        return max(sensor.poll for sensor in self._sensors)

    @property
    def patience(self) -> float:
        """Seconds after which a look that has not ended counts as unknown."""
        return max(sensor.patience for sensor in self._sensors) + MARGIN

    @property
    def verify_takes(self) -> float:
        """Seconds that a closer look takes at the least: all look at once."""
        return max(sensor.verify_takes for sensor in self._sensors)

    def describe(self) -> str:
        """Return one line for the log."""
        count = len(self._sensors)
        needed = count if self._quorum is None else min(self._quorum, count)
        each = " · ".join(sensor.describe() for sensor in self._sensors)
        return f"{needed} of {count} must say off: {each}"

    async def read(self) -> Reading:
        """Return what the sensors say together now."""
        return await self._ask([sensor.read for sensor in self._sensors])

    async def verify(self) -> Reading:
        """Return what they say together after a closer look of each."""
        return await self._ask([sensor.verify for sensor in self._sensors])

    async def wait(self) -> None:
        """Return when one of them may have news."""
        alerts = [
            asyncio.ensure_future(sensor.wait())
            for sensor in self._sensors
            if isinstance(sensor, Alert)
        ]
        try:
            if alerts:
                done, _ = await asyncio.wait(alerts, return_when=asyncio.FIRST_COMPLETED)
                for alert in done:
                    alert.result()
            else:
                await asyncio.Event().wait()
        finally:
            for alert in alerts:
                alert.cancel()
            await asyncio.gather(*alerts, return_exceptions=True)

    def close(self) -> None:
        """Give back what the sensors hold."""
        with ExitStack() as stack:
            for sensor in self._sensors:
                stack.callback(sensor.close)

    async def _ask(self, looks: Sequence[Callable[[], Awaitable[Reading]]]) -> Reading:
        readings = await asyncio.gather(
            *(
                guarded(look, sensor.patience)
                for look, sensor in zip(looks, self._sensors, strict=True)
            )
        )
        return agreed(list(zip(self._names, readings, strict=True)), self._quorum)

    @cached_property
    def _names(self) -> list[str]:
        """A short name for each: what its description begins with, such as GPIO17 or ping."""
        heads = [sensor.describe().partition(": ")[0] for sensor in self._sensors]
        names = [head.partition(" (")[0] for head in heads]
        return [
            name if names.count(name) == 1 else f"{name} #{names[:at].count(name) + 1}"
            for at, name in enumerate(names)
        ]
