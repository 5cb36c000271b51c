"""The clocks that decide. The wall clock is none of them."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

from powmonman.core.plan import Now

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boottime() -> float:
    """Seconds since this host was booted, suspend included."""
    return time.clock_gettime(_BOOTTIME)


def now() -> Now:
    """The present on both clocks."""
    return Now(running=time.monotonic(), boot=boottime())


@cache
def boot_id() -> str:
    """A random id of this boot of this host; empty where the kernel has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""
