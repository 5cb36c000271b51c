from __future__ import annotations

import re
import time
from pathlib import Path

from powmonman.service.clock import boot_id, boottime, now


def test_both_clocks_are_seconds_that_only_grow() -> None:
    first = now()
    time.sleep(0.02)
    second = now()
    assert 0.02 <= second.running - first.running < 5
    assert 0.02 <= second.boot - first.boot < 5


def test_the_clock_of_the_battery_is_that_of_the_kernel() -> None:
    uptime = float(Path("/proc/uptime").read_text("ascii").split()[0])
    assert abs(boottime() - uptime) < 1


def test_a_boot_has_an_id() -> None:
    assert re.fullmatch(r"[0-9a-f-]{36}", boot_id())
    assert boot_id() == boot_id()
