"""Messages that wait on disk: in order, bounded, and whole after whatever happened."""

from __future__ import annotations

import json
import logging
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powmonman.core.events import Event, Kind
from powmonman.notify import disk as disk_module
from powmonman.notify.disk import Disk
from powmonman.notify.spool import MOST_ASIDE, MOST_EVENTS, Spool

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def add(spool: Spool, *names: str, targets: tuple[str, ...] = ("mail",)) -> list[int]:
    numbers = []
    for name in names:
        event = Event(Kind.HOST_DOWN, host=name)
        numbers.append(spool.add("boot", 1.0, 2.0, [event]).number)
        spool.assign(numbers[-1], targets)
    return numbers


def hosts(spool: Spool, target: str = "mail") -> list[str]:
    return [message.events[0].host for message in spool.waiting(target)]


def settled(spool: Spool) -> Spool:
    assert spool.settle(10)
    return spool


def test_what_waits_outlives_the_process_in_its_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "notify", 200)
    add(spool, *(f"h{number}" for number in range(12)))
    settled(spool)
    again = Spool(tmp_path / "notify", 200)
    assert hosts(spool) == hosts(again) == [f"h{number}" for number in range(12)]
    add(again, "later")
    assert "later" == hosts(settled(again))[-1]
    assert hosts(again) == hosts(Spool(tmp_path / "notify", 200))


def test_a_target_that_has_a_message_is_not_sent_it_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 200)
    (number,) = add(spool, "nas", targets=("mail", "ntfy"))
    spool.sent(number, "mail")
    again = Spool(tmp_path, 200) if settled(spool) else spool
    assert ([], ["nas"]) == (hosts(again), hosts(again, "ntfy"))
    again.sent(number, "ntfy")
    settled(again)
    assert 0 == len(again) == len(Spool(tmp_path, 200))
    assert [] == list(tmp_path.glob("0*"))


def test_the_oldest_give_way_and_each_target_learns_how_many_it_missed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 3)
    (first,) = add(spool, "a", targets=("mail", "ntfy"))
    spool.sent(first, "ntfy")
    add(spool, "b", "c", "d", "e", targets=("mail", "ntfy"))
    settled(spool)
    for each in (spool, Spool(tmp_path, 3)):
        assert ["c", "d", "e"] == hosts(each)
        assert (2, 1) == (each.dropped("mail"), each.dropped("ntfy"))
    spool.sent(spool.waiting("mail")[0].number, "mail")
    assert (0, 1) == (spool.dropped("mail"), spool.dropped("ntfy"))
    settled(spool)
    assert 0 == Spool(tmp_path, 3).dropped("mail")


def test_what_gave_way_before_the_targets_were_known_counts_for_all_of_them(
    tmp_path: Path,
) -> None:
    spool = Spool(tmp_path, 2)
    for name in "abc":
        spool.add("boot", 1.0, 2.0, [Event(Kind.HOST_DOWN, host=name)])
    for message in spool.unassigned():
        spool.assign(message.number, ("mail", "ntfy"))
    assert (1, 1) == (spool.dropped("mail"), spool.dropped("ntfy"))
    settled(spool)


def test_a_target_that_is_gone_is_waited_for_no_longer(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10)
    add(spool, "a", "b", targets=("mail", "old"))
    spool.forget("old")
    assert ["mail"] == spool.targets()
    spool.forget("mail")
    assert 0 == len(settled(spool))


def test_a_message_takes_so_many_events_and_counts_the_rest(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10)
    message = spool.add("boot", 1.0, 2.0, [Event(Kind.HOST_DOWN)] * 30)
    spool.replace(message.with_events([Event(Kind.HOST_DOWN)] * 170))
    settled(spool)
    (kept,) = Spool(tmp_path, 10).unassigned()
    assert (MOST_EVENTS, 200 - MOST_EVENTS) == (len(kept.events), kept.more)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff" * 50, b'{"number": 1}', b'{"number": "x"}', b"{" * 5000],
)
def test_a_file_that_is_no_message_is_put_aside(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path, 10)
    add(spool, "a", "b")
    settled(spool)
    (tmp_path / "000000000001.json").write_bytes(content)
    again = Spool(tmp_path, 10)
    assert ["b"] == hosts(again)
    assert (tmp_path / "000000000001.json.aside").read_bytes() == content
    assert "put aside" in caplog.text
    add(again, "c")
    assert ["b", "c"] == hosts(Spool(tmp_path, 10) if settled(again) else again)


@given(st.binary(max_size=300), st.integers(0, 400))
def test_whatever_became_of_a_file_the_others_are_read(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, cut: int
) -> None:
    directory = tmp_path_factory.mktemp("spool")
    spool = Spool(directory, 10)
    add(spool, "a", "b")
    settled(spool)
    path = directory / "000000000001.json"
    path.write_bytes(path.read_bytes()[:cut] + noise)
    logging.disable()
    try:
        assert hosts(Spool(directory, 10)) in (["b"], ["a", "b"])
    finally:
        logging.disable(logging.NOTSET)


def test_links_pipes_and_directories_in_place_of_messages_are_put_aside(tmp_path: Path) -> None:
    """A pipe must not hold up the start of the server."""
    (tmp_path / "000000000001.json").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "000000000002.json")
    (tmp_path / "000000000003.json").mkdir()
    assert 0 == len(Spool(tmp_path, 10))


def test_what_was_put_aside_does_not_pile_up(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number:012d}.json").write_text("?")
    spool = settled(Spool(tmp_path, 10))
    assert MOST_ASIDE == len(list(tmp_path.iterdir()))
    assert 0 == len(spool)


def test_what_a_power_cut_left_half_written_is_cleaned_up(tmp_path: Path) -> None:
    (tmp_path / ".000000000007.json.1234").write_text("{")
    settled(Spool(tmp_path, 10))
    assert [] == list(tmp_path.iterdir())


class Full:
    """A disk that takes nothing until it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = True
        self._write = disk_module.write_json
        monkeypatch.setattr(disk_module, "write_json", self.write)

    def write(self, *args: object, **options: object) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self._write(*args, **options)  # type: ignore[arg-type]


def test_with_a_full_disk_messages_are_kept_in_memory_and_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    full = Full(monkeypatch)
    spool = Spool(tmp_path, 10)
    add(spool, "a", "b")
    assert not spool.settle(10)
    assert ["a", "b"] == hosts(spool)
    assert f"{tmp_path}: No space left on device" == spool.fault
    assert 1 == caplog.text.count("No space left on device")
    full.full = False
    spool.retry()
    settled(spool)
    assert "" == spool.fault
    assert ["a", "b"] == hosts(Spool(tmp_path, 10))
    assert "can be written again" in caplog.text


def test_a_disk_that_hangs_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = os.pipe()
    monkeypatch.setattr(disk_module, "write_json", lambda *_, **__: os.read(release[0], 1))
    spool = Spool(tmp_path, 3)
    add(spool, "a", "b", "c", "d")
    assert ["b", "c", "d"] == hosts(spool)
    assert not spool.settle(0.1)
    os.write(release[1], b"x" * 100)
    settled(spool)
    for descriptor in release:
        os.close(descriptor)


def test_a_directory_that_can_not_be_made_is_a_fault_and_no_end(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file in the place of the directory")
    spool = Spool(tmp_path / "state" / "notify", 10)
    add(spool, "a")
    assert not spool.settle(10)
    assert "Not a directory" in spool.fault
    assert ["a"] == hosts(spool)


def test_of_one_file_the_newest_content_is_written(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10)
    (number,) = add(spool, "a")
    for _ in range(50):
        spool.assign(number, ("x", "mail"))
        spool.assign(number, ("mail",))
    settled(spool)
    assert ["mail"] == json.loads((tmp_path / "000000000001.json").read_text())["targets"]


def test_the_files_are_not_for_everybody(tmp_path: Path) -> None:
    add(spool := Spool(tmp_path / "notify", 10), "a")
    settled(spool)
    modes: Iterable[int] = (
        path.stat().st_mode & 0o007 for path in (tmp_path / "notify", *tmp_path.glob("notify/*"))
    )
    assert {0} == set(modes)


def test_nothing_is_written_where_nothing_is_told(tmp_path: Path) -> None:
    Spool(tmp_path / "notify", 10)
    assert not (tmp_path / "notify").exists()
    assert Disk(tmp_path).settle(0)
