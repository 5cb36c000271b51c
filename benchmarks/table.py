"""Results as tables, for a terminal and for Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabulate import tabulate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .result import Goal, Series
    from .sections import Cost

HEADINGS = ("what", "product", "N", "runs", "median", "p95", "max", "unit")


def figure(value: float) -> str:
    """Return a figure in the digits that matter: three, and all of a whole thousand."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def series_table(series: Sequence[Series], *, markdown: bool = False) -> str:
    """Return one row for each series."""
    rows = [
        (
            each.name,
            each.product,
            "" if each.n is None else f"{each.n:,}",
            len(each.values),
            figure(each.median),
            figure(each.percentile(95)),
            figure(each.max),
            each.unit,
        )
        for each in series
    ]
    return _table(rows, HEADINGS, numbers=(2, 3, 4, 5, 6), markdown=markdown)


def goal_table(goals: Sequence[Goal], *, markdown: bool = False) -> str:
    """Return one row for each goal: met, or by how much not; in Markdown also why."""
    rows = [
        (
            goal.text,
            f"{figure(goal.value)} {goal.unit}",
            f"{'at least' if goal.at_least else 'at most'} {figure(goal.bound)} {goal.unit}",
            _verdict(goal, markdown=markdown),
        )
        for goal in goals
    ]
    return _table(rows, ("goal", "measured", "bound", ""), numbers=(), markdown=markdown)


def growth_table(
    growths: Sequence[tuple[Cost, str, dict[int, float], float]], linear: float
) -> str:
    """Return one row for each cost, in Markdown: its exponent, bold where it is not linear."""
    rows = [
        (
            cost.what,
            product,
            ", ".join(f"{n:,}: {figure(value)}" for n, value in sorted(points.items())),
            f"{slope:.2f}" if slope <= linear else f"**{slope:.2f}**",
        )
        for cost, product, points, slope in growths
    ]
    return _table(rows, ("cost", "product", "by N", "exponent"), numbers=(3,), markdown=True)


def _verdict(goal: Goal, *, markdown: bool) -> str:
    if goal.met:
        return "met"
    less, more = sorted((goal.value, goal.bound))
    text = f"missed by a factor of {more / less:.2f}" if less > 0 else "missed"
    if not markdown:
        # A reason is longer than a line.
        return text
    return f"**{text}**: {goal.why}" if goal.why else f"**{text}**"


def _table(
    rows: Sequence[Sequence[object]],
    headings: Sequence[str],
    *,
    numbers: Sequence[int],
    markdown: bool,
) -> str:
    table: str = tabulate(
        rows,
        headings,
        tablefmt="github" if markdown else "simple",
        disable_numparse=True,
        colalign=["right" if at in numbers else "left" for at in range(len(headings))],
    )
    return table
