"""What the server keeps of its UPSes: in /run across a restart, on disk across a power cut.

The disk is written when an outage begins or ends, and every `DURABLE_EVERY` seconds while a budget
is being spent or paid back, and synced each time.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from powmonman.core.outage import Record, Supply
from powmonman.core.records import RecordError, from_json, to_json
from powmonman.server.disk import Disk, File, faults
from powmonman.service.clock import boot_id, boottime
from powmonman.service.files import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping

DURABLE_EVERY = 30.0
FILE = "server-upses.json"


class Memory:
    """The two copies of what is known of every UPS."""

    def __init__(self, runtime_dir: str, state_dir: str) -> None:
        loss = "an outage would be forgotten in a power cut"
        self._volatile = File(Path(runtime_dir) / FILE, loss)
        self._disk = Disk(Path(state_dir) / FILE, loss)
        self._written = -DURABLE_EVERY
        self._written_spent: dict[str, float] = {}

    @property
    def faults(self) -> dict[str, str]:
        """What is wrong with the copies, by path."""
        return faults(self._volatile, self._disk)

    def recall(self, name: str, supply: Supply) -> Supply:
        """Return `supply` with what an earlier process knew of the UPS `name`."""
        for file in (self._volatile, self._disk):
            kept = read_json(file.path) or {}
            try:
                record = from_json(Record, dict(kept["upses"])[name])
            except (KeyError, TypeError, ValueError, RecordError):
                continue
            same_boot = bool(boot_id()) and kept.get("boot_id") == boot_id()
            return supply.resumed(record, boottime(), same_boot=same_boot)
        return supply

    async def keep(self, supplies: Mapping[str, Supply], *, changed: bool) -> None:
        """Write both copies as due; never takes longer than `disk.TIMEOUT`."""
        now = boottime()
        records = {name: supply.record(now) for name, supply in supplies.items()}
        body = {
            "boot_id": boot_id(),
            "upses": {name: to_json(record) for name, record in records.items()},
        }
        self._volatile.put(body)
        spent = {name: record.spent for name, record in records.items()}
        stale = spent != self._written_spent or bool(self._disk.fault)
        if not changed and not (stale and now - self._written >= DURABLE_EVERY):
            return
        self._written, self._written_spent = now, spent
        await self._disk.write(body)
