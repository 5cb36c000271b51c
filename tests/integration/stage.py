"""Tests that mostly wait are played at the same time, each on a fleet of its own."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from .fleet import Fleet

    Play = Callable[[Fleet], None]

AT_ONCE = 5


def together(play: Play) -> Callable[[Stage], None]:
    """Make a test of a function of a fleet; all such tests begin when the first is due."""

    def test(stage: Stage) -> None:
        stage.result(play)

    test.__name__, test.__doc__ = play.__name__, play.__doc__
    test.play = play  # type: ignore[attr-defined]
    return test


def plays_below(directory: Path, items: Iterable[object]) -> list[Play]:
    """Return the functions of the tests in `directory` that were marked, of those to be run."""
    return [
        item.function.play
        for item in items
        if isinstance(item, pytest.Function)
        and hasattr(item.function, "play")
        and item.path.is_relative_to(directory)
    ]


class Stage:
    """The tests that are played together, as many at once as this machine bears."""

    def __init__(self, plays: Iterable[Play], new_fleet: Callable[[], Fleet]) -> None:
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._playing: dict[Play, Future[None]] = {
            play: self._pool.submit(_played, play, new_fleet) for play in plays
        }

    def result(self, play: Play) -> None:
        """Wait for the end of one; raises what it raised."""
        self._playing[play].result()

    def close(self) -> None:
        """Wait for the end of all."""
        self._pool.shutdown(cancel_futures=True)


def _played(play: Play, new_fleet: Callable[[], Fleet]) -> None:
    fleet = new_fleet()
    try:
        play(fleet)
    except BaseException as error:
        error.add_note(fleet.logs())
        raise
    finally:
        fleet.close()
