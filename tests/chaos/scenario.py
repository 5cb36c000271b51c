"""What a chaos scenario is: a layout, a script of faults, and what must come of it.

A scenario knows nothing of the product that it is played on: it speaks to a `Site`. Whoever
implements one can play every scenario whose `needs` it has. Times are scaled alike for all: hosts
go down `AFTER` seconds after the loss of the mains, and a server that has been silent for `LEASE`
seconds is lost. Moments are seconds on CLOCK_BOOTTIME.

Names: the hosts are those of the layout, `pi` is the server's host (`pi2` a second server's), and
`switch` is what joins them. Of a host's name, `kill` and the like mean the client on it; of `pi`,
the server.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

AFTER = 4.0
LEASE = 1.5
# Shorter than this the mains may fail, and nothing comes of it.
CONFIRM = 0.3
# How much later than due a host may go down: a lease of silence, and a slow machine's share.
SLACK = 7.0
# How long a script waits for what it needs to go on.
PATIENCE = 60.0
# How long after its deadline a host that must stay up is watched: several leases.
WATCH = 4 * LEASE


class Need(StrEnum):
    """What of a product a scenario makes use of, beside counting and shutting down."""

    WAITING = "a host that waits for another to be down"
    RECOVERY = "a server that wakes what went down"
    DISCOVERY = "clients that find their server"
    STANDBY = "a second server to turn to"
    RESUMED = "a countdown that survives its process"
    OWN_RECORD = "files of its own on the disk"


class Phase(StrEnum):
    """What a host is doing about the power."""

    IDLE = "idle"
    COUNTING = "counting"
    WAITING = "waiting"
    COMMITTED = "committed"


class Word(StrEnum):
    """What somebody must be told."""

    CONTACT_LOST = "contact lost"
    POWER_UNKNOWN = "power unknown"
    CANCELLED = "shutdown cancelled"
    DISK = "disk can't be written"
    FINAL_FAILED = "shutdown failed"
    KILLED_AFTER_TIMEOUT = "command killed"
    CONTACT_AGAIN = "contact again"


@dataclass(frozen=True)
class Host:
    """A host with a client on it.

    Attributes:
        servers: Where it looks for its server: addresses of these; empty is by the LAN.
        by_name: By host names instead, so that a DNS is needed.
        commands: What the commands of its shutdown do before the final one: `work`, `last` (two
            seconds), `hang` (killed after one), `fail`, or are `missing`.
        final: What the final one does: `work`, `fail once`, `fail` (each time), or is `missing`.
        after: Its own time on battery; None is the layout's.
    """

    name: str = "nas"
    wait_for: tuple[str, ...] = ()
    wait_timeout: float = 8.0
    servers: tuple[str, ...] = ("pi",)
    by_name: bool = False
    commands: tuple[str, ...] = ()
    final: str = "work"
    after: float | None = None


@dataclass(frozen=True)
class Layout:
    """Who is there. All that count time on battery go down `after` it."""

    hosts: tuple[Host, ...] = (Host(),)
    servers: tuple[str, ...] = ("pi",)
    after: float = AFTER


class Site(Protocol):
    """A LAN with a fleet on it. A step returns when the fault is there, not what comes of it."""

    def lay(self, layout: Layout) -> None:
        """Set all of it up, mains good, and wait until every host knows that they are."""

    def mains(self, *, good: bool) -> float:
        """Lose the mains, or give them back; return when. Times count from the first loss."""

    def garble_sensor(self) -> None:
        """Let the sensor say nothing that makes sense, until `mains` is called again."""

    def kill(self, name: str) -> None:
        """End a client or a server by SIGKILL, and leave it so until `start`."""

    def start(self, name: str) -> None:
        """Start it again, as a service manager would."""

    def pause(self, name: str) -> None:
        """Stop it by SIGSTOP."""

    def resume(self, name: str) -> None:
        """Let it go on, by SIGCONT."""

    def link(self, name: str, *, up: bool) -> None:
        """Pull or plug the cable of a host or of `pi`; of `switch`, its power."""

    def poor_link(
        self, name: str, *, loss: int = 0, delay: int = 0, jitter: int = 0, duplicate: int = 0
    ) -> None:
        """Let a cable lose and double so many per cent, and delay by so many ms, both ways."""

    def hang_dns(self) -> None:
        """Let no question to the DNS be answered any more, without refusing it."""

    def new_address(self, name: str) -> None:
        """Give `pi` another address, and take its own."""

    def fill_disk(self, name: str) -> None:
        """Leave no room on the disks of a host, /run included."""

    def read_only(self, name: str) -> None:
        """Let the disk of a host be mounted read-only: /var/lib, not /run."""

    def reaches(self, name: str, phase: Phase) -> float:
        """Wait until a host is in a phase; return when. Fails where it never is."""

    def hears(self, name: str, word: Word) -> None:
        """Wait until this has been said on a host."""

    def recovering(self, name: str) -> None:
        """Wait until a host has been woken once; hosts wake only as `keep_off` allows."""

    def keep_off(self, name: str, *, off: bool) -> None:
        """Let a host stay off although it is woken; without this it boots at once."""

    def wait(self, seconds: float) -> None:
        """Let time pass."""

    def until(self, seconds: float) -> None:
        """Wait for a moment, in seconds after the first loss."""

    @property
    def losses(self) -> list[float]:
        """When the mains were lost, each time."""

    def now(self) -> float:
        """Return the moment."""

    def runs(self, name: str) -> list[float]:
        """Return when a host has run its final command, each time that it was tried."""

    def boots(self, name: str) -> list[float]:
        """Return when a host has come back after being woken."""

    def said(self, name: str, word: Word) -> bool:
        """Return whether this has been said on a host, up to now."""


@dataclass(frozen=True)
class Goes:
    """A host goes down: not before `at` seconds after a loss, and at most `slack` later.

    Where the script takes longer than that, `slack` counts from its end.

    Attributes:
        loss: The number of the loss that times count from.
        runs: How often it has gone down by then, from the first loss on.
    """

    host: str = "nas"
    at: float = AFTER
    slack: float = SLACK
    loss: int = 0
    runs: int = 1

    def __str__(self) -> str:
        return f"{self.host} down at {self.at:g} s, by {self.at + self.slack:g} s"

    def known_by(self, site: Site, ended: float) -> float:
        return max(site.losses[self.loss] + self.at, ended) + self.slack

    def met(self, site: Site) -> bool:
        return len(site.runs(self.host)) >= self.runs

    def seen(self, site: Site, ended: float) -> tuple[str, bool]:
        runs, loss = site.runs(self.host), site.losses[self.loss]
        if len(runs) < self.runs:
            return f"{self.host} UP", False
        # The clock of a command's trace shows hundredths only.
        in_time = loss + self.at - 0.05 <= runs[-1] <= self.known_by(site, ended)
        extra = f", run {len(runs)} TIMES" if len(runs) > self.runs else ""
        return f"{self.host} down at {runs[-1] - loss:.1f} s{extra}", in_time and not extra


@dataclass(frozen=True)
class Stays:
    """A host does not go down, watched until `until` seconds after the last loss and the script."""

    host: str = "nas"
    until: float = AFTER + WATCH

    def __str__(self) -> str:
        return f"{self.host} stays up"

    def known_by(self, site: Site, ended: float) -> float:
        return max((site.losses or [ended])[-1] + self.until, ended + LEASE)

    def met(self, site: Site) -> bool:
        del site
        return False

    def seen(self, site: Site, ended: float) -> tuple[str, bool]:
        del ended
        runs = site.runs(self.host)
        if not runs:
            return f"{self.host} up", True
        return f"{self.host} DOWN at {runs[0] - (site.losses or [runs[0]])[0]:.1f} s", False


@dataclass(frozen=True)
class Tells:
    """Something is said on a host, at most `within` seconds after the script."""

    host: str
    word: Word
    within: float = 15.0

    def __str__(self) -> str:
        return f"{self.host}: {self.word}"

    def known_by(self, site: Site, ended: float) -> float:
        del site
        return ended + self.within

    def met(self, site: Site) -> bool:
        return site.said(self.host, self.word)

    def seen(self, site: Site, ended: float) -> tuple[str, bool]:
        del ended
        if site.said(self.host, self.word):
            return f"{self.host}: {self.word}", True
        return f"{self.host} SILENT: {self.word}", False


@dataclass(frozen=True)
class Returns:
    """A host that went down is brought back, without anybody pressing a button."""

    host: str = "nas"
    within: float = 30.0
    times: int = 1

    def __str__(self) -> str:
        return f"{self.host} woken"

    def known_by(self, site: Site, ended: float) -> float:
        del site
        return ended + self.within

    def met(self, site: Site) -> bool:
        return len(site.boots(self.host)) >= self.times

    def seen(self, site: Site, ended: float) -> tuple[str, bool]:
        del ended
        boots = site.boots(self.host)
        if len(boots) < self.times:
            return f"{self.host} NOT woken", False
        return f"{self.host} back at {boots[-1] - site.losses[0]:.1f} s", True


Expected = Goes | Stays | Tells | Returns


@dataclass(frozen=True)
class Scenario:
    """A script and what must come of it.

    Attributes:
        text: What happens, for the table.
        rare: Too long or too rare for every run of the tests.
    """

    name: str
    text: str
    play: Callable[[Site], None]
    expected: tuple[Expected, ...]
    layout: Layout = Layout()
    needs: frozenset[Need] = frozenset()
    rare: bool = False


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    scenario: Scenario
    seen: str
    fine: bool


def play(scenario: Scenario, site: Site) -> Row:
    """Play it, watch what comes of it for as long as it takes, and judge that."""
    site.lay(scenario.layout)
    scenario.play(site)
    ended = site.now()
    ends = [(one, one.known_by(site, ended)) for one in scenario.expected]
    while any(site.now() < end and not one.met(site) for one, end in ends):
        site.wait(0.1)
    judged = [one.seen(site, ended) for one in scenario.expected]
    return Row(scenario, ", ".join(text for text, _ in judged), all(fine for _, fine in judged))


def goes(site: Site, host: str = "nas") -> None:
    """Wait until a host has gone down; part of a script."""
    _wait(site, f"{host} down", lambda: bool(site.runs(host)))


def returns(site: Site, host: str = "nas") -> None:
    """Wait until a host has been brought back; part of a script."""
    _wait(site, f"{host} back", lambda: bool(site.boots(host)))


def _wait(site: Site, what: str, check: Callable[[], bool]) -> None:
    end = site.now() + PATIENCE
    while not check():
        assert site.now() < end, f"not within {PATIENCE:g} s: {what}"
        site.wait(0.05)


def table(rows: list[Row], product: str) -> str:
    """Return what was expected and seen, as markdown; times are in seconds after the loss."""
    lines = [
        f"| scenario | expected | {product} | |",
        "|---|---|---|---|",
        *(
            f"| {row.scenario.text} | {', '.join(map(str, row.scenario.expected))} "
            f"| {row.seen} | {'as expected' if row.fine else '**WRONG**'} |"
            for row in rows
        ),
    ]
    return "\n".join(lines)
