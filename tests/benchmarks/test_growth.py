"""The exponent that a cost grows with."""

from __future__ import annotations

import pytest

from benchmarks.growth import exponent


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_what_is_paid_without_any_client_is_taken_off(power: float) -> None:
    costs = {n: 24_000 + 55 * n**power for n in (0, 100, 1000, 5000)}
    assert power == pytest.approx(exponent(costs))


def test_without_a_cost_of_none_the_whole_cost_counts() -> None:
    assert 2.0 == pytest.approx(exponent({1: 3.0, 10: 300.0}))


@pytest.mark.parametrize("costs", [{}, {0: 1.0, 10: 2.0}, {0: 5.0, 10: 5.0, 100: 9.0}])
def test_there_is_none_where_too_little_is_known(costs: dict[int, float]) -> None:
    assert exponent(costs) is None
