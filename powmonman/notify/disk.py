"""Small files written aside, in order, by a thread of their own.

A disk that hangs keeps this thread, and neither the server nor its end. What can't be written is
kept and tried again with the next write; of one file only the newest content counts, and is
turned into JSON here.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from powmonman.core.records import to_json
from powmonman.service.files import write_json

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger("powmonman.notify")


class Disk:
    """Writes to one directory, which it makes. `fault` says why it can't; empty: it can."""

    def __init__(self, directory: Path) -> None:
        self.fault = ""
        self._directory = directory
        self._due: dict[str, Any] = {}
        self._asked = self._busy = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def write(self, name: str, record: Any) -> None:
        """Have a frozen dataclass written to the file `name`, durably. Returns at once."""
        self._put(name, record)

    def remove(self, name: str) -> None:
        """Have the file `name` removed. Returns at once."""
        self._put(name, None)

    def retry(self) -> None:
        """Try again what could not be written."""
        with self._changed:
            self._asked = bool(self._due)
            self._changed.notify_all()

    def settle(self, seconds: float) -> bool:
        """Wait until all is written, for `seconds` at most; False if it is not."""
        end = time.monotonic() + seconds
        with self._changed:
            while self._busy or self._asked:
                if (left := end - time.monotonic()) <= 0:
                    return False
                self._changed.wait(left)
            return not self._due

    def _put(self, name: str, record: Any) -> None:
        with self._changed:
            # At the end: what is written after another must come after it.
            self._due.pop(name, None)
            self._due[name] = record
            self._asked = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="notify", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._asked:
                    self._changed.wait()
                due, self._due = self._due, {}
                self._asked, self._busy = False, True
            left = self._write(due)
            with self._changed:
                # What came meanwhile is newer.
                self._due = {**left, **self._due}
                self._busy = False
                self._changed.notify_all()

    def _write(self, due: dict[str, Any]) -> dict[str, Any]:
        """Return what could not be written."""
        left: dict[str, Any] = {}
        fault, wrote = "", False
        for name, record in due.items():
            path = self._directory / name
            try:
                if record is None:
                    path.unlink(missing_ok=True)
                else:
                    self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
                    write_json(path, to_json(record), durable=True)
                    wrote = True
            except OSError as error:
                fault = error.strerror or str(error)
                left[name] = record
        if fault != self.fault and (fault or wrote):
            self._say(fault)
            self.fault = fault
        return left

    def _say(self, fault: str) -> None:
        if fault:
            log.error("%s: %s · notifications would not survive a restart", self._directory, fault)
        else:
            log.info("%s can be written again", self._directory)
