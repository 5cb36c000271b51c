"""Mains as the host's own batteries and adapters say: a laptop, or a Raspberry Pi on a UPS HAT.

On Linux the kernel's power supplies are read (`power_supply`) and judged (`battery_table`), on
other systems psutil is asked. Polling is the truth; where the kernel's events arrive, a change is
read at once.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from powmonman.core.power import Reading, unknown
from powmonman.sensors import psutil_battery
from powmonman.sensors.battery_table import Seen, decide
from powmonman.sensors.power_supply import read_supplies

if TYPE_CHECKING:
    from powmonman.config.sources import Battery
    from powmonman.sensors.uevents import Uevents

KERNELS = Path("/sys")

_log = logging.getLogger("powmonman.sensors")


class BatterySensor:
    """Polls the power supplies of this host."""

    def __init__(self, settings: Battery, platform: str = sys.platform) -> None:
        self._settings = settings
        self._root = Path(settings.root)
        self._linux = platform == "linux"
        self._events = self._kernel_events()
        self._seen = Seen()
        self._look: asyncio.Task[Reading] | None = None
        self._told = self.describe()

    patience = 5.0
    verify_takes = 0.0

    @property
    def poll(self) -> float:
        """Seconds between two calls of `read`."""
        return self._settings.poll

    def describe(self) -> str:
        """Return one line for the log: what is read, and how a change is noticed."""
        source = f"power supplies in {self._root}" if self._linux else "by psutil"
        return f"battery: {source}, {self._describe_notice()}"

    def _describe_notice(self) -> str:
        polled = f"polled every {self._settings.poll:g} s"
        if self._events is None:
            why = f" (no kernel events: not below {KERNELS})" if self._linux else ""
            return polled + why
        if not self._events.opened:
            return polled
        if self._events.fault:
            return f"{polled} (no kernel events: {self._events.fault})"
        if self._events.certain:
            return f"changes by kernel events, and {polled}"
        return f"{polled}, and by kernel events where they arrive"

    async def read(self) -> Reading:
        """Return what the supplies say now.

        An embedded controller may take long to answer, so it is asked in a thread, and only once
        at a time: a driver that hangs must not use up the threads of the others.
        """
        self._announce()
        while self._look and not self._look.done():
            await asyncio.wait([self._look])
        self._look = asyncio.create_task(asyncio.to_thread(self._read))
        return await asyncio.shield(self._look)

    async def verify(self) -> Reading:
        """Return `read()`: it looks at everything there is."""
        return await self.read()

    async def wait(self) -> None:
        """Return when the kernel has told of a change."""
        if self._events is None:
            await asyncio.Event().wait()
        else:
            await self._events.wait()

    def close(self) -> None:
        """Listen to the kernel no more; nothing else is held open between reads."""
        if self._events:
            self._events.close()

    def _kernel_events(self) -> Uevents | None:
        # A recorded tree isn't the kernel's, and other systems lack what the module imports.
        if not self._linux or not self._root.is_relative_to(KERNELS):
            return None
        from powmonman.sensors.uevents import Uevents

        return Uevents("power_supply")

    def _announce(self) -> None:
        if self._events:
            self._events.open()
        if (line := self.describe()) != self._told:
            _log.info("%s", line)
            self._told = line

    def _read(self) -> Reading:
        if not self._linux:
            return psutil_battery.read(self._settings.low)
        try:
            supplies = read_supplies(self._root, self._settings.ignore)
        except OSError as error:
            return unknown(self._unreadable(error))
        reading = decide(supplies, self._seen, self._settings.low)
        self._seen = self._seen.and_now(supplies)
        return reading

    def _unreadable(self, error: OSError) -> str:
        why = (error.strerror or str(error)).lower()
        mend = "is `root` right, and may the service read it?"
        if isinstance(error, FileNotFoundError):
            mend = "this kernel shows no power supplies there: set `root`, or use another sensor"
        return f"{error.filename or self._root}: {why}; {mend}"
