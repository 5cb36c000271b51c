"""The clocks that decide. The wall clock is none of them: it is for people, where it is right."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from powmonman.core.plan import Now

if TYPE_CHECKING:
    from collections.abc import Callable

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
# Made by systemd-timesyncd when it has set the clock in this boot.
_TIMESYNC = Path("/run/systemd/timesync/synchronized")
# adjtimex(2): the clock is not synchronised.
_TIME_ERROR = 5
_LARGER_THAN_TIMEX = 1024


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


def trusted_wall() -> float | None:
    """Seconds of the wall clock if it is known to be right, else None.

    A Raspberry Pi has no clock of its own: after a boot it may say anything until it is set.
    """
    return time.time() if _was_set() or _kernel_says_synchronised() else None


def _was_set() -> bool:
    try:
        return _TIMESYNC.exists()
    except OSError:
        return False


def _kernel_says_synchronised() -> bool:
    """Ask the kernel, whoever sets its clock; where that is not allowed, nobody knows."""
    try:
        return 0 <= _adjtimex()(bytes(_LARGER_THAN_TIMEX)) < _TIME_ERROR
    except Exception:  # noqa: BLE001 (ctypes fails in its own ways where memory is locked down)
        return False


@cache
def _adjtimex() -> Callable[[bytes], int]:
    # Memory that only a host in an outage pays for.
    import ctypes

    libc = ctypes.CDLL(None)
    # All zero is a question, and changes nothing.
    return lambda zeros: int(libc.adjtimex(ctypes.create_string_buffer(zeros)))
