"""What a benchmark found: series of measured values, the goals they are held to, and JSON.

A value is never reported alone: every series keeps all its values, and says of how many clients or
hosts it is, and of which product. Ratios are taken between series of one result, that is of one run
on one machine.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

OURS = "PowMonMan"


@dataclass(frozen=True)
class Series:
    """One thing, measured once or again and again.

    Attributes:
        name: What was measured, such as `loss to last client told`.
        unit: Of the values: `ms`, `s`, `kB`, `CPU s/min`, `wake-ups/s`, `pings`, ...
        values: In the order in which they were measured.
        product: Whose it is, such as `PowMonMan` or `NUT, fastest`.
        n: Of how many clients or hosts; None where that means nothing.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    product: str = OURS
    n: int | None = None

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    @property
    def max(self) -> float:
        """The largest one."""
        return max(self.values)

    def percentile(self, percent: int) -> float:
        """Return the value that `percent` of all don't exceed, as far as so few can tell."""
        if len(self.values) == 1:
            return self.values[0]
        return statistics.quantiles(self.values, n=100, method="inclusive")[percent - 1]


@dataclass(frozen=True)
class Goal:
    """A bound that a figure is held to.

    Attributes:
        text: What is held to it.
        value: What was measured.
        bound: What it may be at most or, where `at_least`, must be at least.
        unit: Of both.
        why: Where it is missed: why, for the page.
    """

    text: str
    value: float
    bound: float
    unit: str
    at_least: bool = False
    why: str = ""

    @property
    def met(self) -> bool:
        """Whether it is kept."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound


@dataclass(frozen=True)
class Result:
    """One run of one benchmark.

    Attributes:
        benchmark: Its name, as on the command line.
        machine: What it ran on, and how busy that was: `machine.described`.
        versions: Of every product that took part.
        seconds: How long it took.
        left_out: What could not be measured here, and why.
    """

    benchmark: str
    series: tuple[Series, ...]
    goals: tuple[Goal, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    machine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def find(self, name: str, *, product: str = OURS, n: int | None = None) -> Series:
        """Return the one series of that name, product and number.

        Raises:
            LookupError: There is none.
        """
        for series in self.series:
            if (series.name, series.product, series.n) == (name, product, n):
                return series
        raise LookupError(f"{self.benchmark}: no series {name!r} of {product}, n={n}")

    def save(self, directory: Path) -> Path:
        """Write it to `directory` as `BENCHMARK.json`; return the path."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.benchmark}.json"
        body = asdict(self)
        body["series"] = [_with_summary(series) for series in self.series]
        body["goals"] = [{**asdict(goal), "met": goal.met} for goal in self.goals]
        path.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", "utf-8")
        return path


def load(path: Path) -> Result:
    """Return what `Result.save` wrote."""
    body = json.loads(path.read_text("utf-8"))
    body["series"] = tuple(_series(each) for each in body["series"])
    body["goals"] = tuple(
        Goal(**{key: value for key, value in each.items() if key != "met"})
        for each in body["goals"]
    )
    body["notes"], body["left_out"] = tuple(body["notes"]), tuple(body["left_out"])
    return Result(**body)


def load_all(directory: Path) -> dict[str, Result]:
    """Return all results in `directory`, by benchmark."""
    results: Iterable[Result] = (load(path) for path in sorted(directory.glob("*.json")))
    return {result.benchmark: result for result in results}


def _with_summary(series: Series) -> dict[str, Any]:
    # For people and other programs: reading back needs only the values.
    summary = {
        "runs": len(series.values),
        "median": series.median,
        "p95": series.percentile(95),
        "p99": series.percentile(99),
        "max": series.max,
    }
    return {
        "name": series.name,
        "product": series.product,
        "n": series.n,
        "unit": series.unit,
        **{key: _rounded(value) for key, value in summary.items()},
        "values": [_rounded(value) for value in series.values],
    }


def _series(body: dict[str, Any]) -> Series:
    return Series(
        body["name"], body["unit"], tuple(body["values"]), product=body["product"], n=body["n"]
    )


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")
