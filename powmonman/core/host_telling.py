"""What is told of one host; the rules stand in `telling`."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from powmonman.core.events import Event, HostSeen, Kind, Seen
from powmonman.core.power import PowerState
from powmonman.core.told import LONGEST_REASON, HostTold

if TYPE_CHECKING:
    from powmonman.core.told import Moment

# A client that is restarted, or whose server was, is connected again by then.
DOWN_AFTER = 10.0
_KNOWN_PHASES = frozenset({"idle", "counting", "waiting", "committed"})


def tell_of_host(told: HostTold, host: HostSeen, moment: Moment, events: list[Event]) -> HostTold:
    """Add what is to be told to `events`; return what is told then."""
    if host.connected and host.phase == "idle" and told == _at_peace(host.boot_id):
        return told  # As almost every host is at almost any time.
    told = _presence(told, host, moment, events)
    if host.phase not in _KNOWN_PHASES:
        return _absence(told, host, moment, events)
    if host.phase != "committed":
        told = replace(told, stale=False, rehearsed=False)
        if host.connected:
            # Nothing cancels a commit; so whatever was told is from before, and over.
            told = replace(told, committed=False, down=False)
    elif not told.stale and not (told.committed or told.rehearsed):
        events.append(_of_host(Kind.HOST_COMMITTED, host, moment))
        told = replace(told, committed=not host.dry_run, rehearsed=host.dry_run)
    return _absence(told, host, moment, events)


@lru_cache(4096)
def _at_peace(boot_id: str) -> HostTold:
    return HostTold(boot=boot_id, met=True)


def _presence(told: HostTold, host: HostSeen, moment: Moment, events: list[Event]) -> HostTold:
    if not host.connected:
        return told
    booted = told.met and _booted(told, host)
    if (told.committed and booted) or told.lost:
        event = _of_host(Kind.HOST_BACK, host, moment)
        length = None if told.away is None else moment.now - told.away
        events.append(replace(event, since=told.gone, length=length, outage=""))
    here = replace(told, met=True, boot=host.boot_id, away=None, missed=None, lost=False)
    if booted:
        return HostTold(boot=host.boot_id, met=True, stale=host.phase == "committed")
    return here if told.committed else replace(here, gone=None)


def _booted(told: HostTold, host: HostSeen) -> bool:
    """Whether the host was booted since; where boots have no id, one that goes on was."""
    if not (host.boot_id or told.boot):
        return told.down and host.phase in _KNOWN_PHASES and host.phase != "committed"
    return bool(host.boot_id) and host.boot_id != told.boot


def _absence(told: HostTold, host: HostSeen, moment: Moment, events: list[Event]) -> HostTold:
    if host.connected or not told.met:
        return told
    now = moment.now
    away = now if told.away is None else told.away
    on_mains = _on_mains(host, moment.seen)
    missed = (now if told.missed is None else told.missed) if on_mains else None
    told = replace(told, away=away, missed=missed)
    if told.committed and not told.down and now - away >= DOWN_AFTER:
        gone = moment.wall - (now - away)
        event = _of_host(Kind.HOST_DOWN, host, moment)
        events.append(replace(event, since=gone, length=now - away))
        return replace(told, down=True, gone=gone)
    lost = missed is not None and now - missed >= moment.rules.lost_after
    if lost and not told.committed and not told.lost:
        gone = moment.wall - (now - away)
        event = _of_host(Kind.HOST_LOST, host, moment)
        events.append(replace(event, since=gone, length=now - away, outage="", reason=""))
        return replace(told, lost=True, gone=gone)
    return told


def _on_mains(host: HostSeen, seen: Seen) -> bool:
    feeding = [ups for name, ups in seen.upses.items() if not host.upses or name in host.upses]
    return bool(feeding) and all(ups.state is PowerState.ON_MAINS for ups in feeding)


def _of_host(kind: Kind, host: HostSeen, moment: Moment) -> Event:
    names = [name for name in moment.seen.upses if not host.upses or name in host.upses]
    return Event(
        kind,
        at=moment.wall,
        ups=names[0] if len(names) == 1 else "",
        host=host.name,
        outage=host.outage,
        reason=host.reason[:LONGEST_REASON],
        left=host.left,
        dry_run=host.dry_run,
    )
