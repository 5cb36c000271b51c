"""How long this host's shutdowns take, measured over boots."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from powmonman.client import budget as module
from powmonman.client.budget import STAMP, TAKES, Budget

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Host:
    """A host with a clock that only a test turns, and boots."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.boot, self.time = "boot1", 1000.0
        self.made: list[Budget] = []

    def starts(self, *, committed: bool = False) -> Budget:
        """Start a client."""
        self.made.append(Budget(self.directory, committed=committed))
        return self.made[-1]

    def boots(self) -> Budget:
        """Boot the host; the clock of a boot begins anew."""
        self.boot, self.time = f"{self.boot}+", 5.0
        return self.starts()

    def kept(self, name: str = STAMP) -> dict[str, Any]:
        """Return what lies on the disk; empty if nothing."""
        try:
            return json.loads((self.directory / name).read_text("utf-8"))
        except FileNotFoundError:
            # It may go at any moment.
            return {}

    def until(self, check: Any) -> None:
        end = time.monotonic() + 10
        while not check():
            assert time.monotonic() < end
            time.sleep(0.005)

    def lives(self, seconds: float) -> None:
        """Let the time pass, and see it stamped."""
        self.time += seconds
        self.until(lambda: self.kept().get("seen") == self.time)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    host = Host(tmp_path)
    monkeypatch.setattr(module, "boot_id", lambda: host.boot)
    monkeypatch.setattr(module, "boottime", lambda: host.time)
    monkeypatch.setattr(module, "RENEW_EVERY", 0.01)
    yield host
    for budget in host.made:
        budget.close()


def goes_down(host: Host, budget: Budget, seconds: float) -> Budget:
    budget.begin()
    host.until(lambda: host.kept().get("committed") == host.time)
    host.lives(seconds)
    budget.close()
    return host.boots()


def test_before_the_first_shutdown_nothing_is_known(host: Host) -> None:
    assert host.starts().shutdown_takes is None


def test_a_shutdown_is_measured_from_the_commit_to_the_last_sign_of_life(host: Host) -> None:
    after = goes_down(host, host.starts(), 42.0)
    assert after.shutdown_takes == 42.0
    host.until(lambda: host.kept(TAKES) == {"seconds": [42.0]} and not host.kept())
    assert host.boots().shutdown_takes == 42.0


def test_the_longest_of_the_latest_five_counts(host: Host) -> None:
    budget = host.starts()
    for seconds in (90.0, 11.0, 12.0, 13.0, 14.0):
        budget = goes_down(host, budget, seconds)
    assert budget.shutdown_takes == 90.0
    assert goes_down(host, budget, 15.0).shutdown_takes == 15.0


def test_a_power_cut_in_the_middle_leaves_what_was_seen(host: Host) -> None:
    budget = host.starts()
    budget.begin()
    host.lives(30.0)
    kept = (host.directory / STAMP).read_bytes()
    budget.close()
    (host.directory / STAMP).write_bytes(kept)
    assert host.boots().shutdown_takes == 30.0


def test_a_restart_of_the_client_goes_on_measuring(host: Host) -> None:
    budget = host.starts()
    budget.begin()
    host.lives(10.0)
    budget.close()
    again = host.starts(committed=True)
    host.lives(20.0)
    again.close()
    assert host.boots().shutdown_takes == 30.0


def test_a_host_that_never_went_down_gives_no_measurement(host: Host) -> None:
    budget = host.starts()
    budget.begin()
    host.lives(10.0)
    budget.cancel()
    host.until(lambda: not host.kept())
    assert host.boots().shutdown_takes is None


def test_what_is_being_written_as_it_is_cancelled_does_not_stay(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, writing, cancelled = module.write_json, threading.Event(), threading.Event()

    def slowly(*arguments: Any, **options: Any) -> None:
        writing.set()
        assert cancelled.wait(10)
        write(*arguments, **options)

    monkeypatch.setattr(module, "write_json", slowly)
    budget = host.starts()
    budget.begin()
    assert writing.wait(10)
    budget.cancel()
    measuring = [thread for thread in threading.enumerate() if thread.name == "budget"]
    cancelled.set()
    for thread in measuring:
        thread.join(10)
    assert not host.kept()


def test_nor_does_one_that_a_restarted_client_counts_again(host: Host) -> None:
    budget = host.starts()
    budget.begin()
    host.lives(10.0)
    budget.close()
    host.starts(committed=False)
    host.until(lambda: not host.kept())
    assert host.boots().shutdown_takes is None


def test_where_boots_have_no_id_nothing_is_measured(host: Host) -> None:
    host.boot = ""
    host.starts().begin()
    assert not host.kept()


@pytest.mark.parametrize(
    "stamp",
    [
        {"boot_id": "b", "committed": 5.0},
        {"boot_id": "b", "committed": 50.0, "seen": 5.0},
        {"boot_id": "b", "committed": 0.0, "seen": 1e9},
        {"boot_id": 7, "committed": "x", "seen": None},
    ],
)
def test_what_can_not_be_is_not_believed(host: Host, stamp: dict[str, Any]) -> None:
    (host.directory / STAMP).write_text(json.dumps(stamp), encoding="utf-8")
    (host.directory / TAKES).write_text('{"seconds": [-3, 1e300, 7]}', encoding="utf-8")
    assert host.starts().shutdown_takes == 7.0


def test_a_disk_that_takes_nothing_is_named_once_and_in_nobodys_way(
    host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = []

    def full(*_: object, **__: object) -> None:
        tries.append(1)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_json", full)
    with caplog.at_level(logging.WARNING):
        budget = host.starts()
        budget.begin()
        host.until(lambda: len(tries) > 3)
    assert [record.getMessage() for record in caplog.records] == [
        f"{host.directory / STAMP}: No space left on device · this shutdown is not measured"
    ]


def test_a_host_without_room_for_one_more_thread_is_not_measured(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    budget = host.starts()
    monkeypatch.setattr(threading.Thread, "start", full)
    budget.begin()
    assert not host.kept()


def test_a_disk_that_hangs_keeps_nobody(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = threading.Event()
    monkeypatch.setattr(module, "write_json", lambda *_, **__: hangs.wait(20))
    monkeypatch.setattr(module, "END_TIMEOUT", 0.05)
    began = time.monotonic()
    budget = host.starts()
    budget.begin()
    budget.close()
    assert time.monotonic() - began < 5
    hangs.set()


def test_the_first_stamp_is_on_the_disk_and_the_others_do_not_wait_for_it(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[bool] = []
    monkeypatch.setattr(module, "write_json", lambda *_, durable: waited.append(durable))
    host.starts().begin()
    host.until(lambda: len(waited) > 2)
    assert waited[:3] == [True, False, False]
