"""What the server keeps of its UPSes: in /run across a restart, on disk across a power cut.

The disk is a Raspberry Pi's SD card: it is written when an outage begins or ends, and every
`DURABLE_EVERY` seconds while a budget is being spent or paid back, and synced each time. A disk
that can't be written is a fault that is reported at once, not at the outage.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from powmonman.core.outage import Record, Supply
from powmonman.core.records import RecordError, from_json, to_json
from powmonman.service.clock import boot_id, boottime
from powmonman.service.files import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = logging.getLogger("powmonman.server")

DURABLE_EVERY = 30.0
DISK_TIMEOUT = 2.0
FILE = "server-upses.json"


class Memory:
    """The two copies of what is known of every UPS."""

    def __init__(self, runtime_dir: str, state_dir: str) -> None:
        self._volatile = Path(runtime_dir) / FILE
        self._durable = Path(state_dir) / FILE
        self._disk = Disk(self._durable, self._wrote)
        self._written = -DURABLE_EVERY
        self._written_spent: dict[str, float] = {}
        self.faults: dict[str, str] = {}

    def recall(self, name: str, supply: Supply) -> Supply:
        """Return `supply` with what an earlier process knew of the UPS `name`."""
        for path in (self._volatile, self._durable):
            kept = read_json(path) or {}
            try:
                record = from_json(Record, dict(kept["upses"])[name])
            except (KeyError, TypeError, ValueError, RecordError):
                continue
            same_boot = bool(boot_id()) and kept.get("boot_id") == boot_id()
            return supply.resumed(record, boottime(), same_boot=same_boot)
        return supply

    async def keep(self, supplies: Mapping[str, Supply], *, changed: bool) -> None:
        """Write both copies as due; never takes longer than `DISK_TIMEOUT`."""
        now = boottime()
        records = {name: supply.record(now) for name, supply in supplies.items()}
        body = {
            "boot_id": boot_id(),
            "upses": {name: to_json(record) for name, record in records.items()},
        }
        try:
            write_json(self._volatile, body, durable=False)
        except OSError as error:
            self._wrote(self._volatile, error.strerror or str(error))
        else:
            self._wrote(self._volatile, "")
        spent = {name: record.spent for name, record in records.items()}
        stale = spent != self._written_spent or str(self._durable) in self.faults
        if not changed and not (stale and now - self._written >= DURABLE_EVERY):
            return
        self._written, self._written_spent = now, spent
        try:
            async with asyncio.timeout(DISK_TIMEOUT):
                await self._disk.write(body)
        except TimeoutError:
            self._wrote(self._durable, f"not written within {DISK_TIMEOUT:.0f} s")

    def _wrote(self, path: Path, fault: str) -> None:
        """Report what has become of a write, where that is news."""
        if fault == self.faults.get(str(path), ""):
            return
        if fault:
            log.error("%s: %s · an outage would be forgotten in a power cut", path, fault)
            self.faults[str(path)] = fault
        else:
            log.info("%s can be written again", path)
            del self.faults[str(path)]


class Disk:
    """Writes the newest of what it is given, one after the other, in a thread of its own.

    A disk that hangs keeps this thread, and neither the server nor its end.
    """

    def __init__(self, path: Path, wrote: Callable[[Path, str], None]) -> None:
        self._path = path
        self._wrote = wrote
        self._due: tuple[dict[str, Any], list[asyncio.Future[None]]] | None = None
        self._wake = threading.Condition()
        threading.Thread(target=self._run, name="disk", daemon=True).start()

    async def write(self, body: dict[str, Any]) -> None:
        """Return when `body`, or what was given later, has been tried to be written."""
        loop = asyncio.get_running_loop()
        tried: asyncio.Future[None] = loop.create_future()
        with self._wake:
            waiting = self._due[1] if self._due else []
            self._due = (body, [*waiting, tried])
            self._wake.notify()
        await tried

    def _run(self) -> None:
        while True:
            with self._wake:
                while self._due is None:
                    self._wake.wait()
                (body, waiting), self._due = self._due, None
            fault = ""
            try:
                write_json(self._path, body, durable=True)
            except OSError as error:
                fault = error.strerror or str(error)
            # The loop may have ended meanwhile.
            with contextlib.suppress(RuntimeError):
                waiting[0].get_loop().call_soon_threadsafe(self._tried, fault, waiting)

    def _tried(self, fault: str, waiting: list[asyncio.Future[None]]) -> None:
        self._wrote(self._path, fault)
        for tried in waiting:
            if not tried.done():
                tried.set_result(None)
