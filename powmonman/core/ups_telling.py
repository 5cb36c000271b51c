"""What is told of one UPS; the rules stand in `telling`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from powmonman.core.events import Event, HostLine, HostSeen, Kind, Seen, UpsSeen
from powmonman.core.outage import UNSETTLED
from powmonman.core.power import PowerState
from powmonman.core.told import LONGEST_REASON, UpsTold

if TYPE_CHECKING:
    from powmonman.core.told import Moment

HOUR, DAY = 3600.0, 86400.0
# A server that has just started knows nothing yet, and that is no news.
SETTLING = 10.0
MOST_HOSTS = 20
MOST_ADVICE = 16
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")


def tell_of_ups(
    told: UpsTold, name: str, ups: UpsSeen, moment: Moment, events: list[Event]
) -> UpsTold:
    """Add what is to be told to `events`; return what is told then."""
    told = _outage(told, name, ups, moment, events)
    told = _unknown(told, name, ups, moment, events)
    return _advice(told, name, ups, moment, events)


def _outage(told: UpsTold, name: str, ups: UpsSeen, moment: Moment, events: list[Event]) -> UpsTold:
    milestones = moment.rules.milestones
    if told.outage and ups.state is PowerState.ON_MAINS:
        age = told.age
        length = None if age is None else age + moment.now - told.looked
        over = replace(_of_ups(Kind.ON_MAINS, name, ups, moment), outage=told.outage)
        events.append(replace(over, since=told.began, length=length))
        return UpsTold(unknown=told.unknown, advice=told.advice, unknown_since=told.unknown_since)
    on_battery = bool(ups.outage) and ups.state is PowerState.ON_BATTERY
    if on_battery and told.outage != ups.outage:
        event = replace(_of_ups(Kind.ON_BATTERY, name, ups, moment), length=ups.age)
        events.append(event)
        # What lies behind at the very beginning is said with it.
        left = next((host.left for host in event.hosts if host.left is not None), None)
        passed = tuple(each for each in milestones if left is not None and each >= left)
        told = replace(
            told, outage=ups.outage, began=moment.wall - ups.age, low=False, passed=passed
        )
    if not told.outage or told.outage != ups.outage:
        return told
    told = replace(told, age=ups.age, looked=moment.now)
    if on_battery and ups.low_battery and not told.low:
        events.append(replace(_of_ups(Kind.LOW_BATTERY, name, ups, moment), length=ups.age))
        told = replace(told, low=True)
    first = _first_to_go(ups, moment.seen)
    if not on_battery or first is None or first.left is None:
        return told
    crossed = [each for each in milestones if each >= first.left and each not in told.passed]
    if crossed:
        event = replace(
            _of_ups(Kind.COUNTDOWN, name, ups, moment),
            host=first.name,
            left=first.left,
            milestone=min(crossed),
            dry_run=first.dry_run,
            length=ups.age,
        )
        events.append(event)
        told = replace(told, passed=(*told.passed, *crossed))
    return told


def _first_to_go(ups: UpsSeen, seen: Seen) -> HostSeen | None:
    """Return the host whose time comes next; a rehearsal counts where nobody means it."""
    counting = [
        host
        for host in seen.hosts
        if host.phase == "counting" and host.left is not None and host.outage == ups.outage
    ]
    real = [host for host in counting if not host.dry_run]
    return min(real or counting, key=lambda host: host.left or 0.0, default=None)


def _unknown(
    told: UpsTold, name: str, ups: UpsSeen, moment: Moment, events: list[Event]
) -> UpsTold:
    since = told.unknown_since
    if ups.state is not PowerState.UNKNOWN:
        if told.unknown:
            length = None if since is None else moment.now - since
            events.append(replace(_of_ups(Kind.SENSOR_RECOVERED, name, ups, moment), length=length))
        return replace(told, unknown=False, unknown_since=None)
    if told.unknown:
        return told
    since = moment.now if since is None else since
    patience = moment.rules.unknown_after
    if ups.reason in {"", UNSETTLED}:
        patience = max(patience, SETTLING)
    if moment.now - since < patience:
        return replace(told, unknown_since=since)
    events.append(
        replace(_of_ups(Kind.SENSOR_UNKNOWN, name, ups, moment), length=moment.now - since)
    )
    return replace(told, unknown=True, unknown_since=since)


def _advice(told: UpsTold, name: str, ups: UpsSeen, moment: Moment, events: list[Event]) -> UpsTold:
    if ups.state is PowerState.UNKNOWN or not ups.reason:
        return told
    advice, new = noticed(told.advice, ups.reason, moment.wall)
    if new:
        events.append(_of_ups(Kind.ADVICE, name, ups, moment))
    return told if advice is told.advice else replace(told, advice=advice)


def noticed(seen: dict[str, float], notice: str, wall: float) -> tuple[dict[str, float], bool]:
    """Return the notices that were seen, and when, with this one; and whether it is to be told."""
    # "charge 56 %" and then "charge 55 %" are one notice.
    text = _NUMBER.sub("#", notice)[:LONGEST_REASON]
    last = seen.get(text)
    if last is not None and abs(wall - last) < HOUR:
        return seen, False
    others = [(each, at) for each, at in seen.items() if each != text and abs(wall - at) < DAY]
    after = dict([*others[1 - MOST_ADVICE :], (text, wall)])
    return after, last is None or abs(wall - last) >= DAY


def _of_ups(kind: Kind, name: str, ups: UpsSeen, moment: Moment) -> Event:
    lines = sorted(
        (
            _line(host, ups, moment.seen)
            for host in moment.seen.hosts
            if not host.upses or name in host.upses
        ),
        key=lambda line: (line.left is None, line.left or 0.0, line.name),
    )
    return Event(
        kind,
        at=moment.wall,
        ups=name,
        outage=ups.outage,
        reason=ups.reason[:LONGEST_REASON],
        state=ups.state,
        since=moment.wall - ups.age if ups.outage else None,
        charge=ups.charge,
        charge_at_start=ups.charge_at_start,
        voltage=ups.voltage,
        runtime=ups.runtime,
        spent=ups.spent,
        full=ups.full,
        low_battery=ups.low_battery,
        hosts=tuple(lines[:MOST_HOSTS]),
        more_hosts=max(0, len(lines) - MOST_HOSTS),
    )


def _line(host: HostSeen, ups: UpsSeen, seen: Seen) -> HostLine:
    left = host.left
    waiting = host.connected and host.phase in {"idle", "unknown"}
    if left is None and waiting and host.after is not None and _must_go(host, seen):
        # Its own word comes in a moment; people are told at once.
        left = max(0.0, host.after - ups.spent)
    return HostLine(host.name, host.phase, left, host.after, host.connected, host.dry_run)


def _must_go(host: HostSeen, seen: Seen) -> bool:
    """Whether fewer supplies are left than it needs; one that is unknown starts no countdown."""
    feeding = [ups for name, ups in seen.upses.items() if not host.upses or name in host.upses]
    left = [ups for ups in feeding if ups.state is not PowerState.ON_BATTERY]
    return len(left) < host.min_supplies
