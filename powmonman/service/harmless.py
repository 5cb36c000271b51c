"""For the record, the measurement, the drill: their errors must not reach what counts."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, ParamSpec

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("powmonman.service")

P = ParamSpec("P")


def harmless(function: Callable[P, None]) -> Callable[P, None]:
    """Let `function` fail without anybody noticing but the log, which hears of the first time."""
    failed = False

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        nonlocal failed
        try:
            function(*args, **kwargs)
        except Exception:
            level = logging.DEBUG if failed else logging.ERROR
            failed = True
            log.log(level, "%s failed; all else goes on", function.__name__, exc_info=True)

    return guarded
