"""What a drill has found: of each host whether it is protected, and if not, why.

Protected is a host that would have gone down in time, with every command in order. That it can be
woken again is told beside it: it is no protection against a battery that runs dry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from powmonman.core.drill_stage import ASSUMED_SHUTDOWN, Part, Phase, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

PROTECTED, UNPROTECTED, OPEN = "protected", "UNPROTECTED", "open"


def report(stage: Stage, now: float) -> dict[str, Any]:
    """Return the drill for people and programs; times are seconds of the drill since the loss."""
    rows = [_row(stage, part) for _, part in sorted(stage.parts.items())]
    unprotected = [row["name"] for row in rows if row["verdict"] == UNPROTECTED]
    return {
        "id": stage.id,
        "phase": str(stage.phase),
        "over": stage.over,
        "reason": stage.reason,
        "scale": stage.scale,
        "at": round(stage.since_loss(now), 1),
        "bound": round(stage.bound, 1),
        "hosts": rows,
        "unprotected": unprotected,
        "ok": stage.phase is Phase.DONE and not unprotected,
    }


def result(stage: Stage) -> str:
    """Return in one line how it ended; what stands before the colon is a title."""
    if stage.phase is Phase.ABORTED:
        return f"aborted: {stage.reason}"
    rows = [_row(stage, part) for _, part in sorted(stage.parts.items())]
    bad = [f"{row['name']} ({row['reason']})" for row in rows if row["verdict"] == UNPROTECTED]
    count = f"{len(rows)} host{'' if len(rows) == 1 else 's'}"
    if bad:
        return f"{len(bad)} of {count} UNPROTECTED: {', '.join(bad)}"
    last = max((row["committed"] or 0.0 for row in rows), default=0.0)
    return f"{count} protected: the last one would go {last:.0f} s after the loss"


def _row(stage: Stage, part: Part) -> dict[str, Any]:
    verdict, reason = _verdict(stage, part)
    status = part.status
    return {
        "name": part.name,
        "connected": part.connected,
        "dry_run": part.dry_run,
        "phase": status.phase if status else "",
        "left": None if status is None or status.left is None else round(status.left, 1),
        "told_ms": None if part.told_after is None else round(part.told_after, 1),
        "committed": None if part.committed is None else round(part.committed, 1),
        "wait_for": list(part.wait_for),
        "waited": list(part.waited),
        "checked": bool(status and status.checked),
        "faults": list(status.faults) if status else [],
        "wake": _wake(part),
        "takes": part.takes,
        "battery": None if part.battery is None else round(part.battery, 1),
        "verdict": verdict,
        "reason": reason,
    }


def _wake(part: Part) -> dict[str, Any]:
    status = part.status
    return {
        "by": part.wakes,
        "mac": part.macs,
        "armed": status.wake_armed if status else None,
        "heard": bool(status and status.wake_heard),
        "doubts": list(_doubts(part)),
    }


def _doubts(part: Part) -> Iterator[str]:
    """Say what stands against this host's being woken."""
    if part.wakes == "none":
        yield "nobody wakes it"
    if part.wakes != "wake_on_lan" or not part.connected:
        return
    if not part.macs:
        yield "no MAC address is known"
    if part.status is None or not part.status.checked:
        return
    if part.status.wake_armed is False:
        yield "Wake-on-LAN is off on its network interfaces"
    if part.macs and not part.status.wake_heard:
        yield "no magic packet has arrived"


def _verdict(stage: Stage, part: Part) -> tuple[str, str]:
    reason = next(_reasons(part), "")
    if reason and (stage.phase is Phase.DONE or not part.connected):
        return UNPROTECTED, reason
    return (PROTECTED, "") if not reason else (OPEN, "")


def _reasons(part: Part) -> Iterator[str]:
    """Say why this host is not protected, the weightiest first."""
    status = part.status
    if not part.connected:
        yield "not connected" if part.known else "never connected"
    elif part.gone is not None:
        yield "its connection ended in the drill"
    elif part.refuses:
        yield f"takes no part: {part.refuses}"
    elif part.dry_run:
        yield "dry run: it would not go down"
    elif part.told_after is None:
        yield "did not understand the news of the loss"
    elif status is None:
        yield "says nothing of the drill: is its client older than the server?"
    elif part.committed is None:
        yield "would not have committed in time"
    elif not status.checked:
        yield "its shutdown commands were not checked"
    elif status.faults:
        yield "; ".join(status.faults)
    elif part.battery is not None and part.committed + _takes(part) > part.battery:
        down = part.committed + _takes(part)
        yield f"down after {down:.0f} s, but the battery ends after {part.battery:.0f} s"


def _takes(part: Part) -> float:
    return ASSUMED_SHUTDOWN if part.takes is None else part.takes
