"""The table beside NUT: what is as expected, and how many moments are told."""

from __future__ import annotations

import pytest

from .table import Expected, Row, cell, table, tally

DOWN, UP = Expected(90), Expected(None)


@pytest.mark.parametrize(
    ("expected", "runs", "met"),
    [
        (DOWN, [90.0], True),
        (DOWN, [109.0], True),
        (DOWN, [42.0], False),
        (DOWN, [118.0], False),
        (DOWN, [], False),
        (DOWN, [92.0, 122.0], False),
        (UP, [], True),
        (UP, [90.0], False),
    ],
)
def test_early_late_never_and_twice_are_not_as_expected(
    expected: Expected, runs: list[float], met: bool
) -> None:
    assert expected.met(runs) is met


@pytest.mark.parametrize(
    ("expected", "seen", "text"),
    [
        (DOWN, [[91.2], [90.6], [91.4]], "down at 91 s"),
        (DOWN, [[95.0], [99.0]], "down at 95 to 99 s"),
        (DOWN, [[97.0], [39.0], [98.0]], "**down at 39, 97, 98 s**"),
        (DOWN, [[91.0], [], [92.0]], "**stays up (1 of 3); down at 91 to 92 s (2 of 3)**"),
        (Expected(70), [[83.0, 122.0]], "**down at 83, and again at 122 s**"),
        (UP, [[], []], "stays up"),
        (DOWN, [], "not played"),
    ],
)
def test_one_run_that_went_another_way_is_seen(
    expected: Expected, seen: list[list[float]], text: str
) -> None:
    assert cell(expected, seen) == text


def test_the_table_and_the_tally_name_every_product() -> None:
    rows = [Row("the mains fail", DOWN, {"a": [[91.0]], "b": [[42.0]]}), Row("none", UP, {})]
    assert table(rows, ["a", "b"]) == (
        "| what happens | expected | a | b |\n"
        "| --- | --- | --- | --- |\n"
        "| the mains fail | down at 90 s | down at 91 s | **down at 42 s** |\n"
        "| none | stays up | not played | not played |\n"
    )
    assert tally(rows, ["a", "b"]).splitlines()[2:] == ["| a | 1 of 1 |", "| b | 0 of 1 |"]
