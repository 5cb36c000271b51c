"""What all scripts together have tried, and what came of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Figures:
    """Counts over many scripts.

    Attributes:
        faults: By kind, of everything that is not the weather of a good day.
        late: The most seconds by which a commit came after its deadline, a wait for others apart.
    """

    scripts: int = 0
    steps: int = 0
    seconds: float = 0.0
    outages: int = 0
    commits: int = 0
    waited: int = 0
    woken: int = 0
    wrongful: int = 0
    missed: int = 0
    late: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)

    def add(self, other: Figures) -> None:
        for name in ("scripts", "steps", "seconds", "outages", "commits", "waited", "woken"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.wrongful += other.wrongful
        self.missed += other.missed
        self.late = max(self.late, other.late)
        self.faults += other.faults

    def line(self) -> str:
        return (
            f"{self.scripts} scripts, {self.steps} steps, {self.seconds / 3600:.0f} hours, "
            f"{self.faults.total()} faults, {self.outages} outages, {self.commits} commits "
            f"({self.waited} after the longest wait), {self.woken} woken; "
            f"wrongful shutdowns: {self.wrongful}, missed: {self.missed}, "
            f"largest overshoot of a deadline: {self.late:.0f} s"
        )

    def table(self) -> list[str]:
        rows = [
            ("scripts tried", self.scripts),
            ("steps", self.steps),
            ("simulated hours", round(self.seconds / 3600)),
            ("faults injected", self.faults.total()),
            *((f"  {name}", count) for name, count in sorted(self.faults.items())),
            ("outages", self.outages),
            ("commits", self.commits),
            ("  of them after the longest wait", self.waited),
            ("hosts woken", self.woken),
            ("wrongful shutdowns", self.wrongful),
            ("missed shutdowns", self.missed),
            ("largest overshoot of a deadline (s)", round(self.late)),
        ]
        return [f"{name:<42}{count:>12,}" for name, count in rows]


@dataclass(frozen=True)
class Caught:
    """A rejected design, what found it out, and after how much."""

    design: str
    by: str
    after: str


ALL = Figures()
CAUGHT: list[Caught] = []
