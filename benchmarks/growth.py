"""How a cost grows with N: the exponent b of cost = a + c * N ** b.

What is paid without any client (a) is measured where it can be, and taken off; then b is the slope
of the line through the points on log-log paper (least squares). 1.0 is linear.
"""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Above it a cost counts as more than linear: the fit's own error with three or four points that
# differ by some 5 % from run to run is about 0.05.
LINEAR = 1.1


def exponent(costs: Mapping[int, float]) -> float | None:
    """Return b for costs by N; that of N = 0 is a.

    None where fewer than two points are left, or one costs no more than a.
    """
    base = costs.get(0, 0.0)
    points = [(n, cost - base) for n, cost in sorted(costs.items()) if n]
    if len(points) < 2 or any(cost <= 0 for _, cost in points):
        return None
    xs = [math.log(n) for n, _ in points]
    ys = [math.log(cost) for _, cost in points]
    return statistics.linear_regression(xs, ys).slope
