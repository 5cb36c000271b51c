"""What was told to people, so that it is told once; `Told` survives the server's end as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from powmonman.core.events import Seen

LONGEST_REASON = 500


@dataclass(frozen=True)
class Rules:
    """What the configuration says of when to tell; all in seconds."""

    milestones: tuple[float, ...] = (300.0, 60.0)
    lost_after: float = 300.0
    unknown_after: float = 10.0


@dataclass(frozen=True)
class UpsTold:
    """What was told of one UPS.

    Attributes:
        outage: The outage that was told and is not over, and when it `began` (wall clock).
        passed: Milestones of it that are behind.
        advice: Notices, without their numbers, and when each was seen last (wall clock).
        age: Of the outage in seconds at `looked`; of this process only, like `unknown_since`.
    """

    outage: str = ""
    began: float = 0.0
    low: bool = False
    passed: tuple[float, ...] = ()
    unknown: bool = False
    advice: dict[str, float] = field(default_factory=dict)
    age: float | None = None
    looked: float = 0.0
    unknown_since: float | None = None


@dataclass(frozen=True)
class HostTold:
    """What was told of one host.

    Attributes:
        met: It was connected at some time, last with the boot `boot`.
        stale: It has a new boot, and has not yet said what it does in it.
        gone: Since when it is down or lost (wall clock).
        away: Since when it is not connected; of this process only, like `missed`.
        missed: Since when it is not connected although on mains.
    """

    boot: str = ""
    met: bool = False
    committed: bool = False
    rehearsed: bool = False
    stale: bool = False
    down: bool = False
    lost: bool = False
    gone: float | None = None
    away: float | None = None
    missed: float | None = None


@dataclass(frozen=True)
class RecoveryTold:
    """What was told of the bringing back of hosts; `pending`: its end is still to be told."""

    given_up: tuple[str, ...] = ()
    pending: bool = False


@dataclass(frozen=True)
class Told:
    """All that was told; `look` returns the next one. `order`: like `UpsTold.advice`."""

    upses: dict[str, UpsTold] = field(default_factory=dict)
    hosts: dict[str, HostTold] = field(default_factory=dict)
    certificates: dict[str, float] = field(default_factory=dict)
    order: dict[str, float] = field(default_factory=dict)
    recovery: RecoveryTold = field(default_factory=RecoveryTold)

    def lasting(self) -> Told:
        """Return the part that another process can take up: it has other clocks."""
        upses = {
            name: replace(ups, age=None, looked=0.0, unknown_since=None)
            for name, ups in self.upses.items()
        }
        hosts = {
            name: replace(host, away=None, missed=None) if host.away is not None else host
            for name, host in self.hosts.items()
            if host.met
        }
        return replace(self, upses=upses, hosts=hosts)


@dataclass(frozen=True)
class Moment:
    """One look."""

    seen: Seen
    rules: Rules
    now: float
    wall: float
