"""What the server knows, as the events that people are told of are found in it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from powmonman.core.events import HostSeen, RecoverySeen, Seen, UpsSeen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from powmonman.core.messages import Policy
    from powmonman.core.outage import Supply
    from powmonman.server.roster import Host, Roster


def seen(
    supplies: Mapping[str, Supply],
    roster: Roster,
    policy: Policy,
    certificate_ends: float | None,
    now: float,
    *,
    recovery: RecoverySeen | None = None,
) -> Seen:
    """Return the fleet as it is `now` (CLOCK_BOOTTIME).

    `certificate_ends` is that of the server's own certificate, in seconds of the wall clock.
    """
    return Seen(
        upses={name: _ups(supply, now) for name, supply in supplies.items()},
        hosts=tuple(_host(host, policy, now) for host in roster.hosts.values()),
        certificate_left=_left(certificate_ends),
        recovery=recovery or RecoverySeen(),
    )


def _ups(supply: Supply, now: float) -> UpsSeen:
    news = supply.news(now)
    return UpsSeen(
        state=news.state,
        outage=news.outage,
        age=news.age,
        spent=news.spent,
        full=supply.full_runtime,
        charge=news.charge,
        charge_at_start=news.charge_at_start,
        runtime=news.runtime,
        low_battery=news.low_battery,
        voltage=news.voltage,
        reason=news.reason,
    )


def _host(host: Host, policy: Policy, now: float) -> HostSeen:
    hello, status = host.hello, host.status
    own = hello.after if hello else None
    return HostSeen(
        name=host.name,
        connected=host.connected,
        phase=status.phase,
        left=host.time_left(now),
        after=policy.after if own is None else own,
        outage=status.outage,
        reason=status.reason,
        boot_id=hello.boot_id if hello else "",
        upses=hello.upses if hello else (),
        min_supplies=hello.min_supplies if hello else 1,
        dry_run=hello.dry_run if hello else False,
        certificate_left=_left(host.certificate_ends),
    )


def _left(ends: float | None) -> float | None:
    return None if ends is None else ends - time.time()
