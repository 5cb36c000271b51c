"""What becomes of one light client's countdown while its server restarts: nothing should."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from powmonman.core.plan import Plan, Rules


@dataclass
class Countdown:
    """Of one client that goes by a plan.

    Attributes:
        deadline: When it was first looked at, in seconds of CLOCK_BOOTTIME; None: there is none.
        shifts: By how much the deadline has moved since, at the least and the most.
        faults: What must not happen to a countdown, in words.
    """

    deadline: float | None = None
    shifts: tuple[float, float] = (0.0, 0.0)
    faults: list[str] = field(default_factory=list)

    def settle(self) -> None:
        """Take the deadline as it will next be seen for the one that must not move."""
        self.deadline, self.shifts = None, (0.0, 0.0)

    def look(self, plan: Plan, rules: Rules) -> None:
        """See whether the countdown is what it was."""
        left = plan.left(rules)
        if left is None or plan.last is None:
            if self.deadline is not None:
                self.faults.append(f"no countdown any more: {plan.phase}")
                self.deadline = None
            return
        deadline = plan.last.running + left
        if self.deadline is None:
            self.deadline = deadline
        shift = deadline - self.deadline
        self.shifts = min(self.shifts[0], shift), max(self.shifts[1], shift)

    def as_json(self) -> dict[str, Any]:
        """Return what `swarm.Swarm.countdowns` says of it."""
        counting = self.deadline is not None
        return {"counting": counting, "shifts": self.shifts, "faults": self.faults}
