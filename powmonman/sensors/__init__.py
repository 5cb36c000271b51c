"""Sensors: what tells a UPS's condition, behind one small interface.

A new kind of sensor is a module here, a class with the methods of `Sensor`, a line in `KINDS` and
its section in the configuration's schema. Nothing else in the product knows which kind it talks to.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

if TYPE_CHECKING:
    from powmonman.config.sources import Source, Ups
    from powmonman.core.power import Reading

__all__ = ["Alert", "Sensor", "create", "pause"]

# Imported when they are used: a server with a wire needs no client of NUT in its memory.
KINDS = {
    "gpio": "gpio.GpioSensor",
    "battery": "battery.BatterySensor",
    "nut": "nut.NutSensor",
    "apcupsd": "apcupsd.ApcupsdSensor",
    "command": "command.CommandSensor",
    "ping": "ping.PingSensor",
    "simulated": "simulated.SimulatedSensor",
}

# News come in bursts (an adapter, then its batteries), and however many come, nobody looks more
# often than this. Seconds.
SETTLE = 0.1

_log = logging.getLogger("powmonman.sensors")


class Sensor(Protocol):
    """One source of readings. No method blocks the event loop for more than about 20 ms."""

    @property
    def poll(self) -> float:
        """Seconds between two calls of `read`."""

    @property
    def patience(self) -> float:
        """Seconds after which a `read` or `verify` that has not answered counts as unknown."""

    @property
    def verify_takes(self) -> float:
        """Seconds that `verify` takes at the least, if it says off; 0 where it is like `read`.

        So much before the mains would count as lost it is begun.
        """

    def describe(self) -> str:
        """Return one line for the log: what is read, where, and by which library."""

    async def read(self) -> Reading:
        """Return what is so now.

        Never raises for a fault of the sensor: that is a reading of unknown, whose reason says
        what is wrong and how to mend it. The last reading is never repeated as if it were new.
        """

    async def verify(self) -> Reading:
        """Take a closer look, before the mains count as lost. Same promises as `read`."""

    def close(self) -> None:
        """Give back what the sensor holds. It may be read again afterwards."""


@runtime_checkable
class Alert(Protocol):
    """What a sensor has beside, if it hears of changes: most don't, and are polled alone."""

    async def wait(self) -> None:
        """Return when there may be news, which then is read at once; may take for ever.

        A hint: what it misses is read after `poll` seconds all the same. May be cancelled at any
        time.
        """


async def pause(sensor: Sensor, seconds: float) -> bool:
    """Wait for `seconds`, or for the news of a sensor that is an `Alert`; return whether it had."""
    if not isinstance(sensor, Alert):
        await asyncio.sleep(seconds)
        return False
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            try:
                await sensor.wait()
                await asyncio.sleep(SETTLE)
            except Exception:  # noqa: BLE001 - whatever it is, it is only a hint's
                # A fault of the hint must neither end the watch nor speed it up.
                _log.debug("no news from the sensor", exc_info=True)
                await asyncio.sleep(seconds)
            return True
    return False


def create(ups: Ups) -> Sensor:
    """Return the sensor of `ups`, with its witnesses. Touches no hardware and no file.

    Raises:
        ValueError: The settings can't work on any machine, such as a pin that is no GPIO.
    """
    first = create_one(ups)
    if not ups.witnesses:
        return first
    from powmonman.sensors.witnessed import WitnessedSensor

    return WitnessedSensor((first, *map(create_one, ups.witnesses)), ups.quorum)


def create_one(source: Source) -> Sensor:
    """Return the sensor that `source` names.

    Raises:
        ValueError: As `create`.
    """
    module, _, name = KINDS[source.sensor].partition(".")
    cls = getattr(import_module(f"powmonman.sensors.{module}"), name)
    return cast("Sensor", cls(getattr(source, source.sensor)))
