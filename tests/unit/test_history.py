"""`powmonman history`: read beside a server or without one, and told to people."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from powmonman import cli
from powmonman.core.timeline import Kind, Moment, Stamp
from powmonman.server.archive import VERSION, Archive, Began, Ended, Handed, Noted
from powmonman.service.clock import boot_id

FIRST, SECOND, DRILL = "df507473", "df51aaaa", "4929bbbb"
WALL = 1_795_665_072.0


def stamp(seconds: float, boot: str = "boot") -> Stamp:
    return Stamp(boot, 1000.0 + seconds, WALL + seconds)


class Place:
    """A server's configuration and its record."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.state = root / "state"
        self.state.mkdir()
        self.config = root / "server.yml"
        self.config.write_text(
            f"upses: {{rack: {{sensor: simulated}}}}\nstate_dir: {self.state}\n", "utf-8"
        )
        self.archive = Archive(self.state / "history.sqlite", 100)
        self._capsys = capsys

    def run(self, *arguments: str) -> tuple[int, str, str]:
        code = cli.main(["history", *arguments, "--config", str(self.config)])
        said = self._capsys.readouterr()
        return code, said.out, said.err


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> Place:
    monkeypatch.setenv("TZ", "UTC")
    return Place(tmp_path, capsys)


@pytest.fixture
def told(place: Place) -> Place:
    why = "outage df50: in time"
    commit = Moment(Kind.COMMITTED, 300.0, "nas", why, boot="b1", own=True, seq=9)
    place.archive.write(
        [
            Began(DRILL, "rack", stamp(-900), drill=True),
            Ended(DRILL, stamp(-800)),
            Began(FIRST, "rack", stamp(0)),
            Noted(FIRST, Kind.MAINS_LOST, stamp(2), at=0.0),
            Noted(FIRST, Kind.TOLD, stamp(2), "nas", "1.0 ms after the push", boot="b1"),
            Handed("nas", 9, FIRST, commit),
            Noted(FIRST, Kind.MAINS_BACK, stamp(640)),
            Ended(FIRST, stamp(640)),
            Noted(FIRST, Kind.WOKEN, stamp(700), "nas"),
            Noted(FIRST, Kind.BACK, stamp(760), "nas", boot="b2"),
            Began(SECOND, "rack", Stamp(boot_id(), 0.0)),
        ]
    )
    return place


def test_the_list_says_what_each_did_and_what_was_a_drill(told: Place) -> None:
    code, out, _ = told.run("list")
    rows = [line.split() for line in out.splitlines()]
    assert 0 == code
    assert ["df51", "-", "rack", "going", "on", "0", "-", "-"] == rows[1]
    assert ["df50", "rack", "10", "min", "1", "1", "of", "1", "-"] == [rows[2][0], *rows[2][3:]]
    assert ["4929", "drill"] == [rows[3][0], rows[3][-1]]
    assert (code, out) == told.run()[:2]


def test_a_record_reads_like_a_story(told: Place) -> None:
    """It names its outage once, however the log of a host begins its reason."""
    code, out, _ = told.run("show", "df50")
    head, _, *story = out.splitlines()
    assert 0 == code
    assert head.startswith("outage df50 · rack · 2026-")
    assert [
        "+0:00  mains lost on rack",
        "+0:02  told nas (1.0 ms after the push)",
        "+5:00  nas shuts down · in time",
        "+10:40  mains back on rack",
        "+11:40  nas woken",
        "+12:40  nas back",
    ] == [line[8:].strip() for line in story[:6]]
    assert "went: nas · back: nas" == story[-1]


def test_the_newest_is_told_where_none_is_named(told: Place) -> None:
    assert told.run("show", "df51") == told.run("show")


def test_there_may_be_none_to_tell(place: Place) -> None:
    place.archive.write([])
    assert (1, "", "no outage and no drill on record\n") == place.run("show")


def test_without_a_trusted_clock_there_are_relative_times_alone(place: Place) -> None:
    place.archive.write(
        [
            Began("o1", "rack", Stamp("boot", 100.0)),
            Noted("o1", Kind.TOLD, Stamp("boot", 103.0), "nas"),
            Noted("o1", Kind.BACK, Stamp("later", 9.0), "nas"),
        ]
    )
    _, out, _ = place.run("show", "o1")
    assert [
        "outage o1 · rack · no trusted clock",
        "",
        "+0:03  told nas",
        "    ?  nas back",
    ] == out.splitlines()


def test_json_holds_all_of_it(told: Place) -> None:
    _, out, _ = told.run("show", FIRST, "--json")
    record = json.loads(out)
    assert (FIRST, "rack", False, WALL, 640.0, "over", ["nas"], ["nas"], []) == tuple(
        record[key]
        for key in (
            "id",
            "ups",
            "drill",
            "began",
            "length",
            "ended",
            "went",
            "back",
            "given_up",
        )
    )
    assert {"kind": "committed", "at": 300.0, "host": "nas", "own": True}.items() <= record[
        "timeline"
    ][2].items()
    listed = json.loads(told.run("--json")[1])
    assert [SECOND, FIRST, DRILL] == [one["id"] for one in listed]
    assert "timeline" not in listed[0]


def test_the_whole_id_wins_over_a_longer_one(place: Place) -> None:
    place.archive.write([Began("abc", "rack", stamp(0)), Began("abcd", "rack", stamp(1))])
    assert 0 == place.run("show", "abc")[0]


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("df5", "several begin with 'df5': df51, df50"),
        ("ff", "no outage or drill on record begins with 'ff': df51, df50, 4929"),
        ("", "no outage or drill on record begins with '': df51, df50, 4929"),
    ],
)
def test_an_id_that_names_none_or_several(told: Place, wanted: str, says: str) -> None:
    code, out, err = told.run("show", wanted)
    assert (1, "", says) == (code, out, err.strip())


def test_before_the_first_outage(place: Place) -> None:
    assert (0, "no outage and no drill on record\n", "") == place.run()
    assert (0, "[]\n", "") == place.run("--json")
    assert 1 == place.run("show", "df50")[0]


def test_on_a_host_that_is_no_server(place: Place) -> None:
    place.state.rmdir()
    code, _, err = place.run()
    assert 3 == code
    assert "no such file: is this the server's host?" in err


def test_a_bad_configuration_is_named(place: Place) -> None:
    place.config.write_text("upses: 7", "utf-8")
    code, _, err = place.run()
    assert 2 == code
    assert f"{place.config}:1:8" in err


def test_a_damaged_file_is_named(place: Place) -> None:
    place.archive.path.write_bytes(b"x" * 9000)
    code, _, err = place.run()
    assert 3 == code
    assert "file is not a database: the server sets a damaged file aside" in err


def test_a_file_of_a_newer_version_is_named(told: Place) -> None:
    with closing(sqlite3.connect(told.archive.path)) as base:
        base.execute(f"PRAGMA user_version = {VERSION + 1}")
    code, _, err = told.run()
    assert 3 == code
    assert "written by a newer version" in err


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes somebody else")
def test_whoever_may_not_read_it_is_told_what_to_be(told: Place) -> None:
    for path in (told.state.parent, *told.state.parent.parents):
        if path != Path(path.root):
            path.chmod(path.stat().st_mode | 0o011)
    told.archive.path.chmod(0o600)
    # What it imports may lie where the other user can't read.
    assert 0 == told.run()[0]
    os.seteuid(65534)
    try:
        code, _, err = told.run()
    finally:
        os.seteuid(0)
    assert 3 == code
    assert "permission denied: be root or in the group" in err


def test_a_record_of_a_guard_is_found_from_its_file(
    told: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told.state.rename(tmp_path / "server")
    guard = tmp_path / "guard.yml"
    guard.write_text(f"ups: {{sensor: simulated}}\nstate_dir: {tmp_path}\n", "utf-8")
    assert 0 == cli.main(["history", "--config", str(guard)])
    assert "df50" in capsys.readouterr().out


def test_on_another_host_it_asks_whether_this_is_the_servers(tmp_path: Path, capsys) -> None:
    assert 2 == cli.main(["history", "--config", str(tmp_path / "server.yml")])
    assert "No such file or directory: is this the server's host?" in capsys.readouterr().err
