"""What the page says of each benchmark, what it draws, and which costs it fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .plot import Plot

INTRO = """\
# Speed and size

What PowMonMan costs, and how fast it is, beside what you would use instead, measured in the same
run on the same machine. Written by `make bench` from `benchmarks/results/*.json`, which hold every
single value; don't edit the figures. `make bench BENCH=fanout` measures one part alone;
`.venv/bin/python -m benchmarks --quick` takes a few minutes and keeps nothing.

Absolute figures are this machine's: two cores of a virtual machine, on which all clients run too. A
Raspberry Pi is slower. Ratios carry over better. What one server can bear, and what comes after
that: [scale.md](scale.md). How safe both are: [safety-beside-nut.md](safety-beside-nut.md).

"""


@dataclass(frozen=True)
class Section:
    """One benchmark's part of the page."""

    benchmark: str
    heading: str
    text: str


@dataclass(frozen=True)
class Cost:
    """A cost whose growth with N is fitted.

    Attributes:
        what: It, for people.
        beyond: For PowMonMan, up to this N the cost is that of the machinery, not of N.
    """

    benchmark: str
    series: str
    what: str
    beyond: int = 0


SECTIONS: tuple[Section, ...] = ()
COSTS: tuple[Cost, ...] = ()
PLOTS: tuple[Plot, ...] = ()
