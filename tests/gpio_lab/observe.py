"""Reads one sensor as the server does, and prints a JSON line for each change.

Runs as its own process, so that it can be another user, in another group, with another library.
SIGTERM ends it with a line of figures.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import statistics
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from powmonman.config.sources import Battery, Gpio, Ups
from powmonman.core.power import Debounce
from powmonman.sensors import create, pause

if TYPE_CHECKING:
    from powmonman.sensors import Sensor


def say(**fields: Any) -> None:
    """Print one line; `at` is CLOCK_MONOTONIC, which all processes of a machine share."""
    print(json.dumps({"at": time.monotonic(), **fields}), flush=True)


def wake_ups() -> int:
    """Return how often the threads of this process have gone to sleep so far."""
    found = 0
    for status in Path("/proc/self/task").glob("*/status"):
        found += int(status.read_text().partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return found


class Observer:
    """The server's loop around one sensor, and what it costs."""

    def __init__(self, sensor: Sensor, debounce: Debounce) -> None:
        self._sensor = sensor
        self._debounce = debounce
        self._told: tuple[Any, ...] = ()
        self.reads: list[float] = []

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            started = time.perf_counter()
            reading = await self._sensor.read()
            self.reads.append(1000 * (time.perf_counter() - started))
            self._debounce = self._debounce.observe(reading, time.monotonic())
            if self._debounce.wants_verify:
                reading = await self._sensor.verify()
                self._debounce = self._debounce.verified(reading, time.monotonic())
            about = self._sensor.describe()
            told = (reading, self._debounce.state, about)
            if told != self._told:
                say(**asdict(reading), state=self._debounce.state, about=about)
                self._told = told
            await pause(self._sensor, self._sensor.poll)


async def main() -> None:
    """Observe what the JSON in the first argument describes."""
    given = json.loads(sys.argv[1])
    gpio, battery = Gpio(**given.get("gpio", {})), Battery(**given.get("battery", {}))
    sensor = create(Ups(sensor=given["sensor"], gpio=gpio, battery=battery))
    debounce = Debounce(
        confirm=given["confirm"],
        restore_confirm=given["restore_confirm"],
        max_gap=max(3.0, 4 * sensor.poll),
        verify_takes=sensor.verify_takes,
    )
    observer = Observer(sensor, debounce)
    task = asyncio.ensure_future(observer.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await asyncio.sleep(1)
    first, before = observer.reads[0], len(observer.reads)
    since, cpu, woken = time.monotonic(), time.process_time(), wake_ups()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    seconds, reads = time.monotonic() - since, observer.reads[before:] or [0.0]
    say(
        first_read_ms=first,
        seconds=seconds,
        read_ms=statistics.mean(reads),
        slowest_read_ms=max(reads),
        reading_ms_per_minute=60 * sum(reads) / seconds,
        cpu_ms_per_minute=60_000 * (time.process_time() - cpu) / seconds,
        wake_ups_per_second=(wake_ups() - woken) / seconds,
        working_directory=os.getcwd(),  # noqa: PTH109 - what the kernel says, not what we remember
    )
    sensor.close()


asyncio.run(main())
