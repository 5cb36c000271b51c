"""When a host is down: it has said that it goes, it has hung up, and nothing of it answers.

Rules:

1. A socket that closed says nothing: clients are restarted, switches too. A host that hung up is
   asked for a sign of life, again and again; only silence that was observed counts.
2. Silence is *telling* where the host is known to answer when it lives: it has answered in this
   way before, or the kernel's neighbour discovery (ARP) has failed. Elsewhere it may be a firewall.
3. A break in the asking (a stall of the server, its own cable) begins the silence anew.
4. Connected, it is up. With a new boot it is up and has committed to nothing.

| said before               | then                                          | is it down?         |
|---------------------------|-----------------------------------------------|---------------------|
| committed, halting        | hung up, telling silence for `settle`         | yes                 |
| anything                  | hung up, any silence for `gone_after`         | yes                 |
| anything                  | hung up, answers                              | no                  |
| committed, in a dry run   | whatever                                      | yes, for the others |

A dry run's commit counts, so that a rehearsal of the whole order goes on.

All times are CLOCK_BOOTTIME seconds of the server.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

# Between two questions; more is no observation. A round over a large fleet may take some seconds.
MOST_GAP = 30.0
# What a host says that shuts down.
GOING = frozenset({"committed", "halting"})


class Answer(StrEnum):
    """What came of asking a host once."""

    ANSWERED = "answered"
    SILENT = "silent"
    MUTE = "mute"
    UNSURE = "unsure"


@dataclass(frozen=True)
class Bounds:
    """How long a silence must last, in seconds."""

    settle: float = 5.0
    gone_after: float = 60.0


@dataclass(frozen=True)
class Silence:
    """Unanswered questions without a break: from when the first was sent until the last was lost.

    Attributes:
        how: What it was, in words: `no answer to ping`.
    """

    since: float
    until: float
    how: str

    @property
    def length(self) -> float:
        """Seconds."""
        return self.until - self.since


@dataclass(frozen=True)
class Presence:
    """What tells whether a host is down; each method returns the next one.

    Attributes:
        phase: As it said last in this boot.
        dry_run: What it says is a rehearsal.
        left: Since when it is not connected; None: it is, or was never seen.
        telling: A silence that is evidence by itself.
        quiet: Any silence.
        seen: The last sign of life.
    """

    phase: str = "unknown"
    dry_run: bool = False
    connected: bool = False
    left: float | None = None
    telling: Silence | None = None
    quiet: Silence | None = None
    seen: float | None = None

    @property
    def going(self) -> bool:
        """Whether it has said that it shuts down."""
        return self.phase in GOING

    def joined(self, now: float, *, dry_run: bool, new_boot: bool) -> Presence:
        """It said hello."""
        phase = "unknown" if new_boot else self.phase
        return Presence(phase=phase, dry_run=dry_run, connected=True, seen=now)

    def said(self, phase: str, now: float) -> Presence:
        """It said what it does."""
        return replace(self, phase=phase, seen=now)

    def hung_up(self, now: float) -> Presence:
        """Its connection ended."""
        return replace(self, connected=False, left=now, telling=None, quiet=None, seen=now)

    def asked(self, answer: Answer, how: str, sent: float, until: float) -> Presence:
        """It was asked at `sent`, and what came of it is known at `until`."""
        if self.connected or (self.left is not None and sent < self.left):
            return self
        if answer is Answer.ANSWERED:
            return replace(self, telling=None, quiet=None, seen=until)
        if answer is Answer.UNSURE:
            return replace(self, telling=None, quiet=None)
        quiet = _longer(self.quiet, how, sent, until)
        telling = _longer(self.telling, how, sent, until) if answer is Answer.SILENT else None
        return replace(self, quiet=quiet, telling=telling or self.telling)

    def down(self, bounds: Bounds) -> str:
        """Return how it is known that the host is down; empty: it is not, or nobody knows."""
        if self.dry_run and self.phase == "committed":
            return "dry run: it has committed, and counts as down for those that wait"
        if self.connected:
            return ""
        word = "halting" if self.phase == "halting" else "committed"
        if self.going and self.telling is not None and self.telling.length >= bounds.settle:
            return f"{word}, hung up, {_told(self.telling)}"
        if self.quiet is not None and self.quiet.length >= bounds.gone_after:
            first = f"{word}, hung up" if self.going else "gone without a commit"
            return f"{first}, {_told(self.quiet)}"
        return ""


def _longer(silence: Silence | None, how: str, sent: float, until: float) -> Silence:
    if silence is None or sent - silence.until > MOST_GAP:
        return Silence(sent, until, how)
    return Silence(silence.since, until, how)


def _told(silence: Silence) -> str:
    return f"{silence.how} for {silence.length:.0f} s"
