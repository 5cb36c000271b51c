"""Whether figures grow: the slope over the second half of a run, against what it may be.

The first half is for what fills up once and stays: caches, the record up to what it keeps. The
slope is Theil and Sen's, the median over all pairs of samples, which a few outliers don't move.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Bound:
    """How much a figure may drift over the second half: the larger of the two.

    Attributes:
        most: In units of the figure.
        share: Of its median there.
    """

    most: float
    share: float = 0.0


@dataclass(frozen=True)
class Growth:
    """What has become of one figure.

    Attributes:
        drift: The slope, times the outages of the second half.
        allowed: What the drift may be at the most.
        slope: Per 1,000 outages.
    """

    first: float
    middle: float
    last: float
    drift: float
    allowed: float
    slope: float

    @property
    def grows(self) -> bool:
        """Whether it is beyond what is allowed."""
        return self.drift > self.allowed


def growth(outages: Sequence[int], values: Sequence[float], bound: Bound) -> Growth:
    """Judge `values`, each taken after so many `outages`; at least four of them."""
    half = len(values) // 2
    at, late = outages[half:], values[half:]
    per_outage = slope(at, late)
    return Growth(
        first=values[0],
        middle=values[half],
        last=values[-1],
        drift=per_outage * (at[-1] - at[0]),
        allowed=max(bound.most, bound.share * abs(median(late))),
        slope=per_outage * 1000,
    )


def slope(at: Sequence[float], values: Sequence[float]) -> float:
    """Return the median of the slopes between all pairs of points."""
    points = list(zip(at, values, strict=True))
    return median(
        (later - value) / (after - before)
        for n, (before, value) in enumerate(points)
        for after, later in points[n + 1 :]
        if after > before
    )
