"""What recovery knows: of each host that an outage may have taken down, and of the moment.

Nothing here decides: that is `recovery`. `Recovery` is what the server keeps on disk; all its times
are durations in seconds, so that another boot, with other clocks, can take it up.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from powmonman.core.power import PowerState


class Fate(StrEnum):
    """What has become of a host that was there when an outage began."""

    DUE = "due"
    BACK = "back"
    STAYED = "stayed"
    GIVEN_UP = "given_up"
    ORDERED = "ordered"


@dataclass(frozen=True)
class Known:
    """What a host said of itself: all that it takes to wake it, and to know it again."""

    boot: str = ""
    upses: tuple[str, ...] = ()
    min_supplies: int = 1
    wait_for: tuple[str, ...] = ()
    macs: tuple[str, ...] = ()
    address: str = ""


@dataclass(frozen=True)
class Due:
    """One host.

    Attributes:
        known: As it was when it became due; `known.boot` is the boot that the outage may end.
        outage: The outage; empty for a power cut that nobody recorded.
        committed: It said in that boot that it commits.
        away: It was not connected at some time since.
        wakes: How often it was woken.
        tried: Seconds in which it could be woken, since its first waking.
        pause: Seconds of the same until its next waking.
        held: Seconds in which only the order kept it from being woken, and nothing moved there.
        good: Seconds since its mains returned; no longer counted once it is back.
    """

    known: Known
    fate: Fate = Fate.DUE
    outage: str = ""
    committed: bool = False
    away: bool = False
    wakes: int = 0
    tried: float = 0.0
    pause: float = 0.0
    held: float = 0.0
    good: float = 0.0


@dataclass(frozen=True)
class Recovery:
    """The whole record.

    Attributes:
        hosts: Whom an outage may have taken down, by name.
        connected: Who is connected: whom a power cut would take down.
        cause: The latest outage, or the boot after the latest power cut; empty: the operator had
            one host shut down, to be woken again.
        good: Seconds of observed good mains, by UPS; of this process only, like the next three.
        unsure: Seconds for which `connected` still holds who was there before this process.
        seen: Who has been connected to this process in that time: of them nothing is unsure.
        at: When it was looked at last.
    """

    hosts: dict[str, Due] = field(default_factory=dict)
    connected: dict[str, Known] = field(default_factory=dict)
    cause: str = ""
    good: dict[str, float] = field(default_factory=dict)
    unsure: float = 0.0
    seen: tuple[str, ...] = ()
    at: float | None = None

    @property
    def open(self) -> tuple[str, ...]:
        """The hosts that are neither back nor given up."""
        return tuple(name for name, due in self.hosts.items() if due.fate is Fate.DUE)

    def those(self, fate: Fate) -> tuple[str, ...]:
        """Return the hosts with this fate."""
        return tuple(name for name, due in self.hosts.items() if due.fate is fate)

    def lasting(self) -> Recovery:
        """Return the part that another process can take up."""
        return replace(self, good={}, unsure=0.0, seen=(), at=None)


@dataclass(frozen=True)
class Supply:
    """A UPS at this moment.

    Attributes:
        outage: The outage that is open, or empty.
        spent: Seconds of its battery's budget that are used up, of `full`.
        charge: Percent, or None where nobody knows.
        recharge_reserve: The charge that must be there for anybody to be woken, where it is known.
    """

    state: PowerState
    outage: str = ""
    spent: float = 0.0
    full: float = 1200.0
    charge: float | None = None
    recharge_reserve: float = 0.0


@dataclass(frozen=True)
class Present:
    """A host of the roster at this moment.

    Attributes:
        since: Since when `connected` is what it is; None: never seen.
        awake: In this very connection it has said that it is neither committed nor going down.
        committed: In its latest connection it has said that it commits, and means it.
        told: It has acknowledged the current state.
        obeys: It says that it goes on the operator's word to the whole fleet.
    """

    known: Known
    connected: bool = True
    since: float | None = None
    awake: bool = False
    committed: bool = False
    told: bool = False
    obeys: bool = False


@dataclass(frozen=True)
class Scene:
    """The fleet at `now`, in seconds of a clock that never steps.

    Attributes:
        going: The host that is being shut down to be woken again, until it is down.
    """

    now: float
    upses: dict[str, Supply] = field(default_factory=dict)
    hosts: dict[str, Present] = field(default_factory=dict)
    going: str = ""


@dataclass(frozen=True)
class Limits:
    """What the operator wants (`recovery` in server.yml); all in seconds."""

    wake_after: float = 60.0
    reserve: float = 300.0
    repeat: float = 15.0
    give_up: float = 1800.0


@dataclass(frozen=True)
class Woken:
    """Wake this host now."""

    host: str


@dataclass(frozen=True)
class Settled:
    """A host is back, was not taken down, or is given up."""

    host: str
    fate: Fate


@dataclass(frozen=True)
class Recovered:
    """Nobody is due any more, `back` came back; all seconds since the mains returned."""

    back: int
    given_up: tuple[str, ...]
    seconds: float


Action = Woken | Settled | Recovered
