"""What server and client say to each other, and how it is framed. Sans-I/O.

One JSON object a line, at most 64 KiB, over a channel that has already proved who speaks: no
message carries an identity. Unknown fields are ignored, so that either side may be the newer one;
an unknown type is an error, answered and then hung up on.

| from   | type     | when                                                             |
|--------|----------|------------------------------------------------------------------|
| client | `hello`  | first; carries a nonce                                           |
| server | `state`  | in answer to `hello` and `ping`, on every change, every lease/3  |
| client | `ack`    | for every `state`; carries the nonce that the next state echoes  |
| client | `ping`   | when it wants a fresh state at once                              |
| client | `status` | whenever its phase changes                                       |
| client | `drill-status` | the same of a drill, beside it                             |
| client | `diary`  | what happened to its host, until the state says `noted`          |
| client | `query`  | instead of `hello`, to read the report and leave                 |
| root   | `shutdown-fleet` | on the server's own socket alone: the operator's order   |
| root   | `start-drill`, `stop-drill` | likewise: a drill                             |
| server | `report` | the answer to `query` and to what root says                      |
| server | `error`  | before it hangs up                                               |

All times are durations in seconds. A diary alone says the time of day too, to be read by people.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from powmonman.core.plan import Rules
from powmonman.core.power import PowerState
from powmonman.core.records import RecordError, from_json, parse, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_LINE = 64 * 1024


class ProtocolError(ValueError):
    """The peer said something that is no message."""


@dataclass(frozen=True)
class Policy:
    """The fleet's shutdown policy, as the server publishes it; a trigger that is 0 is off.

    Attributes:
        restore_confirm: The least of all UPSes: whoever is told that one is on battery is told so
            for that long at the least, however the mains flap.
    """

    after: float = 600.0
    refill_ratio: float = 10.0
    charge_below: float = 0.0
    charge_drop: float = 0.0
    runtime_below: float = 0.0
    low_battery: bool = True
    restore_confirm: float = 5.0


@dataclass(frozen=True)
class UpsNews:
    """What the server knows of one UPS.

    Attributes:
        outage: Random id of the outage in progress, or empty.
        age: Seconds since it began.
        spent: Seconds of the battery's budget that are used up (SAFETY.md section 1a).
        charge: Percent, as the other three settled: what two readings agree on.
        charge_at_start: Percent at the beginning of the outage, where it was known.
        runtime: Seconds left as the UPS estimates them.
        voltage: Of the battery, in volts.
        reason: Why the state is unknown, or what else the operator should know.
    """

    state: PowerState
    outage: str = ""
    age: float = 0.0
    spent: float = 0.0
    charge: float | None = None
    charge_at_start: float | None = None
    runtime: float | None = None
    low_battery: bool = False
    voltage: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Order:
    """The operator's order to shut down, whatever the power.

    Attributes:
        id: Random; a client obeys an order once.
        age: Seconds since it was given: who was not there yet is not meant.
    """

    id: str
    age: float


@dataclass(frozen=True)
class Drill:
    """A drill in progress: what the UPSes are made to say, beside what they really say.

    All its durations are seconds of the drill, which run `scale` times as fast as real ones.
    """

    id: str
    upses: dict[str, UpsNews]
    scale: float = 1.0


@dataclass(frozen=True)
class Own:
    """What a state says to one client alone.

    Attributes:
        waits: The hosts that this one waits for and that are not down; None: nothing is said of
            them, and a server that is older than this field says nothing.
        drill_waits: The same in the drill.
        noted: The last entry of its diary that the server has kept.
        order: The operator's order to shut down.
    """

    waits: tuple[str, ...] | None = None
    drill_waits: tuple[str, ...] = ()
    noted: int = 0
    order: Order | None = None


@dataclass(frozen=True)
class State:
    """The whole truth, always complete: a client needs no earlier message to understand it."""

    id: str
    lease: float
    policy: Policy
    upses: dict[str, UpsNews]
    drill: Drill | None = None
    own: Own = field(default_factory=Own)
    seq: int = 0
    echo: int = 0


@dataclass(frozen=True, kw_only=True)
class Hello(Rules):
    """A client introduces its host, with the rules that it goes by.

    Its name stands in its certificate.

    Attributes:
        shutdown_takes: Seconds from its commit to its last sign of life, the longest of its latest
            shutdowns; None before the first.
    """

    nonce: int
    version: str = ""
    boot_id: str = ""
    macs: tuple[str, ...] = ()
    shutdown_takes: float | None = None


@dataclass(frozen=True)
class Ack:
    """State `seq` was understood; `nonce` asks the next one to prove that it is newer."""

    seq: int
    nonce: int


@dataclass(frozen=True)
class Ping:
    """Ask for a state at once."""

    nonce: int


@dataclass(frozen=True)
class Status:
    """What a client is about to do.

    Attributes:
        left: In seconds, None where nothing is counted.
        ordered: It does it on the operator's word, whatever the power.
    """

    phase: str
    power: PowerState = PowerState.UNKNOWN
    left: float | None = None
    outage: str = ""
    reason: str = ""
    ordered: bool = False


@dataclass(frozen=True)
class DrillStatus:
    """What a client would do, were the drill real.

    Attributes:
        id: The drill.
        left: As in `Status`, in seconds of the drill.
        checked: Whether the commands have been checked, after the commit.
        faults: What is wrong with them.
        wake_heard: A magic packet for this host has arrived.
        wake_armed: One of its network interfaces answers to them; None: it can't be told.
    """

    id: str
    phase: str
    left: float | None = None
    reason: str = ""
    checked: bool = False
    faults: tuple[str, ...] = ()
    wake_heard: bool = False
    wake_armed: bool | None = None


@dataclass(frozen=True)
class Entry:
    """Something that happened to a client's host, as it saw it.

    Attributes:
        seq: Rises by one with each entry of this host, over boots too.
        at: Seconds since the outage began.
        wall: Seconds of the wall clock, None where it was not trusted.
    """

    seq: int
    outage: str
    kind: str
    at: float
    wall: float | None = None
    boot_id: str = ""
    text: str = ""


@dataclass(frozen=True)
class Diary:
    """Entries that the server may not have, the oldest first."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Query:
    """Ask for the report."""


@dataclass(frozen=True)
class ShutdownFleet:
    """Give the order to shut the fleet down; only on the server's own socket."""

    fleet: str


@dataclass(frozen=True)
class StartDrill:
    """Begin a drill; only on the server's own socket.

    Attributes:
        scale: How many seconds of the drill pass in a real one.
        live: The one host that is really shut down and woken; empty: none.
    """

    fleet: str
    scale: float = 1.0
    live: str = ""


@dataclass(frozen=True)
class StopDrill:
    """End the drill; only on the server's own socket."""


@dataclass(frozen=True)
class Report:
    """The fleet as the server sees it, for people and programs."""

    body: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Error:
    """Why the connection ends."""

    reason: str


Message = (
    State
    | Hello
    | Ack
    | Ping
    | Status
    | DrillStatus
    | Diary
    | Query
    | ShutdownFleet
    | StartDrill
    | StopDrill
    | Report
    | Error
)

_TYPES: dict[str, type[Message]] = {
    "state": State,
    "hello": Hello,
    "ack": Ack,
    "ping": Ping,
    "status": Status,
    "drill-status": DrillStatus,
    "diary": Diary,
    "query": Query,
    "shutdown-fleet": ShutdownFleet,
    "start-drill": StartDrill,
    "stop-drill": StopDrill,
    "report": Report,
    "error": Error,
}
_NAMES = {cls: name for name, cls in _TYPES.items()}


def encode(message: Message) -> bytes:
    """Return `message` as one line."""
    body = message.body if isinstance(message, Report) else to_json(message)
    return _line({"type": _NAMES[type(message)], **body})


def encode_for_all(state: State) -> bytes:
    """Return the part of `state` that is the same for every client; `address` completes it."""
    shared = to_json(state)
    del shared["seq"], shared["echo"], shared["own"]
    return _line({"type": "state", **shared})[:-2]


def address(shared: bytes, seq: int, echo: int, own: bytes = b"{}") -> bytes:
    """Return the line for one client: an encoding costs more than all the rest of a send."""
    return b'%b,"own":%b,"seq":%d,"echo":%d}\n' % (shared, own, seq, echo)


def encode_own(own: Own) -> bytes:
    """Return what `address` adds for one client."""
    return _line(to_json(own))[:-1]


def decode(line: bytes) -> Message:
    """Return the message in `line`.

    Raises:
        ProtocolError: It is none, and why.
    """
    try:
        value = parse(line)
        cls = _TYPES.get(str(value.pop("type", "")))
        if cls is None:
            raise ProtocolError("unknown message type")
        if cls is Report:
            return Report(value)
        return from_json(cls, value)
    except RecordError as error:
        raise ProtocolError(str(error)) from None


class Lines:
    """Cut a stream of bytes into lines of at most `LONGEST_LINE` bytes."""

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._longest = longest
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the lines that `data` completes, the same however the stream is cut.

        Raises:
            ProtocolError: The next line is too long; the stream can't be read any further.
        """
        self._rest += data
        if b"\n" in data:
            *lines, rest = bytes(self._rest).split(b"\n")
            self._rest = bytearray(rest)
            for line in lines:
                self._check(line)
                yield line
        self._check(self._rest)

    def _check(self, line: bytes | bytearray) -> None:
        if len(line) > self._longest:
            raise ProtocolError(f"a line is longer than {self._longest} bytes")


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
