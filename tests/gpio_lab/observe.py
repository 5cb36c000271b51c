"""Reads one pin as the server does, and prints a JSON line for each change.

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
from typing import TYPE_CHECKING, Any

from powmonman.config.schema import Gpio, Ups
from powmonman.core.power import Debounce
from powmonman.sensors import create

if TYPE_CHECKING:
    from powmonman.sensors import Sensor


def say(**fields: Any) -> None:
    """Print one line; `at` is CLOCK_MONOTONIC, which all processes of a machine share."""
    print(json.dumps({"at": time.monotonic(), **fields}), flush=True)


class Observer:
    """The server's loop around one sensor, and what it costs."""

    def __init__(self, sensor: Sensor, debounce: Debounce) -> None:
        self._sensor = sensor
        self._debounce = debounce
        self._told: tuple[Any, ...] = ()
        self.stop = asyncio.Event()
        self.reads: list[float] = []

    async def run(self) -> None:
        """Poll until `stop` is set."""
        while not self.stop.is_set():
            started = time.perf_counter()
            reading = await self._sensor.read()
            self.reads.append(1000 * (time.perf_counter() - started))
            self._debounce = self._debounce.observe(reading, time.monotonic())
            if self._debounce.wants_verify:
                reading = await self._sensor.verify()
                self._debounce = self._debounce.verified(reading, time.monotonic())
            told = (reading.mains, self._debounce.state, reading.reason)
            if told != self._told:
                say(mains=told[0], state=told[1], reason=told[2], about=self._sensor.describe())
                self._told = told
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), self._sensor.poll)


async def main() -> None:
    """Observe what the JSON in the first argument describes."""
    given = json.loads(sys.argv[1])
    sensor = create(Ups(sensor="gpio", gpio=Gpio(**given["gpio"])))
    observer = Observer(sensor, Debounce(given["confirm"], given["restore_confirm"]))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, observer.stop.set)
    task = asyncio.ensure_future(observer.run())
    await asyncio.sleep(1)
    first, before = observer.reads[0], len(observer.reads)
    since, cpu = time.monotonic(), time.process_time()
    await task
    seconds, reads = time.monotonic() - since, observer.reads[before:] or [0.0]
    say(
        first_read_ms=first,
        seconds=seconds,
        read_ms=statistics.mean(reads),
        slowest_read_ms=max(reads),
        reading_ms_per_minute=60 * sum(reads) / seconds,
        cpu_ms_per_minute=60_000 * (time.process_time() - cpu) / seconds,
        working_directory=os.getcwd(),  # noqa: PTH109 - what the kernel says, not what we remember
    )
    sensor.close()


asyncio.run(main())
