from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from powmonman.service import clock
from powmonman.service.clock import boot_id, boottime, now


def test_both_clocks_are_seconds_that_only_grow() -> None:
    first = now()
    time.sleep(0.02)
    second = now()
    assert 0.02 <= second.running - first.running < 5
    assert 0.02 <= second.boot - first.boot < 5


def test_the_clock_of_the_battery_is_that_of_the_kernel() -> None:
    uptime = float(Path("/proc/uptime").read_text("ascii").split()[0])
    assert abs(boottime() - uptime) < 1


def test_a_boot_has_an_id() -> None:
    assert re.fullmatch(r"[0-9a-f-]{36}", boot_id())
    assert boot_id() == boot_id()


def test_the_wall_clock_is_trusted_where_somebody_has_set_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(clock, "_TIMESYNC", tmp_path / "synchronized")
    monkeypatch.setattr(clock, "_adjtimex", lambda: lambda _: 5)
    assert clock.trusted_wall() is None
    (tmp_path / "synchronized").touch()
    assert abs((clock.trusted_wall() or 0) - time.time()) < 5


@pytest.mark.parametrize(("answer", "trusted"), [(0, True), (4, True), (5, False), (-1, False)])
def test_the_kernel_is_asked_whoever_set_the_clock(
    answer: int, trusted: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(clock, "_TIMESYNC", tmp_path / "synchronized")
    monkeypatch.setattr(clock, "_adjtimex", lambda: lambda _: answer)
    assert (clock.trusted_wall() is not None) == trusted


def test_where_the_kernel_cannot_be_asked_the_clock_is_not_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails() -> None:
        raise MemoryError

    monkeypatch.setattr(clock, "_TIMESYNC", tmp_path / "synchronized")
    monkeypatch.setattr(clock, "_adjtimex", fails)
    assert clock.trusted_wall() is None


def test_asking_the_kernel_changes_nothing() -> None:
    assert -1 <= clock._adjtimex()(bytes(1024)) <= 5


def test_a_clock_that_nobody_asks_for_costs_no_memory() -> None:
    script = "import sys, powmonman.client.agent; print(*{'ctypes', 'sqlite3'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "" == done.stdout.strip()
