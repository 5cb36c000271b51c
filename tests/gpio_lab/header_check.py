"""On a Raspberry Pi: a person connects the wires, the sensor says what it makes of them."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING

from powmonman.config.sources import Gpio
from powmonman.sensors import header
from powmonman.sensors.gpio import GpioSensor

if TYPE_CHECKING:
    from powmonman.core.power import Reading

MAINS = {True: "on", False: "off", None: "unknown"}


def run(bcm: int) -> int:
    """Ask for three connections and judge each; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        pin = header.locate(bcm)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    nearest, _ = pin.grounds
    steps = (
        (f"physical pin {pin.physical} to physical pin 1 (3.3 V) through 1 kOhm", True, ""),
        (f"physical pin {pin.physical} to physical pin {nearest} (ground)", False, ""),
        (f"nothing to physical pin {pin.physical}", None, "broken wire"),
    )
    print("Count the pins twice: physical pins 2 and 4 carry 5 V, which destroys a GPIO.")
    sensor = GpioSensor(Gpio(pin=bcm))
    wrong = 0
    try:
        for what, mains, words in steps:
            input(f"\nConnect {what}, then press Enter: ")
            reading = asyncio.run(sensor.verify())
            right = reading.mains is mains and words in reading.reason
            wrong += not right
            print(f"{'ok' if right else 'WRONG'}: {_words(reading)}")
    except (EOFError, KeyboardInterrupt):
        print("\nstopped")
        return 1
    finally:
        sensor.close()
    return 1 if wrong else 0


def _words(reading: Reading) -> str:
    why = f" ({reading.reason})" if reading.reason else ""
    return f"mains {MAINS[reading.mains]}{why}"
