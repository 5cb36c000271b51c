"""Real processes on real networks under fire: who goes down, when, and who does not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from . import disks, network, power, processes

if TYPE_CHECKING:
    from .conftest import Chaos
    from .scenario import Row, Scenario

EVERYTHING = "POWMONMAN_CHAOS_ALL" in os.environ
SCENARIOS = [
    scenario
    for group in (processes, network, power, disks)
    for scenario in group.SCENARIOS
    if EVERYTHING or not scenario.rare
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_what_comes_of_it(scenario: Scenario, chaos: Chaos, rows: list[Row]) -> None:
    row = chaos.row(scenario)
    rows.append(row)
    print(chaos.logs[scenario.name])
    assert row.fine, f"expected {', '.join(map(str, scenario.expected))}; seen: {row.seen}"
