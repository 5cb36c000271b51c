"""What of a drill goes on record, in the words of `timeline`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from powmonman.core import drill_report
from powmonman.core.announcing import names as listed
from powmonman.core.timeline import Fact, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from powmonman.core.drill_stage import Part, Stage


def facts(stage: Stage, now: float) -> Iterator[Fact]:
    """Yield what is known of a drill and of each host in it; `now` is CLOCK_BOOTTIME.

    What is known without its time is given the present one.
    """
    at = stage.since_loss(now)
    faster = "" if stage.scale == 1 else f"{stage.scale:g} times as fast as an outage"
    yield Fact(Kind.MAINS_LOST, "", faster, 0.0)
    for part in stage.parts.values():
        yield from _of_host(part, at)
    if stage.returned is not None:
        yield Fact(Kind.MAINS_BACK, "", "", stage.returned)
    if stage.over:
        yield Fact(Kind.NOTE, "", drill_report.result(stage), at)


def _of_host(part: Part, at: float) -> Iterator[Fact]:
    name, status = part.name, part.status
    if part.told_after is not None:
        yield Fact(
            Kind.TOLD, name, f"{part.told_after:.1f} ms after the push", part.marks.get("told", at)
        )
    if part.refuses:
        yield Fact(Kind.NOTE, name, f"takes no part: {part.refuses}", at)
    if status is not None and status.phase == "counting":
        left = "" if status.left is None else f"{status.left:.0f} s left"
        yield Fact(Kind.COUNTING, name, left, at)
    if part.waited:
        yield Fact(Kind.WAITING, name, f"for {listed(part.waited)}", part.marks.get("waiting", at))
    if part.committed is not None:
        reason = status.reason if status is not None else ""
        yield Fact(Kind.REHEARSED, name, reason, part.committed)
    if status is not None and status.checked:
        found = "; ".join(status.faults) or "all in order"
        yield Fact(Kind.CHECKED, name, found, part.marks.get("checked", at))
    if status is not None and status.wake_heard:
        yield Fact(Kind.WAKE_HEARD, name, "", at)
    if part.gone is not None:
        yield Fact(Kind.LEFT, name, "", part.gone)
