"""`python -m benchmarks`: what it keeps, and how it ends."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

from benchmarks import __main__ as command
from benchmarks.result import Goal, Result, load_all

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

MET, MISSED = Goal("kept", 1.0, 2.0, "ms"), Goal("broken", 3.0, 2.0, "ms", why="that is why")


def run(monkeypatch: pytest.MonkeyPatch, goal: Goal, *arguments: str) -> int:
    monkeypatch.setattr(
        command, "measured", lambda name, *, quick: Result(name, (), (goal,), seconds=float(quick))
    )
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    return command.main()


def test_a_result_is_kept_where_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert 0 == run(monkeypatch, MET, "storm", "--out", str(tmp_path))
    assert {"storm"} == set(load_all(tmp_path))


def test_a_quick_look_never_takes_the_place_of_a_measurement(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert 0 == run(monkeypatch, MET, "storm", "--quick", "--out", str(tmp_path))
    assert {} == load_all(tmp_path)


def test_a_missed_goal_is_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 1 == run(monkeypatch, MISSED, "storm", "scale")
    assert "0 of 2 goals met" in capsys.readouterr().out
