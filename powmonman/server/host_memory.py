"""What the server keeps of its hosts: in /run across a restart, on disk across a power cut.

Who has committed, who is down, who was there when the mains failed: a server that is restarted in
the middle of an outage must know it, and whoever wakes hosts afterwards too. While nothing happens
the disk is written once in `SPARED` seconds at the most; in an outage, and when a host commits or
is down, within a second. It is written in a thread of its own: nothing here waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from powmonman.core.records import RecordError, from_json, to_json
from powmonman.server.disk import Disk, File, faults
from powmonman.server.roster import HostRecord
from powmonman.service.clock import boot_id, boottime
from powmonman.service.files import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from powmonman.server.roster import Roster

log = logging.getLogger("powmonman.server")

SPARED = 60.0
FILE = "server-hosts.json"
# Of some ten thousand hosts.
LARGEST = 8 * 1024 * 1024


class HostMemory:
    """The two copies of what is known of every host."""

    def __init__(self, runtime_dir: str, state_dir: str) -> None:
        loss = "who is down would be forgotten in a power cut"
        self._volatile = File(Path(runtime_dir) / FILE, loss)
        self._disk = Disk(Path(state_dir) / FILE, loss)
        self._kept: dict[str, HostRecord] = {}
        self._written: dict[str, HostRecord] = {}
        self._written_at = -SPARED
        self._seen = -1
        self._behind = self._again = self._urgent = False
        self._writing: asyncio.Task[None] | None = None

    @property
    def faults(self) -> dict[str, str]:
        """What is wrong with the copies, by path."""
        return faults(self._volatile, self._disk)

    def recall(self) -> tuple[dict[str, HostRecord], bool]:
        """Return what an earlier process knew, and whether this host has run on since."""
        for file in (self._volatile, self._disk):
            kept = read_json(file.path, LARGEST)
            hosts = kept.get("hosts") if kept else None
            if not kept or not isinstance(hosts, dict):
                continue
            same_boot = bool(boot_id()) and kept.get("boot_id") == boot_id()
            return dict(_readable(hosts)), same_boot
        return {}, False

    def keep(self, roster: Roster, *, urgent: bool = False) -> None:
        """Write both copies as due; `urgent`: the durable one at once, if anything has changed."""
        now = boottime()
        faulty = bool(self.faults)
        changed = roster.changes != self._seen
        rested = now - self._written_at >= SPARED
        if not (changed or self._again or (urgent and not self._urgent) or rested):
            return
        if rested and not (changed or self._again or self._behind or faulty):
            return
        self._seen, self._urgent, self._again = roster.changes, urgent, False
        records = roster.records()
        body = _body(records)
        if records != self._kept or faulty:
            self._kept = records
            self._volatile.put(body)
        lasting = {name: replace(record, since=None) for name, record in records.items()}
        self._behind = lasting != self._written
        if not (self._behind or self._disk.fault):
            return
        if not (rested or urgent or _fates(lasting) != _fates(self._written)):
            return
        if self._writing is not None and not self._writing.done():
            self._again = True
            return
        self._written, self._written_at, self._behind = lasting, now, False
        self._writing = asyncio.ensure_future(self._disk.write(body))

    async def close(self, roster: Roster) -> None:
        """Write what is due, and wait for the disk, but not for long."""
        if self._writing is not None:
            await self._writing
        self._again = True
        self.keep(roster, urgent=True)
        if self._writing is not None:
            await self._writing


def _body(records: Mapping[str, HostRecord]) -> dict[str, Any]:
    return {
        "boot_id": boot_id(),
        "hosts": {name: to_json(record) for name, record in records.items()},
    }


def _fates(records: Mapping[str, HostRecord]) -> dict[str, tuple[str, str, bool]]:
    """Return of every host what must not be lost."""
    return {
        name: (record.phase, record.outage, bool(record.down))
        for name, record in records.items()
        if record.phase or record.down
    }


def _readable(hosts: dict[str, Any]) -> list[tuple[str, HostRecord]]:
    found = []
    for name, value in hosts.items():
        try:
            found.append((name, from_json(HostRecord, value)))
        except (RecordError, TypeError, AttributeError):
            log.warning("what was kept of %r can't be read: forgotten", name)
    return found
