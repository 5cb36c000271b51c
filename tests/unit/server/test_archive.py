"""The file of the record: its versions, its bounds, and what bad days make of it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from powmonman.core.timeline import Kind, Moment, Stamp, merge
from powmonman.server import archive as module
from powmonman.server.archive import (
    MIGRATIONS,
    MOST_CLAIMS,
    MOST_MOMENTS,
    VERSION,
    Archive,
    Began,
    Ended,
    Handed,
    Job,
    NewerError,
    Noted,
    Record,
    SetAsideError,
    migrate,
    read,
)

if TYPE_CHECKING:
    from pathlib import Path


def stamp(seconds: float) -> Stamp:
    return Stamp("boot", 1000.0 + seconds, 5000.0 + seconds)


def began(outage: str = "o1") -> Began:
    return Began(outage, "rack", stamp(0))


def handed(seq: int, kind: Kind, outage: str = "o1", host: str = "nas", at: float = 1) -> Handed:
    said = Moment(kind, at, host, boot="b1", own=True, seq=seq)
    return Handed(host, seq, outage, said)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "history.sqlite", keep=3)


def only(archive: Archive) -> Record:
    (record,) = read(archive.path)
    return record


def test_what_was_written_is_read(archive: Archive) -> None:
    archive.write(
        [
            began(),
            Noted("o1", Kind.MAINS_LOST, stamp(2), at=0.0),
            Noted("o1", Kind.TOLD, stamp(2.5), "nas", "so", boot="b1"),
            handed(7, Kind.COUNTING),
            Ended("o1", stamp(90)),
        ]
    )
    record = only(archive)
    assert ("o1", "rack", 90.0, "") == (record.id, record.ups, record.length, record.claimed_by)
    assert [(Kind.MAINS_LOST, 0.0), (Kind.COUNTING, 1.0), (Kind.TOLD, 2.5)] == [
        (moment.kind, moment.at) for moment in merge(record.moments)
    ]
    assert {"nas": 7} == archive.prepare()


def test_an_outage_that_is_resumed_is_the_same_record(archive: Archive) -> None:
    lost = Noted("o1", Kind.MAINS_LOST, stamp(2), at=0.0)
    archive.write([began(), lost])
    archive.write([began(), lost])
    assert 1 == len(only(archive).moments)


def test_what_happens_after_a_boot_is_timed_by_the_wall_clock_or_not_at_all(
    archive: Archive,
) -> None:
    archive.write([began()])
    archive.write([Noted("o1", Kind.WOKEN, Stamp("other", 30.0, 5600.0), "nas")])
    archive.write([Noted("o1", Kind.BACK, Stamp("other", 90.0, None), "nas")])
    assert [600.0, None] == [moment.at for moment in merge(only(archive).moments)]


def test_something_about_an_outage_that_is_not_on_record_is_recorded(archive: Archive) -> None:
    archive.write([Noted("o9", Kind.WOKEN, stamp(5), "nas")])
    assert ("o9", [Kind.WOKEN]) == (only(archive).id, [m.kind for m in only(archive).moments])


def test_an_entry_that_comes_twice_is_there_once(archive: Archive) -> None:
    archive.write([began(), handed(7, Kind.COUNTING)])
    archive.write([handed(7, Kind.COUNTING), handed(6, Kind.TOLD)])
    assert 2 == len(only(archive).moments)
    assert {"nas": 7} == archive.prepare()


def test_the_oldest_gives_way(archive: Archive) -> None:
    for number in range(5):
        archive.write([began(f"o{number}"), handed(number + 1, Kind.TOLD, f"o{number}")])
    assert ["o4", "o3", "o2"] == [record.id for record in read(archive.path)]
    with closing(sqlite3.connect(archive.path)) as base:
        assert (3,) == base.execute("SELECT count(*) FROM moment").fetchone()


def test_what_a_host_claims_takes_no_place_of_what_the_server_saw(archive: Archive) -> None:
    archive.write([began("o1"), began("o2"), began("o3")])
    for number in range(50):
        archive.write([handed(number + 1, Kind.COMMITTED, f"claimed{number}")])
    records = read(archive.path)
    seen = [record.id for record in records if not record.claimed_by]
    claimed = [record.id for record in records if record.claimed_by]
    assert ["o3", "o2", "o1"] == seen
    assert ["claimed49", "claimed48", "claimed47"] == claimed


def test_a_host_that_claims_much_takes_no_place_of_another_one(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "history.sqlite", keep=100)
    archive.write([handed(1, Kind.COMMITTED, "missed", "db"), handed(1, Kind.TOLD, "shared")])
    archive.write([handed(2, Kind.TOLD, "shared", "db")])
    for number in range(50):
        archive.write([handed(number + 2, Kind.COMMITTED, f"claimed{number}")])
    ids = [record.id for record in read(archive.path)]
    assert {"missed", "shared"} <= set(ids)
    assert len(ids) == MOST_CLAIMS + 2


def test_the_servers_word_makes_a_claim_a_record(archive: Archive) -> None:
    archive.write([handed(1, Kind.TOLD)])
    assert "nas" == only(archive).claimed_by
    archive.write([began()])
    assert ("", "rack", 5000.0) == (
        only(archive).claimed_by,
        only(archive).ups,
        only(archive).began.wall,
    )


def test_a_host_says_only_so_much_in_one_outage(archive: Archive) -> None:
    archive.write([began(), *(handed(n, Kind.NOTE) for n in range(1, MOST_MOMENTS + 50))])
    assert MOST_MOMENTS == len(only(archive).moments)
    assert {"nas": MOST_MOMENTS + 49} == archive.prepare()


def test_all_of_it_or_nothing(archive: Archive) -> None:
    archive.write([began()])
    with pytest.raises(sqlite3.Error):
        archive.write([handed(1, Kind.TOLD), Noted("o1", Kind.TOLD, stamp(1), at=object())])  # type: ignore[arg-type]
    assert () == only(archive).moments
    assert {} == archive.prepare()


# ------------------------------------------------------------------ versions

CONTENT = {
    1: "INSERT INTO outage (id, ups, length) VALUES ('o1', 'rack', 90);"
    "INSERT INTO moment VALUES ('o1', '', 1, 'told', 2.5, 'nas', 'so', NULL, 'b1');",
    2: "INSERT INTO outage (id, ups, length) VALUES ('o1', 'rack', 90);"
    "INSERT INTO moment VALUES ('o1', '', 1, 'told', 2.5, 'nas', 'so', NULL, 'b1');"
    "INSERT INTO diary VALUES ('nas', 7);",
}


def of_version(path: Path, version: int) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as base:
        migrate(base, MIGRATIONS[:version])
        base.executescript(CONTENT.get(version, ""))


@pytest.mark.parametrize("version", range(VERSION + 1))
def test_a_file_of_each_older_version_is_brought_up_to_date(archive: Archive, version: int) -> None:
    of_version(archive.path, version)
    before = read(archive.path)
    archive.prepare()
    assert before == read(archive.path)
    assert len(before) == (1 if version else 0)
    archive.write([began("o2"), handed(1, Kind.TOLD, "o2")])
    assert "o2" == read(archive.path)[0].id
    with closing(sqlite3.connect(archive.path)) as base:
        assert (VERSION,) == base.execute("PRAGMA user_version").fetchone()


def test_there_is_content_for_each_version() -> None:
    assert set(range(1, VERSION + 1)) == set(CONTENT)


def test_an_old_file_is_read_without_being_changed(archive: Archive) -> None:
    of_version(archive.path, 1)
    before = archive.path.read_bytes()
    assert "o1" == only(archive).id
    assert before == archive.path.read_bytes()


def test_a_migration_that_fails_leaves_a_whole_version(archive: Archive) -> None:
    archive.prepare()
    bad = (*MIGRATIONS, "CREATE TABLE more (x); INSERT INTO nowhere VALUES (1);")
    with closing(sqlite3.connect(archive.path, isolation_level=None)) as base:
        with pytest.raises(sqlite3.Error):
            migrate(base, bad)
        assert (VERSION,) == base.execute("PRAGMA user_version").fetchone()
        assert [] == base.execute("SELECT name FROM sqlite_master WHERE name = 'more'").fetchall()


def test_a_file_of_a_newer_version_is_set_aside_whole(archive: Archive) -> None:
    archive.write([began()])
    with closing(sqlite3.connect(archive.path)) as base:
        base.execute(f"PRAGMA user_version = {VERSION + 1}")
    content = archive.path.read_bytes()
    with pytest.raises(NewerError):
        read(archive.path)
    with pytest.raises(SetAsideError, match=r"kept as history\.sqlite\.newer"):
        archive.prepare()
    assert content == archive.path.with_name("history.sqlite.newer").read_bytes()
    archive.write([began("o2")])
    assert "o2" == only(archive).id


# ------------------------------------------------------------------ bad days


def test_nobody_else_may_read_it(archive: Archive) -> None:
    archive.write([began()])
    assert 0o640 == stat.S_IMODE(archive.path.stat().st_mode) | 0o640
    assert not stat.S_IMODE(archive.path.stat().st_mode) & 0o137


def test_a_reader_that_may_not_write_reads(archive: Archive) -> None:
    archive.write([began()])
    archive.path.chmod(0o440)
    archive.path.parent.chmod(0o550)
    try:
        assert "o1" == only(archive).id
        assert ["history.sqlite", "history.sqlite-journal"] == sorted(
            path.name for path in archive.path.parent.iterdir()
        )
    finally:
        archive.path.parent.chmod(0o750)


def test_a_write_that_a_power_cut_interrupted_is_not_read(archive: Archive) -> None:
    """The journal is hot: to undo needs to write, which a reader does on a copy."""
    archive.write([began()])
    with closing(sqlite3.connect(archive.path, isolation_level=None)) as base:
        base.execute("PRAGMA journal_mode = TRUNCATE")
        base.execute("PRAGMA cache_size = 1")
        base.execute("BEGIN IMMEDIATE")
        for number in range(3000):
            base.execute("INSERT INTO outage (id, ups) VALUES (?, ?)", (f"half{number}", "x" * 50))
        place = archive.path.parent / "cut"
        place.mkdir()
        for name in ("history.sqlite", "history.sqlite-journal"):
            shutil.copyfile(archive.path.with_name(name), place / name)
        base.execute("ROLLBACK")
    assert ["o1"] == [record.id for record in read(place / "history.sqlite")]


@pytest.mark.parametrize("where", [0, 30, 4096 + 8])
def test_a_damaged_file_is_set_aside_and_a_new_one_begun(archive: Archive, where: int) -> None:
    archive.write([began(), *(handed(n, Kind.NOTE) for n in range(1, 150))])
    content = bytearray(archive.path.read_bytes())
    content[where : where + 512] = os.urandom(512)
    archive.path.write_bytes(content)
    with pytest.raises(SetAsideError, match=r"kept as history\.sqlite\.damaged, and begun anew"):
        archive.prepare()
    assert content == archive.path.with_name("history.sqlite.damaged").read_bytes()
    assert {} == archive.prepare()
    archive.write([began("o2")])
    assert "o2" == only(archive).id


def test_a_file_without_its_tables_is_set_aside(archive: Archive) -> None:
    archive.write([began()])
    with closing(sqlite3.connect(archive.path)) as base:
        base.execute("DROP TABLE moment")
    with pytest.raises(SetAsideError):
        archive.write([handed(1, Kind.TOLD)])
    archive.write([began("o2")])
    assert "o2" == only(archive).id


def test_a_file_that_somebody_removed_is_begun_anew(archive: Archive) -> None:
    archive.write([began()])
    archive.path.unlink()
    archive.write([began("o2")])
    assert "o2" == only(archive).id


def test_a_link_is_not_followed(archive: Archive, tmp_path: Path) -> None:
    archive.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        archive.write([began()])
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_is_an_error_and_the_file_stays_whole(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.write([began()])
    pages = archive.path.stat().st_size // 4096
    original = module._connect

    def full(uri: str) -> sqlite3.Connection:
        base = original(uri)
        base.execute(f"PRAGMA max_page_count = {pages}")
        return base

    monkeypatch.setattr(module, "_connect", full)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        archive.write([handed(n, Kind.NOTE) for n in range(1, 200)])
    monkeypatch.undo()
    assert "o1" == only(archive).id


# ------------------------------------------------------------------ any order

SEEN: list[Job] = [
    began(),
    Noted("o1", Kind.MAINS_LOST, stamp(2), at=0.0),
    Noted("o1", Kind.TOLD, stamp(2.1), "nas", "2 ms after the push", boot="b1"),
    Noted("o1", Kind.COUNTING, stamp(2.2), "nas", boot="b1"),
    began(),
    Noted("o1", Kind.SERVER_BACK, stamp(50)),
    Noted("o1", Kind.COUNTING, stamp(52), "nas", boot="b1"),
    Noted("o1", Kind.COMMITTED, stamp(101), "nas", boot="b1"),
    Noted("o1", Kind.LEFT, stamp(105), "nas", boot="b1"),
    Ended("o1", stamp(500)),
]
SAID = [
    handed(11, Kind.TOLD, at=2),
    handed(12, Kind.COUNTING, at=2),
    handed(13, Kind.CONTACT_LOST, at=30),
    handed(14, Kind.CONTACT, at=52),
    handed(15, Kind.COMMITTED, at=100),
    handed(16, Kind.HALTING, at=104),
]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans(), st.booleans())),
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_interleaving_of_restarts_and_handovers_tells_the_same_story(
    tmp_path: Path, steps: list[tuple[int, int, bool, bool]]
) -> None:
    """Each step writes some of what the server saw and some of what the host hands over.

    The host hands over what was not noted, sometimes what was too; a crash loses a whole batch,
    which the host repeats, and what the server saw alone is then in its queue no more than here.
    """
    path = tmp_path / "history.sqlite"
    path.unlink(missing_ok=True)
    archive, seen = Archive(path, 9), list(SEEN)
    for from_server, from_host, repeat, crash in [*steps, (99, 99, False, False)]:
        noted = archive.prepare().get("nas", 0)
        said = [job for job in SAID if repeat or job.seq > noted][:from_host]
        if crash:
            continue
        archive.write([*said, *seen[:from_server]])
        del seen[:from_server]
    record = only(archive)
    assert ("rack", 500.0, "", stamp(0)) == (
        record.ups,
        record.length,
        record.claimed_by,
        record.began,
    )
    assert [
        (Kind.MAINS_LOST, 0.0),
        (Kind.TOLD, 2.0),
        (Kind.COUNTING, 2.0),
        (Kind.CONTACT_LOST, 30.0),
        (Kind.SERVER_BACK, 50.0),
        (Kind.CONTACT, 52.0),
        (Kind.COMMITTED, 100.0),
        (Kind.HALTING, 104.0),
        (Kind.LEFT, 105.0),
    ] == [(moment.kind, moment.at) for moment in merge(record.moments)]
