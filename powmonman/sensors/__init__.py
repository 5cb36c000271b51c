"""Sensors: what tells a UPS's condition, behind one small interface.

A new kind of sensor is a module here, a class with the methods of `Sensor`, and a line in
`create`. Nothing else in the product knows which kind it talks to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from powmonman.sensors.gpio import GpioSensor
from powmonman.sensors.simulated import SimulatedSensor

if TYPE_CHECKING:
    from powmonman.config.schema import Ups
    from powmonman.core.power import Reading

__all__ = ["Sensor", "create"]


class Sensor(Protocol):
    """One source of readings. No method blocks the event loop for more than about 20 ms."""

    @property
    def poll(self) -> float:
        """Seconds between two calls of `read`."""

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


def create(ups: Ups) -> Sensor:
    """Return the sensor that `ups` names. Touches no hardware and no file.

    Raises:
        ValueError: The settings can't work on any machine, such as a pin that is no GPIO.
    """
    if ups.sensor == "simulated":
        return SimulatedSensor(ups.simulated)
    return GpioSensor(ups.gpio)
