"""The client's plan and what comes of it: what it knows, what it was told to want, what to do.

Nothing here decides: that is `policy`. The plan is kept on disk across restarts within one boot.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from powmonman.core.power import PowerState

NEVER = -1.0


class Phase(StrEnum):
    """What this host is doing about the power."""

    IDLE = "idle"
    COUNTING = "counting"
    WAITING = "waiting"
    COMMITTED = "committed"


@dataclass(frozen=True)
class Now:
    """One moment, in seconds, on the two clocks that decide."""

    running: float
    boot: float


@dataclass(frozen=True)
class OnLostContact:
    """What this host does when it has lost contact while no outage is known (`lost_contact`).

    Attributes:
        shutdown_after: Seconds for which all of `only_if` must hold before it goes; None: never.
        only_if: The kinds of evidence that it takes from its own place.
    """

    shutdown_after: float | None = None
    only_if: tuple[str, ...] = ()

    @property
    def chosen(self) -> bool:
        """Whether this host ever goes down so."""
        return self.shutdown_after is not None and bool(self.only_if)


@dataclass(frozen=True)
class Rules:
    """What the operator wants of this host (`client.yml`); None is as the fleet's policy says.

    Attributes:
        wait_for: The hosts that must be down before this one commits.
    """

    after: float | None = None
    charge_below: float | None = None
    charge_drop: float | None = None
    runtime_below: float | None = None
    low_battery: bool | None = None
    min_observe: float = 60.0
    confirm: float = 2.0
    upses: tuple[str, ...] = ()
    min_supplies: int = 1
    wait_for: tuple[str, ...] = ()
    wait_timeout: float = 300.0
    dry_run: bool = False
    on_lost_contact: OnLostContact = OnLostContact()


@dataclass(frozen=True)
class Say:
    """Log this."""

    level: int
    text: str


@dataclass(frozen=True)
class Warn:
    """Tell the logged-in users."""

    text: str


@dataclass(frozen=True)
class Acknowledge:
    """Answer state `seq`; the next state must echo `nonce` to be fresh."""

    seq: int
    nonce: int


@dataclass(frozen=True)
class Ask:
    """Ask the server for a state at once."""

    nonce: int


@dataclass(frozen=True)
class Run:
    """Shut this host down now."""

    reason: str


Command = Say | Warn | Acknowledge | Ask | Run


@dataclass(frozen=True)
class Alone:
    """What a host has seen by itself that lost contact while no outage was known.

    Attributes:
        since: On the running clock, since when all evidence has held without a break.
        looked: On the same clock, when it was last seen to hold.
        after: Seconds after which this host goes; only ever lowered while it counts.
        marks: What the evidence looked like: other marks are a break between two looks.
        evidence: What holds, or what does not, in words.
        missing: The kinds of evidence that do not hold.
        ran: It has shut this host down in this boot, and does so only once.
    """

    since: float = NEVER
    looked: float = NEVER
    after: float = 0.0
    marks: tuple[str, ...] = ()
    evidence: str = ""
    missing: tuple[str, ...] = ()
    ran: bool = False

    @property
    def holds(self) -> bool:
        """Whether this is what the host counts, waits or has committed by."""
        return self.since != NEVER


@dataclass(frozen=True)
class Plan:
    """Everything that the client knows; kept on disk across restarts within one boot.

    Attributes:
        after: The deadline's budget for the outage in progress; only ever lowered during it, and
            so are `min_observe` and `confirm`: no reload moves a deadline later.
        spent: Seconds of the battery's budget that are used up.
        observed: Seconds of battery that this client itself has seen.
        unbroken: The latest of them without a break.
        fresh_until: On the running clock, until when the last news count as fresh.
        silent: Seconds without fresh news, up to now.
        pings: Nonce and time of what may still be answered.
        last: The last moment that was decided on.
        wake_at: On the running clock, when the next decision is due.
        said: The last milestone of the countdown that was announced.
        good: Seconds of fresh good mains since they returned.
        reminded: When the operator was last told that fresh news are missing.
        holding: The deadline is reached, but the news are not fresh enough to act on.
        vague: The server answers, and says that it does not know.
        woken: Resumed from suspend, and nothing heard that is surely newer.
        rehearsed: The commit was that of a dry run.
        due: The trigger that has moved the deadline of this outage to its moment, in words.
        why: Why this host is counting or has committed, for the operator.
        order: The operator's order that was obeyed last.
        ordered: The commit, or the wait, was that order's: the return of the mains does not end it.
        since: On the boot clock, when this client first heard fresh news in this boot.
        down: The hosts of `wait_for` that fresh news of this outage said are down.
        waited: Seconds of `wait_timeout` that are used up; drains on good mains as `spent` does.
        wait_timeout: In an outage only ever lowered, like `after`.
        alone: What this host goes by without contact and without a known outage.
    """

    power: PowerState = PowerState.UNKNOWN
    phase: Phase = Phase.IDLE
    outage: str = ""
    reason: str = ""
    after: float = 600.0
    min_observe: float = 60.0
    confirm: float = 2.0
    refill_ratio: float = 10.0
    lease: float = 15.0
    spent: float = 0.0
    observed: float = 0.0
    unbroken: float = 0.0
    fresh_until: float = NEVER
    silent: float = 0.0
    short_stalls: int = 0
    nonce: int = 0
    pings: tuple[tuple[int, float], ...] = ()
    last: Now | None = None
    wake_at: float = NEVER
    said: float = 0.0
    good: float = 0.0
    reminded: float = NEVER
    holding: bool = False
    vague: bool = False
    woken: bool = False
    rehearsed: bool = False
    due: str = ""
    why: str = ""
    order: str = ""
    ordered: bool = False
    since: float = NEVER
    down: tuple[str, ...] = ()
    waited: float = 0.0
    wait_timeout: float = 300.0
    alone: Alone = Alone()

    def left(self, rules: Rules) -> float | None:
        """Seconds until this host may shut down; None when nothing is counted.

        Counting, they end with the deadline, at which a wait may begin. Waiting, they end with the
        wait: it goes then at the latest, and sooner if those it waits for are down sooner.
        """
        if self.phase is Phase.WAITING:
            return max(0.0, min(self.wait_timeout, rules.wait_timeout) - self.waited)
        if self.phase is not Phase.COUNTING:
            return None
        if self.alone.holds:
            now = self.alone.since if self.last is None else self.last.running
            return max(0.0, self.alone.after - (now - self.alone.since))
        return max(
            0.0,
            0.0 if self.due else self.after - self.spent,
            min(self.min_observe, rules.min_observe) - self.observed,
            min(self.confirm, rules.confirm) - self.unbroken,
        )

    def pending(self, rules: Rules) -> tuple[str, ...]:
        """Whom this host has to wait for: all that it was not told are down."""
        return tuple(host for host in rules.wait_for if host not in self.down)

    @property
    def in_contact(self) -> bool:
        """Whether the server has been heard within a lease."""
        return self.fresh_until != NEVER and self.silent < self.lease
