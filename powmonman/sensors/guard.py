"""A sensor's answer, or unknown in its place: nothing that it does reaches its caller."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from powmonman.core.power import Reading, unknown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_log = logging.getLogger("powmonman.sensors")


async def guarded(look: Callable[[], Awaitable[Reading]], patience: float) -> Reading:
    """Return what `look` does; unknown where it raises, or takes longer than `patience` seconds."""
    try:
        # Not wait_for(): in Python 3.11 it may swallow the end of this task.
        async with asyncio.timeout(patience):
            return await look()
    except TimeoutError:
        return unknown(f"the sensor did not answer within {patience:g} s")
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller must go on
        _log.debug("a sensor failed", exc_info=True)
        return unknown(f"the sensor failed: {type(error).__name__}: {error}")
