"""Order, as `status`, `watch` and `plan` show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COLUMNS = ("TAKES", "WAITS FOR")
CELL, LINE = 14, 60


def is_ordered(report: dict[str, Any]) -> bool:
    """Whether any host waits for another. A server of an earlier version knows nothing of it."""
    return any(host.get("wait_for") for host in report["clients"])


def phase(host: dict[str, Any]) -> str:
    """Return what a host does, or that it is down."""
    if host.get("down") and not host["dry_run"]:
        return "down"
    return str(host["phase"]) + (" (dry run)" if host["dry_run"] else "")


def cells(host: dict[str, Any]) -> tuple[str, ...]:
    """Return the cells of `COLUMNS`: what its shutdown takes, and whom it still waits for."""
    takes = host.get("takes")
    return ("-" if takes is None else f"{takes:.0f} s", few(host.get("waits") or (), CELL))


def summary(report: dict[str, Any]) -> Iterator[str]:
    """Say who goes when, and whether that fits into the batteries."""
    order = report.get("order")
    if not order or not is_ordered(report):
        return
    first, *later = [few(level, LINE) for level in order["levels"]]
    yield ""
    yield "; then ".join([f"Order: {first}", *later])
    if order["down"] is not None:
        path = order["critical"]
        through = f" (last: {', '.join(path)})" if len(path) > 1 else ""
        ends = order["battery_ends"]
        lasts = "" if ends is None else f"; its battery lasts {ends:.0f} s"
        yield f"An outage now: all down {order['down']:.0f} s after the loss{through}{lasts}"
    if order["too_late"]:
        yield f"NOT down before their battery is empty: {few(order['too_late'], LINE)}"


def host_lines(host: dict[str, Any]) -> Iterator[str]:
    """Say in a plan whom a host waits for, when it goes then, and what keeps it from that."""
    waits, turn = host.get("wait_for") or (), host.get("order")
    if waits:
        yield (
            f"  waits until {few(waits, LINE)} {'is' if len(waits) == 1 else 'are'} down; "
            f"{host['wait_timeout']:g} s after its deadline it goes all the same"
        )
    if down := [name for name in waits if name not in host["waits"]]:
        yield f"  of these are down already: {few(down, LINE)}"
    if not turn or turn["commits"] is None:
        return
    why = ""
    if turn["times_out"]:
        why = ", its waiting given up"
    elif turn["after"]:
        why = f", when {turn['after']} is down"
    measured = "as measured" if turn["measured"] else "assumed"
    yield (
        f"  in order: commits {turn['commits']:.0f} s after the loss{why}; "
        f"down at {turn['down']:.0f} s (takes {turn['takes']:.0f} s, {measured})"
    )
    if turn["battery_ends"] is not None and turn["down"] > turn["battery_ends"]:
        yield f"  ! its battery is empty at {turn['battery_ends']:.0f} s: not down in time"


def few(names: Sequence[str], width: int) -> str:
    """Return names in at most about `width` characters: `web1, web2 +3`; `-` if there are none."""
    shown: list[str] = []
    for name in names:
        if shown and len(", ".join([*shown, name])) > width:
            break
        shown.append(name)
    rest = len(names) - len(shown)
    return (", ".join(shown) + (f" +{rest}" if rest else "")) or "-"
