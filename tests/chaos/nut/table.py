"""The table: what was expected of a scenario, and what each product did in all of its runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# How much later than due a host may go: NUT's own FINALDELAY of 5 s and two of its polls, and a
# lease of PowMonMan's with a slow machine's share.
SLACK = 20.0
# The clock of a trace shows hundredths, and a host may take less than it is given for the last one.
EARLY = 0.5
# Moments that are told as a range.
NEAR = 8


@dataclass(frozen=True)
class Expected:
    """What somebody who has set "down after N s on battery" expects of a host.

    Attributes:
        down: When it goes down, in seconds after the loss; nothing: it stays up.
        note: What else there is to say, for the table.
    """

    down: float | None
    note: str = ""

    def __str__(self) -> str:
        text = "stays up" if self.down is None else f"down at {self.down:.0f} s"
        return f"{text}{self.note}"

    def met(self, runs: Sequence[float]) -> bool:
        """Return whether these moments of shutting down are as expected."""
        if self.down is None:
            return not runs
        return len(runs) == 1 and self.down - EARLY <= runs[0] <= self.down + SLACK


@dataclass(frozen=True)
class Row:
    """One scenario.

    Attributes:
        seen: By product: for each run, the moments at which the host went down.
    """

    text: str
    expected: Expected
    seen: Mapping[str, Sequence[Sequence[float]]]


def cell(expected: Expected, seen: Sequence[Sequence[float]]) -> str:
    """Return what a product did in its runs; bold where that is not what was expected."""
    if not seen:
        return "not played"
    kinds: dict[int, list[Sequence[float]]] = {}
    for runs in seen:
        kinds.setdefault(len(runs), []).append(runs)
    parts = []
    for times, group in sorted(kinds.items()):
        of = f" ({len(group)} of {len(seen)})" if len(kinds) > 1 else ""
        if times == 0:
            parts.append(f"stays up{of}")
        else:
            when = [_moments([runs[number] for runs in group]) for number in range(times)]
            parts.append(f"down at {', and again at '.join(when)} s{of}")
    text = "; ".join(parts)
    return text if all(expected.met(runs) for runs in seen) else f"**{text}**"


def _moments(moments: Sequence[float]) -> str:
    """Return `97`, `95 to 99`, or all of them where they are far apart: `39, 97, 98`."""
    rounded = sorted(round(moment) for moment in moments)
    if rounded[0] == rounded[-1]:
        return str(rounded[0])
    if rounded[-1] - rounded[0] <= NEAR:
        return f"{rounded[0]} to {rounded[-1]}"
    return ", ".join(map(str, rounded))


def table(rows: Sequence[Row], products: Sequence[str]) -> str:
    """Return the rows as a Markdown table."""
    lines = [["what happens", "expected", *products]]
    lines.append(["---"] * len(lines[0]))
    for row in rows:
        cells = [cell(row.expected, row.seen.get(product, ())) for product in products]
        lines.append([row.text, str(row.expected), *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def tally(rows: Sequence[Row], products: Sequence[str]) -> str:
    """Return for how many rows each product did what was expected in every run."""
    lines = []
    for product in products:
        tried = [row for row in rows if row.seen.get(product)]
        good = sum(all(map(row.expected.met, row.seen[product])) for row in tried)
        lines.append(f"| {product} | {good} of {len(tried)} |\n")
    return "| | as expected in every run |\n|---|---|\n" + "".join(lines)
