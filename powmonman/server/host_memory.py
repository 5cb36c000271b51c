"""What the server keeps of its hosts: in /run across a restart, on disk across a power cut.

Who has committed, who is down, who was there when the mains failed: a server that is restarted in
the middle of an outage must know it, and whoever wakes hosts afterwards too. While nothing happens
the disk is written once in `SPARED` seconds at the most; in an outage, and when a host commits or
is down, within a second. It is written in a thread of its own: nothing here waits for it.

Both copies hold all hosts, but a host is put into words only when something has become known of it:
while a large fleet joins, that is once a second a few hundred of many thousand.
"""

from __future__ import annotations

import asyncio
import json
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
    from powmonman.server.roster import Roster

log = logging.getLogger("powmonman.server")

SPARED = 60.0
FILE = "server-hosts.json"
# Of more hosts than can be connected: 10,000 have 6 MB.
LARGEST = 64 * 1024 * 1024


class HostMemory:
    """The two copies of what is known of every host."""

    def __init__(self, runtime_dir: str, state_dir: str) -> None:
        loss = "who is down would be forgotten in a power cut"
        self._volatile = File(Path(runtime_dir) / FILE, loss)
        self._disk = Disk(Path(state_dir) / FILE, loss)
        self._kept: dict[str, HostRecord] = {}
        self._words: dict[str, str] = {}
        self._written_at = -SPARED
        self._seen = 0
        self._behind = self._fateful = self._again = self._urgent = False
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
        self._urgent, self._again = urgent, False
        if self._take(roster) or faulty:
            self._volatile.put(self._body())
        if not (self._behind or self._disk.fault):
            return
        if not (rested or urgent or self._fateful):
            return
        if self._writing is not None and not self._writing.done():
            self._again = True
            return
        self._written_at, self._behind, self._fateful = now, False, False
        self._writing = asyncio.ensure_future(self._disk.write(self._body()))

    def _take(self, roster: Roster) -> bool:
        """Take what has become known of any host; return whether there is anything to write."""
        changed = roster.records(self._seen)
        news = {name: record for name, record in changed.items() if record != self._kept.get(name)}
        here = {name for name, host in roster.hosts.items() if host.since is not None}
        gone = self._kept.keys() - here
        self._seen = roster.changes
        for name in gone:
            self._behind = True
            self._fateful |= bool(_fate(self._kept.pop(name)))
            del self._words[name]
        for name, record in news.items():
            before = self._kept.get(name)
            self._behind |= before is None or _lasting(record) != _lasting(before)
            self._fateful |= _fate(record) != _fate(before)
            self._kept[name] = record
            # The inside of an object with this host alone.
            self._words[name] = json.dumps({name: to_json(record)})[1:-1]
        return bool(news or gone)

    def _body(self) -> str:
        hosts = ", ".join(self._words.values())
        return f'{{"boot_id": {json.dumps(boot_id())}, "hosts": {{{hosts}}}}}'

    async def close(self, roster: Roster) -> None:
        """Write what is due, and wait for the disk, but not for long."""
        if self._writing is not None:
            await self._writing
        self._again = True
        self.keep(roster, urgent=True)
        if self._writing is not None:
            await self._writing


def _lasting(record: HostRecord) -> HostRecord:
    """Return what is worth a write to the disk."""
    return replace(record, since=None)


def _fate(record: HostRecord | None) -> tuple[str, str, bool] | None:
    """Return what must not be lost of a host that is down or goes."""
    if record is not None and (record.phase or record.down):
        return record.phase, record.outage, bool(record.down)
    return None


def _readable(hosts: dict[str, Any]) -> list[tuple[str, HostRecord]]:
    found = []
    for name, value in hosts.items():
        try:
            found.append((name, from_json(HostRecord, value)))
        except (RecordError, TypeError, AttributeError):
            log.warning("what was kept of %r can't be read: forgotten", name)
    return found
