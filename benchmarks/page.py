"""Make docs/performance.md from benchmarks/results/*.json: `python -m benchmarks.page`."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from .growth import LINEAR, exponent
from .result import OURS, Result, load_all
from .sections import COSTS, HEADINGS, INTRO, PLOTS
from .table import goal_table, growth_table, series_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .sections import Cost

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks/results"
PAGE = ROOT / "docs/performance.md"
PICTURES = PAGE.with_suffix("")


def page(results: Mapping[str, Result]) -> str:
    """Return the page for these results, by benchmark; a benchmark without one is left out."""
    there = [(name, results[name]) for name in HEADINGS if name in results]
    goals = [goal for _, result in there for goal in result.goals]
    parts = [INTRO, "## Goals\n\n", goal_table(goals, markdown=True), "\n"]
    for name, result in there:
        parts += [f"\n## {HEADINGS[name]}\n\n", _about(name), "\n\n"]
        parts += [series_table(result.series, markdown=True), "\n"]
        parts += [
            f"\n![{plot.text}]({PICTURES.name}/{plot.file})\n"
            for plot in PLOTS
            if plot.benchmark == name
        ]
        notes = (*result.notes, *(f"Left out: {each}" for each in result.left_out))
        parts += ["\n", *(f"- {note}\n" for note in notes)] if notes else []
        parts.append(f"\n{_measured_on(result)}\n")
    parts += ["\n## Growth\n\n", GROWTH, growth_table(growths(results), LINEAR), "\n"]
    return "".join(parts)


def _about(name: str) -> str:
    text = importlib.import_module(f"benchmarks.{name}").__doc__ or ""
    return "\n\n".join(" ".join(part.split()) for part in text.strip().split("\n\n"))


GROWTH = """\
Each cost is fitted as *a + c · N^b*; *a* is what is paid at N = 0, where that was measured (of our
times at N = 1: the sensor's poll, and the disk). The exponent b is the slope through the medians on
log-log paper. Above 1 (1.1 with the error of the fit) it would not be linear.

"""


def growths(results: Mapping[str, Result]) -> list[tuple[Cost, str, dict[int, float], float]]:
    """Return every cost that was measured for several N: by product, with its exponent."""
    found = []
    for cost in COSTS:
        result = results.get(cost.benchmark)
        products: dict[str, dict[int, float]] = {}
        for each in result.series if result else ():
            if each.name == cost.series and each.n is not None:
                products.setdefault(each.product, {})[each.n] = each.median
        for product, points in products.items():
            base = cost.base if product == OURS else 0
            slope = exponent({0 if n == base else n: value for n, value in points.items()})
            if slope is not None:
                found.append((cost, product, points, slope))
    return found


def _measured_on(result: Result) -> str:
    machine = result.machine
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    load = "{:.1f} before, {:.1f} after".format(machine["load"][0], machine["load_after"][0])
    return (
        f"{machine['date']}, {result.seconds:,.0f} s, on {machine['cores']} cores of "
        f"{machine['processor']}, {machine['memory_gib']:.0f} GiB, {machine['system']}, Python "
        f"{machine['python']}, {machine['openssl']}; load {load}. {versions}."
    )


def main() -> None:
    """Write the page, and the plots if they are asked for (those need matplotlib)."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=main.__doc__)
    parser.add_argument("--plots", action="store_true", help="draw the plots too")
    results = load_all(RESULTS)
    if parser.parse_args().plots:
        from .plot import draw

        for plot in PLOTS:
            if plot.benchmark in results:
                print(draw(plot, results[plot.benchmark], PICTURES))
    PAGE.write_text(page(results), "utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
