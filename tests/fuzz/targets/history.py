"""The record's database: what is damaged is set aside, and the next outage is on record again."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from fuzzing import emptied, expect

from powmonman.core.timeline import Moment, Stamp
from powmonman.server.archive import (
    FILE,
    Archive,
    Began,
    Ended,
    Handed,
    NewerError,
    Noted,
    SetAsideError,
    read,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORDS = (b"SQLite format 3\0", b"CREATE TABLE", b"outage", b"moment", b"diary", b"REAL", b"TEXT")
LARGEST = 40_000
JOBS = (
    Began("known", "rack", Stamp("b", 10.0)),
    Noted("known", "joined", Stamp("b", 12.0), "nas"),
    Handed("nas", 7, "known", Moment("counting", 3.0, "nas", seq=7)),
    Ended("known", Stamp("b", 20.0)),
)


def target(data: bytes) -> None:
    path = emptied("history") / FILE
    path.write_bytes(data)
    jobs = [*JOBS]
    for outage in _read(path):
        jobs += [Noted(outage, "joined", Stamp("b", 30.0), "db"), Ended(outage, Stamp("b", 40.0))]
    archive = Archive(path, 10)
    for _ in range(3):
        try:
            noted = archive.prepare()
            archive.write(jobs)
        except SetAsideError:
            continue
        except (sqlite3.Error, OSError):
            break
        expect(
            all(isinstance(k, str) and isinstance(v, int) for k, v in noted.items()),
            "diaries that were taken to no number",
        )
        found = {record.id: record for record in read(path)}
        expect("known" in found, "written, and not there")
        expect(len(found["known"].moments) >= 1, "written, and not there")
        break
    else:
        expect(False, "set aside for ever")
    expect(len(list(path.parent.iterdir())) <= 4, "files pile up")


def hostile() -> Iterator[bytes]:
    yield b"SQLite format 3\0" + b"\xff" * 100_000
    yield b"\0" * 100_000


def _read(path: Path) -> list[str]:
    """Return the outages that are on record already."""
    try:
        return [str(record.id) for record in read(path)][:20]
    except (NewerError, sqlite3.Error, OSError):
        return []
