"""What may drift how far in the second half of a soak, and the table of what has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .growth import Bound, Growth, growth

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .course import Sample

# Of one process; memory in KiB. An allocator takes pages in lumps.
PROCESS = {
    "rss": Bound(2048),
    "pss": Bound(2048),
    "uss": Bound(2048),
    "descriptors": Bound(1.5),
    "threads": Bound(1.5),
    "tasks": Bound(1.5),
    "objects": Bound(3000),
    "state": Bound(64 * 1024),
    "runtime": Bound(64 * 1024),
}
LIVES_ON = ("server", "nas", "db")
LINES, BYTES = Bound(2, 0.3), Bound(200, 0.3)
FILES = Bound(64 * 1024)
CPU, TOLD = Bound(0.02, 1.0), Bound(0.1, 1.0)
# A matter of what else the machine does, too.
NOISY = frozenset({"told", *(f"{name} cpu" for name in LIVES_ON)})


def judged(samples: Sequence[Sample]) -> dict[str, Growth]:
    """Judge every figure of the processes that live through the whole course."""
    at = [sample.outages for sample in samples]
    found: dict[str, Growth] = {}

    def judge(name: str, bound: Bound, value: Callable[[Sample], float]) -> None:
        found[name] = growth(at, [value(sample) for sample in samples], bound)

    for name in LIVES_ON:
        for figure, bound in PROCESS.items():
            judge(f"{name} {figure}", bound, lambda s, n=name, f=figure: getattr(s.processes[n], f))
        judge(f"{name} log lines", LINES, lambda s, n=name: s.lines[n])
        judge(f"{name} log bytes", BYTES, lambda s, n=name: s.said[n])
        judge(f"{name} cpu", CPU, lambda s, n=name: s.cpu[n])
    judge("record", FILES, lambda s: s.record)
    judge("spool", FILES, lambda s: s.spool)
    judge("told", TOLD, lambda s: s.told)
    return found


def table(found: dict[str, Growth]) -> str:
    """Return what was judged, a line each."""
    rows = [("", "first", "middle", "last", "drift", "may be", "per 1,000", "")]
    for name, each in found.items():
        numbers = (each.first, each.middle, each.last, each.drift, each.allowed, each.slope)
        rows.append((name, *map(_shown, numbers), "GROWS" if each.grows else "ok"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        )
        for row in rows
    )


def _shown(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"
