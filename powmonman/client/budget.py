"""How long this host's shutdowns really take: from the commit to its last sign of life.

From the commit on, a stamp on the disk is renewed once a second. The next boot finds what the last
one left, and the time between is one measurement; the latest few are kept. What the stamp says is
on the clock that counts through suspend, of the boot whose id it bears: never the wall clock.

The disk may be full, read-only or hanging: all writing is done in threads of its own, and costs the
measurement at most.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from powmonman.core.records import RecordError, from_json, to_json
from powmonman.service.clock import boot_id, boottime
from powmonman.service.files import read_json, write_json
from powmonman.service.harmless import harmless

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = logging.getLogger("powmonman.client")

STAMP = "shutdown-stamp.json"
TAKES = "shutdown-takes.json"
LATEST = 5
RENEW_EVERY = 1.0
LONGEST = 86400.0
END_TIMEOUT = 1.0

T = TypeVar("T")


@dataclass(frozen=True)
class Stamp:
    """A shutdown under way: when it was committed to, and when the host last lived (boottime)."""

    boot_id: str
    committed: float
    seen: float


@dataclass(frozen=True)
class Takes:
    """What the latest shutdowns took, in seconds, the oldest first."""

    seconds: tuple[float, ...] = ()


class Budget:
    """Measures this host's shutdowns.

    Args:
        state_dir: Where it is kept over a boot.
        committed: This host has committed in this boot, and an earlier process measures already.
    """

    def __init__(self, state_dir: Path, *, committed: bool) -> None:
        self._directory = state_dir
        self._writing = threading.Lock()
        self._unwritten = False
        self._measuring: threading.Thread | None = None
        self._ended, self._void = threading.Event(), threading.Event()
        kept = _read(state_dir / TAKES, Takes) or Takes()
        self._takes = tuple(taken for taken in kept.seconds if 0 <= taken <= LONGEST)[-LATEST:]
        stamp = _read(state_dir / STAMP, Stamp)
        if stamp is None:
            return
        if stamp.boot_id != boot_id():
            self._fold(stamp)
        elif committed:
            self._start(stamp.committed)
        else:
            self._in_background(self._remove)

    @property
    def shutdown_takes(self) -> float | None:
        """Seconds that the longest of the latest shutdowns took; None before the first."""
        return max(self._takes, default=None)

    @harmless
    def begin(self) -> None:
        """This host has committed: its shutdown begins now."""
        if self._measuring is None and boot_id():
            self._start(boottime())

    def cancel(self) -> None:
        """This host has not gone down after all: nothing is measured."""
        if self._measuring is None:
            return
        # In this order: who sees the end sees why.
        self._void.set()
        self._ended.set()
        self._measuring = None

    def close(self) -> None:
        """Leave a last sign of life; waits for a slow disk for a moment only."""
        self._ended.set()
        if self._measuring is not None:
            self._measuring.join(END_TIMEOUT)

    def _fold(self, stamp: Stamp) -> None:
        took = stamp.seen - stamp.committed
        if 0 <= took <= LONGEST:
            log.info("the last shutdown of this host took %.0f s", took)
            self._takes = (*self._takes, took)[-LATEST:]
        self._in_background(self._keep)

    def _keep(self) -> None:
        # In this order: a crash in between counts a measurement twice, and loses none.
        if self._write(TAKES, Takes(self._takes), durable=True):
            self._remove()

    def _start(self, committed: float) -> None:
        self._ended, self._void = ended, void = threading.Event(), threading.Event()
        self._measuring = self._in_background(lambda: self._renew(committed, ended, void))

    def _renew(self, committed: float, ended: threading.Event, void: threading.Event) -> None:
        """The first stamp waits for the disk: the power may go. A clean end syncs the others."""
        durable = True
        while not void.is_set():
            self._write(STAMP, Stamp(boot_id(), committed, boottime()), durable=durable)
            durable = False
            if ended.is_set():
                break
            ended.wait(RENEW_EVERY)
        if void.is_set():
            self._remove()

    def _in_background(self, work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            with self._writing:
                work()

        thread = threading.Thread(target=run, name="budget", daemon=True)
        thread.start()
        return thread

    def _write(self, name: str, record: Stamp | Takes, *, durable: bool) -> bool:
        path = self._directory / name
        try:
            write_json(path, to_json(record), durable=durable)
        except OSError as error:
            if not self._unwritten:
                log.warning("%s: %s · this shutdown is not measured", path, error.strerror)
            self._unwritten = True
            return False
        return True

    def _remove(self) -> None:
        path = self._directory / STAMP
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s: %s", path, error.strerror)


def _read(path: Path, cls: type[T]) -> T | None:
    kept = read_json(path)
    if kept is None:
        return None
    try:
        return from_json(cls, kept)
    except RecordError as error:
        log.warning("%s can't be used: %s", path, error)
        return None
