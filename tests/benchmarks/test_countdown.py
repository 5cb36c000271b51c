"""A countdown that is touched while the server restarts is noticed: the storm hangs on it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.countdown import Countdown
from powmonman.core.plan import Now, Phase, Plan, Rules

RULES = Rules(min_observe=0, confirm=0)


def counting(at: float, spent: float) -> Plan:
    return Plan(phase=Phase.COUNTING, after=600.0, spent=spent, last=Now(running=at, boot=at))


def test_a_countdown_that_only_counts_has_not_moved() -> None:
    seen = Countdown()
    for seconds in range(10):
        seen.look(counting(1000.0 + seconds, float(seconds)), RULES)
    assert {"counting": True, "shifts": (0.0, 0.0), "faults": []} == seen.as_json()
    assert 1600.0 == seen.deadline


@pytest.mark.parametrize(("spent", "shifts"), [(12.0, (-2.0, 0.0)), (7.0, (0.0, 3.0))])
def test_a_deadline_that_moves_is_noticed(spent: float, shifts: tuple[float, float]) -> None:
    seen = Countdown()
    seen.look(counting(1000.0, 0.0), RULES)
    seen.look(counting(1010.0, spent), RULES)
    seen.look(counting(1020.0, 20.0), RULES)
    assert shifts == seen.shifts


def test_a_countdown_that_ends_is_a_fault() -> None:
    seen = Countdown()
    seen.look(counting(1000.0, 0.0), RULES)
    seen.look(replace(counting(1010.0, 10.0), phase=Phase.IDLE), RULES)
    assert not seen.as_json()["counting"]
    assert ["no countdown any more: idle"] == seen.faults


def test_what_has_settled_is_what_must_not_move() -> None:
    seen = Countdown()
    seen.look(counting(1000.0, 0.0), RULES)
    seen.look(counting(1010.0, 15.0), RULES)
    seen.settle()
    seen.look(counting(1020.0, 25.0), RULES)
    assert ((0.0, 0.0), 1595.0) == (seen.shifts, seen.deadline)
