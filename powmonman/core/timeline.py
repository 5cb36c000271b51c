"""The story of one outage, put together from what the server and every host say of it.

Rules:

1. A host's own word on its phase wins over what the server saw of it: the same phase of the same
   boot is told once, at the host's time. Where the host gives no words, the server's are taken.
2. A phase that the server sees again without another in between (after its own restart) is no news.
3. A connection that both sides saw end, or begin, is told once, as the host saw it.
4. What is merged is a set: neither order nor repetition changes the story.

All times are seconds since the mains were lost, None where nobody can tell any more.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from powmonman.core.records import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from powmonman.core.messages import Entry

LONGEST_TEXT = 200
LARGEST_SEQ = 2**53
LONGEST_OUTAGE = 10 * 365 * 86400.0
# Two ends notice a broken connection at different times, at most about a lease or two apart.
NEAR = 60.0
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")


class Kind(StrEnum):
    """What can happen in an outage or a drill; the order is that of things at the same time."""

    MAINS_LOST = "mains_lost"
    SERVER_BACK = "server_back"
    UNKNOWN = "unknown"
    KNOWN = "known"
    LOW_BATTERY = "low_battery"
    JOINED = "joined"
    CONTACT = "contact"
    TOLD = "told"
    COUNTING = "counting"
    DOWN = "down"
    HOST_LOST = "host_lost"
    WAITING = "waiting"
    COMMITTED = "committed"
    REHEARSED = "rehearsed"
    CHECKED = "checked"
    WAKE_HEARD = "wake_heard"
    HALTING = "halting"
    CONTACT_LOST = "contact_lost"
    LEFT = "left"
    MAINS_BACK = "mains_back"
    STAYS = "stays"
    BACK = "back"
    GIVEN_UP = "given_up"
    WOKEN = "woken"
    RECOVERED = "recovered"
    NOTE = "note"


RANK = {kind: rank for rank, kind in enumerate(Kind)}
# What a host knows best itself; the server's word for it is an echo.
PHASES = frozenset(
    {
        Kind.COUNTING,
        Kind.WAITING,
        Kind.COMMITTED,
        Kind.REHEARSED,
        Kind.HALTING,
        Kind.STAYS,
    }
)
# What a host may say of itself; anything else that it says is shown as its words.
OWN = PHASES | {Kind.TOLD, Kind.CONTACT, Kind.CONTACT_LOST, Kind.CHECKED, Kind.NOTE}
# Steps of a return. A server that was killed tells those that it may have lost again.
_RETURN = frozenset({Kind.WOKEN, Kind.BACK, Kind.GIVEN_UP})
_GONE = frozenset({Kind.COMMITTED, Kind.DOWN})
_SEEN_BY_BOTH = {Kind.LEFT: Kind.CONTACT_LOST, Kind.JOINED: Kind.CONTACT}


@dataclass(frozen=True)
class Moment:
    """Something that happened.

    Attributes:
        host: Whom it happened to; empty: the UPS, or all.
        wall: Seconds of the wall clock, where that was trusted.
        boot: The boot of the host in which it happened.
        own: The host itself says so.
        seq: Rises with what one side says.
    """

    kind: str
    at: float | None
    host: str = ""
    text: str = ""
    wall: float | None = None
    boot: str = ""
    own: bool = False
    seq: int = 0


class Fact(NamedTuple):
    """Something of a drill; `at` is in seconds of the drill since the loss."""

    kind: Kind
    host: str
    text: str
    at: float


@dataclass(frozen=True)
class Stamp:
    """A moment on a host's clocks: CLOCK_BOOTTIME of one boot, and the wall where trusted."""

    boot_id: str
    boot: float
    wall: float | None = None


@dataclass(frozen=True)
class Tally:
    """What an outage did to the hosts, by name."""

    went: tuple[str, ...]
    back: tuple[str, ...]
    given_up: tuple[str, ...]


def since(began: Stamp, now: Stamp) -> float | None:
    """Return how many seconds `now` is after `began`; None where no clock spans the two."""
    if began.boot_id and began.boot_id == now.boot_id:
        return now.boot - began.boot
    if began.wall is not None and now.wall is not None:
        return max(0.0, now.wall - began.wall)
    return None


def accepted(host: str, entry: Entry) -> Moment | None:
    """Return what `host` says of itself within bounds; None if it says nothing usable."""
    if not (0 < entry.seq < LARGEST_SEQ and _ID.fullmatch(entry.outage)):
        return None
    kind, text = entry.kind, entry.text
    if kind not in OWN:
        kind, text = Kind.NOTE, f"{kind}: {text}" if text else kind
    wall = entry.wall
    return Moment(
        kind=Kind(kind),
        at=min(max(0.0, entry.at), LONGEST_OUTAGE),
        host=host,
        text=printable(text)[:LONGEST_TEXT],
        wall=wall if wall is not None and 0 < wall < 2**33 else None,
        boot=printable(entry.boot_id)[:64],
        own=True,
        seq=entry.seq,
    )


def merge(moments: Iterable[Moment]) -> tuple[Moment, ...]:
    """Return the story, in order, each thing once."""
    every = sorted(set(moments), key=_place)
    echoes: dict[tuple[str, str, str], str] = {}
    for moment in every:
        if not moment.own and moment.text:
            echoes.setdefault((moment.host, moment.boot, moment.kind), moment.text)
    own = [moment for moment in every if moment.own]
    said = {(moment.host, moment.boot, moment.kind) for moment in own}
    times: dict[tuple[str, str, str], list[float]] = {}
    for moment in own:
        if moment.at is not None:
            times.setdefault((moment.host, moment.boot, moment.kind), []).append(moment.at)
    before = _Before(said)
    story = []
    for moment in every:
        if before.has(moment):
            continue
        if moment.own:
            words = moment.text or echoes.get((moment.host, moment.boot, moment.kind), "")
            story.append(replace(moment, text=words))
        elif not _seen_by_the_host(moment, times):
            story.append(moment)
    return tuple(story)


class _Before:
    """What the story has told so far; `said` is what hosts say of themselves anywhere in it."""

    def __init__(self, said: set[tuple[str, str, str]]) -> None:
        self._said = said
        self._phase: dict[tuple[str, str], str] = {}
        self._told: set[tuple[str, str]] = set()
        self._returns: dict[str, set[str]] = {}

    def has(self, moment: Moment) -> bool:
        """Whether this is told already, or by the host itself; it counts as told from now on."""
        who, kind = (moment.host, moment.boot), moment.kind
        if kind in _GONE:
            self._returns.pop(moment.host, None)
        if moment.own:
            return False
        if kind in PHASES:
            again = self._phase.get(who) == kind
            self._phase[who] = kind
            return again or (*who, kind) in self._said
        if kind == Kind.TOLD:
            again = who in self._told or (*who, kind) in self._said
            self._told.add(who)
            return again
        if kind in _RETURN:
            steps = self._returns.setdefault(moment.host, set())
            again = kind in steps
            steps.add(kind)
            return again
        return False


def _place(moment: Moment) -> tuple[object, ...]:
    # The clocks of two hosts agree no better than this; cause and effect are closer together.
    at = math.inf if moment.at is None else round(moment.at, 1)
    rank = RANK.get(moment.kind, len(RANK))  # type: ignore[call-overload]
    # The rest is there to make the order total.
    rest = (moment.seq, moment.own, moment.boot, moment.text, moment.kind)
    wall = -1.0 if moment.wall is None else moment.wall
    if moment.at is None:
        return (at, moment.seq, moment.host, *rest, wall)
    return (at, rank, moment.host, *rest, moment.at, wall)


def _seen_by_the_host(moment: Moment, own: Mapping[tuple[str, str, str], list[float]]) -> bool:
    theirs = _SEEN_BY_BOTH.get(moment.kind)  # type: ignore[call-overload]
    at = moment.at
    if theirs is None or at is None:
        return False
    seen = own.get((moment.host, moment.boot, theirs), [])
    return any(abs(other - at) <= NEAR for other in seen)


def tally(story: Iterable[Moment]) -> Tally:
    """Return which hosts went, which of them came back, and which nobody waits for any more.

    Where nobody says that a host is back, a connection out of another boot says it too.
    """
    went: dict[str, str] = {}
    back: set[str] = set()
    given_up: set[str] = set()
    for moment in story:
        if moment.kind in {Kind.COMMITTED, Kind.DOWN}:
            went[moment.host] = moment.boot or went.get(moment.host, "")
            back.discard(moment.host)
            given_up.discard(moment.host)
        elif moment.kind == Kind.GIVEN_UP:
            given_up.add(moment.host)
        elif moment.kind == Kind.BACK or (
            moment.kind in {Kind.JOINED, Kind.CONTACT}
            and moment.boot
            and went.get(moment.host)
            and went[moment.host] != moment.boot
        ):
            back.add(moment.host)
            given_up.discard(moment.host)
    return Tally(tuple(sorted(went)), tuple(sorted(back)), tuple(sorted(given_up)))


def began_at(wall: float | None, story: Iterable[Moment]) -> float | None:
    """Return when the mains were lost, by the server's clock or else by the first host's.

    All absolute times follow from this one: two clocks in one story would not agree.
    """
    if wall is not None:
        return wall
    for moment in story:
        if moment.wall is not None and moment.at is not None:
            return moment.wall - moment.at
    return None
