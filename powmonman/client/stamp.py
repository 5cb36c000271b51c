"""The words in a request: why it was made, and when, so that root can tell an old one.

A client that was killed may leave a request behind that nobody took up; the root-owned path unit
finds it when it is started, hours after the outage. Root believes a request one thing: that it is
old, or of another boot. Then nothing is run. Whatever else it says, or where it says nothing that
can be read, its being there counts: the disk may have been too full for a word.

The clock is CLOCK_BOOTTIME: the wall clock may be set in between.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from powmonman.core.records import RecordError, from_json, printable, to_json
from powmonman.service.clock import boot_id, boottime
from powmonman.service.files import read_json

if TYPE_CHECKING:
    from pathlib import Path

# A client that stands behind its request renews it more often. On a host that hardly responds,
# root may take minutes to come to it.
STANDS_FOR = 300.0
# A page: written over in place, it needs no room on a full disk.
SIZE = 4096
LONGEST_REASON = 500


@dataclass(frozen=True)
class Stamp:
    """A request: `at` is on the boot clock of `boot_id`."""

    boot_id: str
    at: float
    reason: str = ""


def content(reason: str) -> bytes:
    """Return what a request that is made now says, in `SIZE` bytes."""
    stamp = Stamp(boot_id(), boottime(), printable(reason)[:LONGEST_REASON])
    return json.dumps(to_json(stamp), ensure_ascii=False).encode(errors="replace").ljust(SIZE)


def read(path: Path) -> Stamp | None:
    """Return what the request in `path` says; None if that can't be read."""
    try:
        return from_json(Stamp, read_json(path, SIZE) or {})
    except RecordError:
        return None


def refusal(path: Path) -> str:
    """Say why the request in `path` is not to be carried out; empty if it is."""
    stamp = read(path)
    if stamp is None:
        return ""
    if stamp.boot_id != boot_id():
        return "it was made before the last boot"
    age = boottime() - stamp.at
    return f"it was made {age:.0f} s ago" if age > STANDS_FOR else ""
