"""The file that the record is in: an SQLite database, made for an SD card and for bad days.

A few small transactions, each synced; no write-ahead log, so that a reader needs no write access.
The file is opened for each of them: nothing is lost to a file that somebody has removed. One that
is damaged, or written by a newer version, is set aside and a new one begun.

What a client claims (an outage that the server itself knows nothing of) makes a record too, but
never at the cost of one that the server has seen, and of few claims a host.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from powmonman.core.timeline import Kind, Moment, Stamp, since

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FILE = "history.sqlite"
MODE = 0o640
BUSY_TIMEOUT = 5.0
MOST_MOMENTS = 200
MOST_CLAIMS = 5

# The schema by version; each entry takes a file of the version before to its own. Never change one.
MIGRATIONS = (
    """
    CREATE TABLE outage (
        id TEXT PRIMARY KEY,
        ups TEXT NOT NULL DEFAULT '',
        drill INTEGER NOT NULL DEFAULT 0,
        boot_id TEXT NOT NULL DEFAULT '',
        began REAL NOT NULL DEFAULT 0,
        wall REAL,
        length REAL
    );
    CREATE TABLE moment (
        outage TEXT NOT NULL REFERENCES outage (id) ON DELETE CASCADE,
        source TEXT NOT NULL,
        seq INTEGER NOT NULL,
        kind TEXT NOT NULL,
        at REAL,
        host TEXT NOT NULL,
        text TEXT NOT NULL,
        wall REAL,
        boot TEXT NOT NULL,
        PRIMARY KEY (outage, source, seq)
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE outage ADD COLUMN claimed_by TEXT NOT NULL DEFAULT '';
    CREATE TABLE diary (host TEXT PRIMARY KEY, noted INTEGER NOT NULL) WITHOUT ROWID;
    """,
)
VERSION = len(MIGRATIONS)
# The statements are always the same: an error in one of them is the file's too (SQLITE_ERROR).
_BROKEN = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FORMAT,
    sqlite3.SQLITE_NOTADB,
}


class SetAsideError(Exception):
    """The file could not be used and has been renamed; a new one is begun."""


class NewerError(Exception):
    """The file was written by a newer version."""


@dataclass(frozen=True)
class Began:
    """The server has seen an outage, or a drill, begin at `stamp`."""

    outage: str
    ups: str
    stamp: Stamp
    drill: bool = False


@dataclass(frozen=True)
class Noted:
    """Something happened at `stamp`, or `at` seconds after the loss."""

    outage: str
    kind: str
    stamp: Stamp
    host: str = ""
    text: str = ""
    at: float | None = None
    boot: str = ""


@dataclass(frozen=True)
class Ended:
    """The outage was over at `stamp`."""

    outage: str
    stamp: Stamp


@dataclass(frozen=True)
class Handed:
    """What a host says of an outage, and how far its diary has been taken with it."""

    host: str
    seq: int
    outage: str
    moment: Moment


Job = Began | Noted | Ended | Handed


@dataclass(frozen=True)
class Record:
    """One outage, or one drill.

    Attributes:
        began: When, on the server's clocks.
        length: Seconds; None while it lasts, or where the server did not see its end.
        claimed_by: The host by whose words alone it is known.
    """

    id: str
    ups: str
    drill: bool
    began: Stamp
    length: float | None
    claimed_by: str
    moments: tuple[Moment, ...]


class Archive:
    """The database at `path`, with at most `keep` outages in it."""

    def __init__(self, path: Path, keep: int) -> None:
        self.path = path
        self.keep = keep

    def prepare(self) -> dict[str, int]:
        """Make the file fit for use; return how far each host's diary has been taken.

        Raises:
            SetAsideError: It was not fit, and has been renamed. Call this again.
            sqlite3.Error, OSError: It can't be used now.
        """
        with self._opened() as base:
            if base.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                self._set_aside("damaged")
            return dict(base.execute("SELECT host, CAST(noted AS INTEGER) FROM diary"))

    def write(self, jobs: Sequence[Job]) -> None:
        """Write `jobs` in one transaction, all or none.

        Raises:
            SetAsideError: The file is damaged, and has been renamed. Call this again.
            sqlite3.Error, OSError: Nothing was written.
        """
        with self._opened() as base, base:
            base.execute("BEGIN IMMEDIATE")
            for job in jobs:
                _write(base, job)
            _trim(base, self.keep)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(self.path, flags, MODE))
        try:
            with closing(_connect(f"{self.path.absolute().as_uri()}?mode=rw")) as base:
                base.execute("PRAGMA journal_mode = TRUNCATE")
                base.execute("PRAGMA synchronous = FULL")
                base.execute("PRAGMA foreign_keys = ON")
                migrate(base)
                yield base
        except NewerError as error:
            self._set_aside(str(error), "newer")
        except UnicodeDecodeError:
            # SQLite's own complaint quotes what stands in the file.
            self._set_aside("damaged")
        except sqlite3.DatabaseError as error:
            if _code(error) not in _BROKEN:
                raise
            self._set_aside(str(error))

    def _set_aside(self, why: str, suffix: str = "damaged") -> None:
        """Keep the file for whoever wants to look: the last one of its kind only."""
        aside = self.path.with_name(f"{self.path.name}.{suffix}")
        self.path.replace(aside)
        # It belongs to the old file, and would be rolled back into the new one.
        self.path.with_name(f"{self.path.name}-journal").unlink(missing_ok=True)
        raise SetAsideError(f"{why}: kept as {aside.name}, and begun anew")


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's primary code; 0 for what Python itself complains of."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _connect(uri: str) -> sqlite3.Connection:
    base = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
    # A damage that SQLite does not see must not end whoever reads: neither a letter, nor, by the
    # casts below, a value of another type than its column's.
    base.text_factory = lambda text: text.decode("utf-8", "replace")
    return base


def migrate(base: sqlite3.Connection, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Bring the schema up to date, each step in a transaction of its own.

    Raises:
        NewerError: It is newer than this program.
        sqlite3.Error: It could not be done; the schema is that of some whole version.
    """
    (version,) = base.execute("PRAGMA user_version").fetchone()
    if version > len(migrations):
        raise NewerError(f"schema {version}, this program knows {len(migrations)}")
    for number, script in enumerate(migrations[version:], version + 1):
        try:
            base.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")
        except sqlite3.Error:
            if base.in_transaction:
                base.rollback()
            raise


def _write(base: sqlite3.Connection, job: Job) -> None:
    match job:
        case Began(outage, ups, stamp, drill):
            base.execute(
                "INSERT INTO outage (id, ups, drill, boot_id, began, wall) VALUES (?,?,?,?,?,?)"
                " ON CONFLICT (id) DO UPDATE SET ups = excluded.ups, boot_id = excluded.boot_id,"
                " began = excluded.began, claimed_by = '', wall = coalesce(wall, excluded.wall)",
                (outage, ups, drill, stamp.boot_id, stamp.boot, stamp.wall),
            )
        case Noted():
            _note(base, job)
        case Ended(outage, stamp):
            began = _began(base, outage)
            length = None if began is None else since(began, stamp)
            base.execute("UPDATE outage SET length = ? WHERE id = ?", (length, outage))
        case Handed(host, seq, outage, moment):
            _take(base, host, outage, moment)
            base.execute(
                "INSERT INTO diary VALUES (?, ?)"
                " ON CONFLICT (host) DO UPDATE SET noted = max(noted, excluded.noted)",
                (host, seq),
            )


def _note(base: sqlite3.Connection, job: Noted) -> None:
    began = _began(base, job.outage)
    if began is None:
        base.execute("INSERT INTO outage (id) VALUES (?)", (job.outage,))
        began = Stamp("", 0.0)
    if job.kind == Kind.MAINS_LOST and _count(base, job.outage, "", kind=job.kind):
        return
    (last,) = base.execute(
        "SELECT max(seq) FROM moment WHERE outage = ? AND source = ''", (job.outage,)
    ).fetchone()
    at = since(began, job.stamp) if job.at is None else job.at
    said = Moment(job.kind, at, job.host, job.text, job.stamp.wall, job.boot, seq=(last or 0) + 1)
    _insert(base, job.outage, "", said)


def _take(base: sqlite3.Connection, host: str, outage: str, moment: Moment) -> None:
    if _began(base, outage) is None:
        base.execute("INSERT INTO outage (id, claimed_by) VALUES (?, ?)", (outage, host))
    if _count(base, outage, host) < MOST_MOMENTS:
        _insert(base, outage, host, moment)


def _insert(base: sqlite3.Connection, outage: str, source: str, said: Moment) -> None:
    base.execute(
        "INSERT OR IGNORE INTO moment (outage, source, seq, kind, at, host, text, wall, boot)"
        " VALUES (?,?,?,?,?,?,?,?,?)",
        (outage, source, said.seq, said.kind, said.at, said.host, said.text, said.wall, said.boot),
    )


def _count(base: sqlite3.Connection, outage: str, source: str, kind: str = "") -> int:
    query = "SELECT count(*) FROM moment WHERE outage = ? AND source = ? AND (? = '' OR kind = ?)"
    (count,) = base.execute(query, (outage, source, kind, kind)).fetchone()
    return int(count)


def _began(base: sqlite3.Connection, outage: str) -> Stamp | None:
    row = base.execute(
        "SELECT CAST(boot_id AS TEXT), CAST(began AS REAL), CAST(wall AS REAL)"
        " FROM outage WHERE id = ?",
        (outage,),
    ).fetchone()
    return None if row is None else Stamp(*row)


def _trim(base: sqlite3.Connection, keep: int) -> None:
    """Let the oldest give way: what the server has seen only to its like."""
    oldest = "DELETE FROM outage WHERE rowid IN (SELECT rowid FROM outage WHERE {} ORDER BY rowid"
    oldest += " DESC LIMIT -1 OFFSET ?)"
    base.execute(oldest.format("claimed_by = ''"), (keep,))
    base.execute(oldest.format("claimed_by != ''"), (keep,))
    crowded = "SELECT claimed_by FROM outage WHERE claimed_by != '' GROUP BY 1 HAVING count(*) > ?"
    for (host,) in base.execute(crowded, (MOST_CLAIMS,)).fetchall():
        # Where another host says something too, it is not this one's to lose.
        alone = (
            "claimed_by = ? AND NOT EXISTS"
            " (SELECT 1 FROM moment WHERE moment.outage = outage.id AND source != claimed_by)"
        )
        base.execute(oldest.format(alone), (host, MOST_CLAIMS))


def read(path: Path) -> list[Record]:
    """Return every record, the newest first; works beside a server and without one.

    Raises:
        NewerError: The file was written by a newer version.
        sqlite3.Error, OSError: It can't be read.
    """
    # Else SQLite says of a missing file, and of one that may not be read, the same few words.
    with open(path, "rb"):
        pass
    try:
        with closing(_connect(f"{path.absolute().as_uri()}?mode=ro")) as base:
            return _records(base)
    except sqlite3.OperationalError as error:
        if _code(error) not in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}:
            raise
    except UnicodeDecodeError:
        raise sqlite3.DatabaseError("it is damaged") from None
    return _read_interrupted(path)


def _read_interrupted(path: Path) -> list[Record]:
    """Read a copy: the server died while it wrote, and the undoing of that needs to write."""
    # Only whoever reads needs them: the server would load three compressors with them.
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory(prefix="powmonman-") as place:
        copy = Path(place) / path.name
        for suffix in ("", "-journal"):
            source = path.with_name(path.name + suffix)
            if source.exists():
                shutil.copyfile(source, copy.with_name(source.name))
        with closing(_connect(f"{copy.as_uri()}?mode=rw")) as base:
            return _records(base)


def _records(base: sqlite3.Connection) -> list[Record]:
    (version,) = base.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise NewerError(f"schema {version}, this program knows {VERSION}")
    if version < VERSION:
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
            base.backup(copy)
            migrate(copy)
            return _records(copy)
    base.execute("BEGIN")
    moments: dict[str, list[Moment]] = {}
    for outage, source, *rest in base.execute(
        "SELECT CAST(outage AS TEXT), CAST(source AS TEXT), CAST(kind AS TEXT), CAST(at AS REAL),"
        " CAST(host AS TEXT), CAST(text AS TEXT), CAST(wall AS REAL), CAST(boot AS TEXT),"
        " CAST(seq AS INTEGER) FROM moment"
    ):
        kind, at, host, text, wall, boot, seq = rest
        moments.setdefault(outage, []).append(
            Moment(kind, at, host, text, wall, boot, own=bool(source), seq=seq)
        )
    rows = base.execute(
        "SELECT CAST(id AS TEXT), CAST(ups AS TEXT), drill, CAST(boot_id AS TEXT),"
        " CAST(began AS REAL), CAST(wall AS REAL), CAST(length AS REAL), CAST(claimed_by AS TEXT)"
        " FROM outage ORDER BY rowid DESC"
    )
    return [
        Record(
            id=row[0],
            ups=row[1],
            drill=bool(row[2]),
            began=Stamp(*row[3:6]),
            length=row[6],
            claimed_by=row[7],
            moments=tuple(moments.get(row[0], ())),
        )
        for row in rows.fetchall()
    ]
