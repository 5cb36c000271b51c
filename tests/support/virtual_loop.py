"""An event loop whose time passes only while everybody sleeps, and then at once.

Every wake-up may be late, as on a busy machine, never early. Nothing waits for a file or a thread.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class _Selector(selectors.DefaultSelector):
    """Passes the time instead of waiting."""

    def __init__(self, late: Callable[[], float]) -> None:
        super().__init__()
        self.now = 1000.0
        self._late = late

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("nobody would ever wake up")
        if timeout > 0:
            self.now += timeout + self._late()
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Lives by its own clock; `late` says by how many seconds the next wake-up is late."""

    def __init__(self, late: Callable[[], float]) -> None:
        self._passing = _Selector(late)
        super().__init__(self._passing)

    def time(self) -> float:
        """Return the seconds of this loop's own clock."""
        return self._passing.now


def run(
    story: Callable[[VirtualLoop], Coroutine[Any, Any, None]], late: Callable[[], float]
) -> None:
    """Let a story happen on a loop of its own."""
    loop = VirtualLoop(late)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(story(loop))
