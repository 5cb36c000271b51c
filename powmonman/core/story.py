"""The words of an outage's story: which line stands for what, for people."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from powmonman.core.timeline import Kind, Moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_WORDS = {
    Kind.MAINS_LOST: "mains lost",
    Kind.SERVER_BACK: "server started, goes on with this outage",
    Kind.UNKNOWN: "power unknown",
    Kind.KNOWN: "still on battery",
    Kind.LOW_BATTERY: "battery low",
    Kind.JOINED: "{host} connected",
    Kind.CONTACT: "{host} in contact again",
    Kind.COUNTING: "{host} counts",
    Kind.WAITING: "{host} waits",
    Kind.COMMITTED: "{host} shuts down",
    Kind.REHEARSED: "{host} would shut down",
    Kind.CHECKED: "{host} has checked its commands",
    Kind.WAKE_HEARD: "{host} has heard a magic packet",
    Kind.HALTING: "{host} halts",
    Kind.CONTACT_LOST: "{host} lost contact",
    Kind.LEFT: "{host} hung up",
    Kind.DOWN: "{host} down",
    Kind.HOST_LOST: "{host} lost",
    Kind.MAINS_BACK: "mains back",
    Kind.STAYS: "{host} stays up",
    Kind.WOKEN: "{host} woken",
    Kind.BACK: "{host} back",
    Kind.GIVEN_UP: "{host} given up",
    Kind.RECOVERED: "everybody is back",
    Kind.NOTE: "{host}",
}
# How the reason of a commit begins; the story is of that outage alone.
_SELF = re.compile(r"\Aoutage [0-9a-f?]{1,4}: ")


@dataclass(frozen=True)
class Line:
    """One line of a story.

    Attributes:
        at: Seconds since the loss; None: nobody can tell.
        wall: Seconds of the wall clock, None where none was trusted.
    """

    at: float | None
    wall: float | None
    text: str


def lines(story: Iterable[Moment], ups: str, began: float | None) -> Iterator[Line]:
    """Tell `story`: hosts that were told in the same second share a line."""
    for _, group in groupby(story, lambda moment: clock(moment.at)):
        moments = list(group)
        told = [moment for moment in moments if moment.kind == Kind.TOLD]
        for moment in moments:
            if moment.kind == Kind.TOLD and moment is not told[0]:
                continue
            text = _together(told) if moment.kind == Kind.TOLD else _one(moment, ups)
            wall = None if began is None or moment.at is None else began + moment.at
            yield Line(moment.at, wall, text)


def _together(moments: Iterable[Moment]) -> str:
    names = (f"{m.host} ({m.text})" if m.text else m.host for m in moments)
    return f"told {', '.join(names)}"


def _one(moment: Moment, ups: str) -> str:
    if moment.kind == Kind.NOTE and not moment.host:
        return moment.text
    words = _WORDS.get(moment.kind, "{host} " + moment.kind)  # type: ignore[call-overload]
    text = words.format(host=moment.host or "all").strip()
    if moment.kind in {Kind.MAINS_LOST, Kind.MAINS_BACK} and ups:
        text = f"{text} on {ups}"
    why = _SELF.sub("", moment.text)
    return f"{text} · {why}" if why else text


def clock(at: float | None) -> str:
    """Return `at` as people read it: `+0:00`, `+12:05`, `+1:02:03`; empty where unknown."""
    if at is None:
        return ""
    minutes, seconds = divmod(int(at), 60)
    hours, minutes = divmod(minutes, 60)
    return f"+{hours}:{minutes:02}:{seconds:02}" if hours else f"+{minutes}:{seconds:02}"
