"""Results: kept whole, and judged by what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.result import Goal, Result, Series, load, load_all
from benchmarks.table import figure, goal_table, series_table

if TYPE_CHECKING:
    from pathlib import Path

RESULT = Result(
    "fanout",
    (
        Series("loss to last client told", "ms", (3.0, 1.0, 2.0), n=1000),
        Series("loss to last client told", "ms", (1500.0,), product="NUT, fastest", n=100),
    ),
    goals=(
        Goal("1,000 clients", 2.0, 500, "ms"),
        Goal("faster than NUT", 5.0, 10, "times", at_least=True, why="that is why"),
    ),
    notes=("a note",),
    left_out=("NUT: not installed",),
    machine={"cores": 2, "load": [0.1, 0.2, 0.3]},
    versions={"PowMonMan": "1"},
    seconds=1.5,
)


def test_a_result_is_read_back_as_it_was_kept(tmp_path: Path) -> None:
    assert load(RESULT.save(tmp_path)) == RESULT
    assert {"fanout": RESULT} == load_all(tmp_path)


def test_a_series_is_found_by_name_product_and_number() -> None:
    assert 1500 == RESULT.find("loss to last client told", product="NUT, fastest", n=100).max
    with pytest.raises(LookupError, match="no series"):
        RESULT.find("loss to last client told", n=100)


def test_a_percentile_lies_between_the_values() -> None:
    assert 95.0 == pytest.approx(Series("x", "ms", tuple(map(float, range(101)))).percentile(95))
    assert 7.0 == Series("x", "ms", (7.0,)).percentile(99)


@pytest.mark.parametrize(
    ("value", "at_least", "met"),
    [(10, False, True), (10.1, False, False), (10, True, True), (9.9, True, False)],
)
def test_a_bound_itself_is_met(value: float, at_least: bool, met: bool) -> None:
    assert met == Goal("goal", value, 10, "x", at_least=at_least).met


def test_a_table_says_which_goals_are_missed_by_how_much_and_why() -> None:
    met, missed = goal_table(RESULT.goals, markdown=True).splitlines()[2:]
    assert "| met" in met
    assert "**missed by a factor of 2.00**: that is why" in missed
    assert "that is why" not in goal_table(RESULT.goals)


def test_a_table_of_series_names_product_and_number() -> None:
    row = series_table(RESULT.series, markdown=True).splitlines()[2]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert ["PowMonMan", "1,000", "3", "2", "2.9", "3", "ms"] == cells[1:]


def test_figures_have_the_digits_that_matter() -> None:
    assert ("0.0123", "1.23", "12.3", "1,235") == tuple(
        map(figure, (0.01234, 1.234, 12.34, 1234.6))
    )
