"""The files that the server keeps itself: what was wrong with the latest write of each is known.

The disk is a Raspberry Pi's SD card, and may hang. One that can't be written is a fault that is
reported at once, not at the outage.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any

from powmonman.service.files import write_json

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger("powmonman.server")

TIMEOUT = 2.0
# An object, or its JSON.
Body = dict[str, Any] | str


class File:
    """A file that is replaced whole.

    Attributes:
        fault: Why it could not be written; empty if it could. It is logged when it is news.
    """

    def __init__(self, path: Path, loss: str) -> None:
        """`loss` is what a file that can't be written means, in words."""
        self.path = path
        self.fault = ""
        self._loss = loss

    def put(self, body: Body) -> None:
        """Write `body`, not waiting for the disk: for what must survive a restart alone."""
        try:
            write_json(self.path, body, durable=False)
        except OSError as error:
            self._wrote(error.strerror or str(error))
        else:
            self._wrote("")

    def _wrote(self, fault: str) -> None:
        if fault == self.fault:
            return
        if fault:
            log.error("%s: %s · %s", self.path, fault, self._loss)
        else:
            log.info("%s can be written again", self.path)
        self.fault = fault


class Disk(File):
    """A file that must survive a power cut. It is written in a thread of its own.

    A disk that hangs keeps this thread, and neither the server nor its end.
    """

    def __init__(self, path: Path, loss: str) -> None:
        super().__init__(path, loss)
        self._due: tuple[Body, list[asyncio.Future[None]]] | None = None
        self._wake = threading.Condition()
        threading.Thread(target=self._run, name="disk", daemon=True).start()

    async def write(self, body: Body) -> None:
        """Return when `body`, or what was given later, is on the disk; at most after `TIMEOUT`."""
        tried: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._wake:
            waiting = self._due[1] if self._due else []
            self._due = (body, [*waiting, tried])
            self._wake.notify()
        try:
            async with asyncio.timeout(TIMEOUT):
                await tried
        except TimeoutError:
            self._wrote(f"not written within {TIMEOUT:.0f} s")

    def _run(self) -> None:
        while True:
            with self._wake:
                while self._due is None:
                    self._wake.wait()
                (body, waiting), self._due = self._due, None
            fault = ""
            try:
                write_json(self.path, body, durable=True)
            except OSError as error:
                fault = error.strerror or str(error)
            # The loop may have ended meanwhile.
            with contextlib.suppress(RuntimeError):
                waiting[0].get_loop().call_soon_threadsafe(self._tried, fault, waiting)

    def _tried(self, fault: str, waiting: list[asyncio.Future[None]]) -> None:
        self._wrote(fault)
        for tried in waiting:
            if not tried.done():
                tried.set_result(None)


def faults(*files: File) -> dict[str, str]:
    """Return what is wrong with `files`, by their paths."""
    return {str(file.path): file.fault for file in files if file.fault}
