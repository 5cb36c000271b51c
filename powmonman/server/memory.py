"""What the server keeps of its UPSes: in /run across a restart, on disk across a power cut.

The disk is a Raspberry Pi's SD card: it is written when an outage begins or ends, and every
`DURABLE_EVERY` seconds while a budget is being spent or paid back, and synced each time. A disk
that can't be written is a fault that is reported at once, not at the outage.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from powmonman.core.outage import Record, Supply
from powmonman.core.records import RecordError, from_json, to_json
from powmonman.service.clock import boot_id, boottime
from powmonman.service.files import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger("powmonman.server")

DURABLE_EVERY = 30.0
DISK_TIMEOUT = 2.0
FILE = "server-upses.json"


class Memory:
    """The two copies of what is known of every UPS."""

    def __init__(self, runtime_dir: str, state_dir: str) -> None:
        self._volatile = Path(runtime_dir) / FILE
        self._durable = Path(state_dir) / FILE
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
        self._write(self._volatile, body)
        spent = {name: record.spent for name, record in records.items()}
        due = now - self._written >= DURABLE_EVERY and spent != self._written_spent
        if not changed and not due:
            return
        self._written, self._written_spent = now, spent
        write = asyncio.to_thread(self._write, self._durable, body, durable=True)
        try:
            await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(write)), DISK_TIMEOUT)
        except TimeoutError:
            self._fault(self._durable, f"not written within {DISK_TIMEOUT:.0f} s")

    def _write(self, path: Path, body: dict[str, Any], *, durable: bool = False) -> None:
        try:
            write_json(path, body, durable=durable)
        except OSError as error:
            self._fault(path, error.strerror or str(error))
        else:
            if self.faults.pop(str(path), None):
                log.info("%s can be written again", path)

    def _fault(self, path: Path, reason: str) -> None:
        if self.faults.get(str(path)) != reason:
            log.error("%s: %s · an outage would be forgotten in a power cut", path, reason)
        self.faults[str(path)] = reason
