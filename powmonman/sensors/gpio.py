"""Mains as the level of a GPIO says.

The level is polled: edge detection fails on current kernels, and costs more than polling where it
works. Whatever the library raises is *unknown*, with the way to mend it; the pin is claimed anew
after 1 s, then 2 s, 4 s, 8 s and every 10 s, so that a cured fault ends by itself.

The wire check. A pull resistor makes a cut wire read like one of the two levels, and on a safe
circuit that is "mains lost": without more, a cut wire would shut the fleet down. So before an
outage is believed, in the last moments of `confirm`, the pull is turned against the level for
30 ms. A level that stays is held by the circuit: an outage. One that follows is held by nothing: a
broken wire, *unknown*. This decides only where the circuit drives the pin while the mains are lost,
and harms where it does not: every real outage would pass for a broken wire. So it is made only on a
level of low, and never for `active_low`, whose usual circuit, an opto-isolator to ground, lets go
of the pin in an outage.
A wire once found broken stays *unknown* until the level is high, or a check, made anew every 5 s,
finds it held.

| mains on = | pull | a cut wire reads | wire check                                         |
|------------|------|------------------|----------------------------------------------------|
| high       | down | outage           | decides                                            |
| high       | off  | as it floats     | decides, if a resistor at the far end pulls low    |
| high       | up   | mains on         | not needed: low against the pull-up is held low    |
| low        | up   | outage           | can't: an open opto-isolator looks like a cut wire |
| low        | off  | as it floats     | can't, likewise                                    |
| low        | down | mains on         | refused: no outage would ever be seen              |
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from powmonman.core.power import Reading, unknown
from powmonman.sensors import header, remedies
from powmonman.sensors.rpigpio import InputPin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from powmonman.config.sources import Gpio

# A pull of 50 kOhm charges the 100 nF of a noise filter to 86 % in this time.
SETTLE = 0.010
# 20 ms are one period of 50 Hz: a loose wire that picks up the mains is high in some of them.
SAMPLES = 5
SPACING = 0.004

CHECK_AGAIN = 5.0
FIRST_RETRY = 1.0
LAST_RETRY = 10.0

_log = logging.getLogger("powmonman.sensors")


class GpioSensor:
    """Polls one GPIO.

    Raises:
        ValueError: The pin is no GPIO of the header, or `pull` would hide every outage.
    """

    def __init__(self, settings: Gpio, clock: Callable[[], float] = time.monotonic) -> None:
        self._where = header.locate(settings.pin)
        if settings.active_low and settings.pull == "down":
            raise ValueError(
                "active_low needs `pull: up` (or `pull: off` and a resistor of your own): "
                "with `pull: down` a cut wire, or an open opto-isolator, reads as mains on for ever"
            )
        self._settings = settings
        self._clock = clock
        self._pin = InputPin(settings.pin)
        # The pull is turned during the wire check: nobody may read the level meanwhile.
        self._turned = asyncio.Lock()
        self._loose = False
        self._check_again_at = 0.0
        self._fault = ""
        self._retry_delay = 0.0
        self._retry_at = 0.0

    patience = 5.0

    @property
    def poll(self) -> float:
        """Seconds between two calls of `read`."""
        return self._settings.poll

    @property
    def verify_takes(self) -> float:
        """Seconds that `verify` takes at the least: its own waits, where it checks the wire."""
        return SETTLE + SAMPLES * SPACING + SETTLE if self.checks_wire else 0.0

    @property
    def checks_wire(self) -> bool:
        """Whether `verify` turns the pull to find a broken wire."""
        settings = self._settings
        return settings.wire_check and not settings.active_low and settings.pull != "up"

    def describe(self) -> str:
        """Return one line for the log."""
        level = "low" if self._settings.active_low else "high"
        return (
            f"{self._where}: {level} while the mains are on, pull {self._settings.pull}, "
            f"{self._describe_wire_check()}; read every {self._settings.poll:g} s "
            f"by {self._pin.library or 'RPi.GPIO or rpi-lgpio, not loaded yet'}"
        )

    def _describe_wire_check(self) -> str:
        settings = self._settings
        if self.checks_wire:
            return "wire check on"
        if settings.pull == "off":
            cut = "as it floats"
        else:
            cut = (
                "as an outage" if (settings.pull == "up") == settings.active_low else "as mains on"
            )
        why = " (it can't tell on this circuit)" if settings.wire_check else ""
        return f"no wire check{why}, a cut wire reads {cut}"

    async def read(self) -> Reading:
        """Return what the level says now."""
        async with self._turned:
            return await self._attempt(self._look)

    async def verify(self) -> Reading:
        """Return what the level says, and unknown where the wire check finds nothing behind it."""
        async with self._turned:
            return await self._attempt(self._check_wire)

    def close(self) -> None:
        """Give back the pin."""
        self._pin.release()

    async def _attempt(self, look: Callable[[], Awaitable[Reading]]) -> Reading:
        if self._fault and self._clock() < self._retry_at:
            return unknown(self._fault)
        try:
            reading = await look()
        except Exception as error:  # noqa: BLE001 - lgpio.error derives from Exception only
            return self._failed(error)
        if self._fault:
            _log.info("%s can be read again", self._where)
        self._fault, self._retry_delay = "", 0.0
        return reading

    def _failed(self, error: Exception) -> Reading:
        self._pin.release()
        self._loose = False
        self._retry_delay = min(max(FIRST_RETRY, 2 * self._retry_delay), LAST_RETRY)
        self._retry_at = self._clock() + self._retry_delay
        mend = remedies.remedy(error, self._where.bcm)
        fault = f"{self._where}: {remedies.describe(error)}; {mend}"
        if fault != self._fault:
            _log.warning("%s", fault)
        self._fault = fault
        return unknown(fault)

    async def _observe(self) -> Reading:
        if not self._pin.claimed:
            self._pin.claim(self._settings.pull)
            self._announce()
            await asyncio.sleep(SETTLE)
        return Reading(mains=self._pin.is_high() != self._settings.active_low)

    def _announce(self) -> None:
        _log.info("%s", self.describe())
        if self._where.caution:
            # GPIO0 to 3 are never a good choice, the others only where something else wants them.
            level = logging.WARNING if self._where.bcm <= 3 else logging.INFO
            _log.log(level, "GPIO%d %s", self._where.bcm, self._where.caution)

    async def _look(self) -> Reading:
        reading = await self._observe()
        if reading.mains is not False:
            self._loose = False
        elif self._loose:
            due = self._clock() >= self._check_again_at
            return await self._check_wire() if due else self._broken_wire()
        return reading

    async def _check_wire(self) -> Reading:
        reading = await self._observe()
        if reading.mains is not False or not self.checks_wire:
            return reading
        try:
            self._pin.claim("up")
            held = await self._stays_low()
            self._pin.claim(self._settings.pull)
            await asyncio.sleep(SETTLE)
        except BaseException:
            # Also when cancelled: a pull left turned would read as mains on.
            self._pin.release()
            raise
        reading = await self._observe()
        self._loose = reading.mains is False and not held
        self._check_again_at = self._clock() + CHECK_AGAIN
        return self._broken_wire() if self._loose else reading

    def _broken_wire(self) -> Reading:
        return unknown(
            f"{self._where}: nothing drives it: a broken wire; or a circuit that never pulls low, "
            "then set wire_check: false"
        )

    async def _stays_low(self) -> bool:
        await asyncio.sleep(SETTLE)
        for _ in range(SAMPLES):
            if self._pin.is_high():
                return False
            await asyncio.sleep(SPACING)
        return True
