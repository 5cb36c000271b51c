"""What is told to people: the events, and what the server must know of its fleet to find them.

`Seen` is the server's knowledge at one moment, `telling` finds the events in it. Wall-clock times
(`at`, `since`) are there to be read by people and decide nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from powmonman.core.messages import UpsNews
from powmonman.core.power import PowerState


class Kind(StrEnum):
    """The kinds of event; all but `TEST` are switches of `notify.events`."""

    ON_BATTERY = "on_battery"
    ON_MAINS = "on_mains"
    LOW_BATTERY = "low_battery"
    COUNTDOWN = "countdown"
    HOST_COMMITTED = "host_committed"
    HOST_DOWN = "host_down"
    HOST_BACK = "host_back"
    HOST_LOST = "host_lost"
    HOST_GIVEN_UP = "host_given_up"
    RECOVERED = "recovered"
    SENSOR_UNKNOWN = "sensor_unknown"
    SENSOR_RECOVERED = "sensor_recovered"
    ADVICE = "advice"
    ORDER = "order"
    CERTIFICATE = "certificate"
    DRILL = "drill"
    TEST = "test"


@dataclass(frozen=True)
class UpsSeen(UpsNews):
    """One UPS: what clients are told of it, and its full runtime.

    Attributes:
        full: Seconds that the full battery lasts; `spent` saturates there.
    """

    full: float | None = None


@dataclass(frozen=True)
class HostSeen:
    """One host, as the roster has it.

    Attributes:
        phase: As its client reported it last: idle, counting, committed; unknown before.
        left: Seconds until its shutdown, None where nothing is counted.
        after: Seconds on battery after which it goes, its own or the fleet's.
        outage: The outage that it counts or went down for.
        upses: The UPSes that feed it; empty means all.
        min_supplies: How many of them it needs.
        certificate_left: Seconds until its certificate ends, None where nobody knows.
    """

    name: str
    connected: bool = False
    phase: str = "unknown"
    left: float | None = None
    after: float | None = None
    outage: str = ""
    reason: str = ""
    boot_id: str = ""
    upses: tuple[str, ...] = ()
    min_supplies: int = 1
    dry_run: bool = False
    certificate_left: float | None = None


@dataclass(frozen=True)
class RecoverySeen:
    """The bringing back of what an outage took down.

    Attributes:
        open: How many are neither back nor given up.
        back: How many are back.
        given_up: Who is given up.
        seconds: From the return of the mains until the last one was back.
    """

    open: int = 0
    back: int = 0
    given_up: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Seen:
    """Everything at one moment.

    Attributes:
        certificate_left: Of the server's own certificate, as in `HostSeen`.
        order: What is wrong with the order in which hosts go down, in words.
    """

    upses: dict[str, UpsSeen]
    hosts: tuple[HostSeen, ...] = ()
    certificate_left: float | None = None
    order: tuple[str, ...] = ()
    recovery: RecoverySeen = field(default_factory=RecoverySeen)


@dataclass(frozen=True)
class HostLine:
    """One host in the text of an event about its UPS. `left` is expected where none counts yet."""

    name: str
    phase: str = "unknown"
    left: float | None = None
    after: float | None = None
    connected: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Event:
    """Something that happened, with all that a text about it may need.

    Attributes:
        at: When, in seconds of the wall clock, to be shown only.
        ups: The UPS that it is about, or that feeds the host; empty where there is none.
        host: The host that it is about; of a certificate, empty means the server.
        since: Wall clock: when the outage began, or since when a host is gone.
        length: Seconds that the outage, the absence, the unknown or the recovery has lasted; None:
            nobody knows.
        left: Seconds until the host's shutdown, or the certificate's end.
        milestone: The one of `notify.milestones` that was crossed, in seconds.
        hosts: The hosts on this UPS, the next to go first.
        more_hosts: How many more there are.
        back: How many hosts a recovery brought back.
        given_up: Who was given up in it.
        drill: It is of a drill, and nothing of it is real.
    """

    kind: Kind
    at: float = 0.0
    ups: str = ""
    host: str = ""
    outage: str = ""
    reason: str = ""
    state: PowerState = PowerState.UNKNOWN
    since: float | None = None
    length: float | None = None
    left: float | None = None
    milestone: float | None = None
    charge: float | None = None
    charge_at_start: float | None = None
    voltage: float | None = None
    runtime: float | None = None
    spent: float | None = None
    full: float | None = None
    low_battery: bool = False
    dry_run: bool = False
    hosts: tuple[HostLine, ...] = ()
    more_hosts: int = 0
    back: int = 0
    given_up: tuple[str, ...] = ()
    drill: bool = False
