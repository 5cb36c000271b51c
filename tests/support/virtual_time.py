"""The clocks of every machine of a virtual fleet, under the product's own `service.clock`.

Whoever is about to act sets them first. The wall clock is set too, to whatever it likes, and each
look at it is counted: what decides must never look.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unittest import mock

from powmonman.service import clock

if TYPE_CHECKING:
    from collections.abc import Iterator

YEAR = 365 * 86400.0


@dataclass
class Clocks:
    """Stands where `service.clock` expects the module `time`."""

    running: float = 0.0
    boot: float = 0.0
    wall: float = 1.7e9
    looks: int = 0

    CLOCK_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    def monotonic(self) -> float:
        return self.running

    def clock_gettime(self, which: int) -> float:
        assert which == self.CLOCK_BOOTTIME
        return self.boot

    def time(self) -> float:
        self.looks += 1
        return self.wall


CLOCKS = Clocks()


@contextlib.contextmanager
def virtual_time() -> Iterator[Clocks]:
    """Let the product live by `CLOCKS`."""
    with mock.patch.object(clock, "time", CLOCKS):
        yield CLOCKS
