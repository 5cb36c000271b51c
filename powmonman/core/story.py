"""The words of an outage's story: which line stands for what, for people."""

from __future__ import annotations

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
    Kind.TOLD: "{host} told",
    Kind.COUNTING: "{host} counts",
    Kind.WAITING: "{host} waits",
    Kind.COMMITTED: "{host} shuts down",
    Kind.REHEARSED: "{host} would shut down (dry run)",
    Kind.CHECKED: "{host} checked its commands",
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
    for (second, kind), group in groupby(story, lambda m: (_second(m.at), m.kind)):
        moments = list(group)
        shared = kind == Kind.TOLD and len(moments) > 1
        texts = [_together(moments)] if shared else [_one(moment, ups) for moment in moments]
        for moment, text in zip(moments, texts, strict=False):
            at = moment.at
            wall = None if began is None or at is None else began + at
            yield Line(None if second is None else at, wall, text)


def _second(at: float | None) -> int | None:
    return None if at is None else int(at)


def _together(moments: Iterable[Moment]) -> str:
    names = (f"{m.host} ({m.text})" if m.text else m.host for m in moments)
    return f"told {', '.join(names)}"


def _one(moment: Moment, ups: str) -> str:
    words = _WORDS.get(moment.kind, "{host} " + moment.kind)  # type: ignore[call-overload]
    text = words.format(host=moment.host or "all").strip()
    if moment.kind in {Kind.MAINS_LOST, Kind.MAINS_BACK} and ups:
        text = f"{text} on {ups}"
    return f"{text} · {moment.text}" if moment.text else text


def clock(at: float | None) -> str:
    """Return `at` as people read it: `+0:00`, `+12:05`, `+1:02:03`; empty where unknown."""
    if at is None:
        return ""
    minutes, seconds = divmod(int(at), 60)
    hours, minutes = divmod(minutes, 60)
    return f"+{hours}:{minutes:02}:{seconds:02}" if hours else f"+{minutes}:{seconds:02}"
