"""What goes into the record, and how it gets there: a queue, and a thread that writes.

Nothing here waits for the disk. What can't be written stays in the queue and is tried again; a disk
that is full, read-only or hangs is a fault that is reported once, and costs only the record.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
import time
from collections import deque
from pathlib import Path

from powmonman.core.timeline import LONGEST_TEXT, Kind, Moment, Stamp
from powmonman.server.archive import (
    FILE,
    MOST_MOMENTS,
    Archive,
    Began,
    Ended,
    Handed,
    Job,
    Noted,
    SetAsideError,
)
from powmonman.service.clock import boot_id, boottime, trusted_wall

log = logging.getLogger("powmonman.server")

MOST_QUEUED = 10_000
# What happens together is written together.
LINGER = 1.0
RETRY = 15.0
HANGS_AFTER = 10.0
CLOSING = 3.0


class History:
    """The record of outages and drills, kept in `state_dir`.

    Attributes:
        noted: How far each host's diary is on the disk.
    """

    def __init__(self, state_dir: str, keep: int) -> None:
        self.path = Path(state_dir) / FILE
        self.noted: dict[str, int] = {}
        self._archive = Archive(self.path, keep)
        self._queue: deque[Job] = deque()
        self._wake = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closing = False
        self._waiting_since: float | None = None
        self._lost = 0
        self._fault = ""
        self._counts: dict[tuple[str, str], int] = {}
        self._handed: dict[str, int] = {}

    @property
    def faults(self) -> list[str]:
        """What is wrong with it, for the report."""
        return [f"{self.path}: {self._fault}"] if self._fault else []

    def start(self) -> None:
        """Begin to write; needs a running loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self._thread.start()

    def keep(self, count: int) -> None:
        """Keep so many outages from now on."""
        self._archive.keep = count

    def begin(self, outage: str, ups: str = "", *, began: float, drill: bool = False) -> None:
        """An outage, or a drill, has begun at `began` (CLOCK_BOOTTIME). May be said again."""
        now = _stamp()
        wall = None if now.wall is None else now.wall - (now.boot - began)
        self._put(Began(outage, ups, Stamp(now.boot_id, began, wall), drill))

    def note(
        self,
        outage: str,
        kind: str,
        host: str = "",
        text: str = "",
        at: float | None = None,
        *,
        boot: str = "",
    ) -> None:
        """Something has happened now, or `at` seconds after the loss.

        `kind` is a `timeline.Kind`, `boot` the boot of the host in which it happened. An outage
        that is not on record gets one. Beyond a bound for each host nothing more is taken.
        """
        count = self._counts.get((outage, host), 0)
        if not outage or count >= MOST_MOMENTS:
            return
        if len(self._counts) >= MOST_QUEUED:
            self._counts.clear()
        self._counts[outage, host] = count + 1
        self._put(Noted(outage, Kind(kind), _stamp(), host, text[:LONGEST_TEXT], at, boot))

    def end(self, outage: str) -> None:
        """The outage, or the drill, is over."""
        self._put(Ended(outage, _stamp()))

    def hand(self, host: str, outage: str, moment: Moment) -> bool:
        """Take an entry of a host's diary; False if it is there already, or there is no room."""
        if moment.seq <= max(self._handed.get(host, 0), self.noted.get(host, 0)):
            return False
        if not self._put(Handed(host, moment.seq, outage, moment)):
            return False
        self._handed[host] = moment.seq
        return True

    def watch(self) -> None:
        """See whether the disk hangs. Called now and then."""
        since = self._waiting_since
        if since is not None and time.monotonic() - since > HANGS_AFTER and not self._fault:
            self._tried(f"not written for {HANGS_AFTER:.0f} s", {})

    async def close(self) -> None:
        """Write what is left, for as long as an end may take."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, CLOSING)

    def _put(self, job: Job) -> bool:
        with self._wake:
            if len(self._queue) >= MOST_QUEUED:
                self._lost += 1
                return False
            self._queue.append(job)
            self._wake.notify()
        return True

    def _run(self) -> None:
        prepared = set_aside = False
        while True:
            with self._wake:
                while prepared and not self._queue and not self._closing:
                    self._wake.wait()
                if prepared and not self._closing:
                    self._wake.wait_for(lambda: self._closing, LINGER)
                jobs = list(self._queue)
            if prepared and not jobs:
                return
            self._waiting_since = time.monotonic()
            try:
                noted = {}
                if not prepared:
                    noted, prepared = self._archive.prepare(), True
                self._archive.write(jobs)
            except SetAsideError as error:
                log.error("%s: %s", self.path, error)
                # What breaks each new file too is not to be tried in circles.
                if self._rest(RETRY if set_aside else 0.0):
                    return
                set_aside = True
                continue
            except (sqlite3.Error, OSError) as error:
                self._waiting_since = None
                self._report(str(getattr(error, "strerror", None) or error), {})
                if self._rest(RETRY):
                    return
                continue
            self._waiting_since, set_aside = None, False
            with self._wake:
                for _ in jobs:
                    self._queue.popleft()
            for job in jobs:
                if isinstance(job, Handed):
                    noted[job.host] = max(noted.get(job.host, 0), job.seq)
            self._report("", noted)

    def _rest(self, seconds: float) -> bool:
        """Wait before the next try; whether there is none because the end has come."""
        with self._wake:
            return bool(self._wake.wait_for(lambda: self._closing, seconds)) and seconds > 0

    def _report(self, fault: str, noted: dict[str, int]) -> None:
        # The loop may have ended meanwhile.
        with contextlib.suppress(RuntimeError):
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._tried, fault, noted)

    def _tried(self, fault: str, noted: dict[str, int]) -> None:
        for host, seq in noted.items():
            self.noted[host] = max(seq, self.noted.get(host, 0))
        if fault == self._fault:
            return
        if fault:
            log.error("%s: %s · outages are not recorded meanwhile", self.path, fault)
        else:
            lost = f", {self._lost} entries were lost" if self._lost else ""
            log.info("%s can be written again%s", self.path, lost)
            self._lost = 0
        self._fault = fault


def _stamp() -> Stamp:
    return Stamp(boot_id(), boottime(), trusted_wall())
