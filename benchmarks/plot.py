"""Plots of results as SVG, the same bytes for the same figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from .result import Result, Series

# Readable for those who can't tell red from green (Okabe and Ito's palette), and in grey.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKS = "osD^vP"


@dataclass(frozen=True)
class Plot:
    """One picture: what something costs by N, a line for each product, on log-log paper.

    Attributes:
        file: Its name, below docs/performance/.
        benchmark: Whose result it shows.
        series: Their names; several share the paper.
        x, y: What the axes are, with the unit.
        text: What it shows, for who can't see it.
    """

    file: str
    benchmark: str
    series: tuple[str, ...]
    x: str
    y: str
    text: str


def draw(plot: Plot, result: Result, directory: Path) -> Path:
    """Draw `plot`; return the path.

    Raises:
        LookupError: The result has no such series.
    """
    # Only who draws needs it installed.
    import matplotlib as mpl
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FuncFormatter

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "powmonman", "svg.fonttype": "none", "font.size": 11})
    lines = _lines(plot, result.series)
    if not lines:
        raise LookupError(f"{plot.benchmark}: nothing to draw for {plot.file}")
    figure, axes = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
    for (label, points), colour, mark in zip(lines.items(), COLOURS, MARKS, strict=False):
        ns = [_number(each) for each in points]
        medians = [each.median for each in points]
        axes.plot(ns, medians, color=colour, marker=mark, label=label)
        # To the worst that was seen.
        axes.vlines(ns, medians, [each.max for each in points], color=colour, alpha=0.5)
    axes.set(xscale="log", yscale="log", xlabel=plot.x, ylabel=plot.y)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(frameon=False)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / plot.file
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return path


def _lines(plot: Plot, series: Iterable[Series]) -> dict[str, Sequence[Series]]:
    """Return the points of each line, by its label."""
    lines: dict[str, list[Series]] = {}
    for each in series:
        # Zero has no place on log paper.
        if each.name in plot.series and each.n and each.median > 0:
            label = each.product if len(plot.series) == 1 else f"{each.product}, {each.name}"
            lines.setdefault(label, []).append(each)
    return {label: sorted(points, key=_number) for label, points in lines.items()}


def _number(series: Series) -> int:
    return series.n or 0
