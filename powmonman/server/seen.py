"""What the server knows, as the events that people are told of are found in it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from powmonman.core.events import HostSeen, RecoverySeen, Seen, UpsSeen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from powmonman.core.drill_stage import Part, Stage
    from powmonman.core.messages import Policy
    from powmonman.core.outage import Supply
    from powmonman.server.roster import Host, Roster

# In seconds.
LASTS = 60.0


class View:
    """The fleet as it is; the hosts are looked at anew when something has become known of one.

    While nobody counts, a minute later they would look the same, but for what is left of their
    certificates.
    """

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._hosts: tuple[HostSeen, ...] = ()
        self._ground: object = None
        self._until = 0.0

    def seen(
        self,
        supplies: Mapping[str, Supply],
        policy: Policy,
        certificate_ends: float | None,
        now: float,
        *,
        order: Sequence[str] = (),
        recovery: RecoverySeen | None = None,
    ) -> Seen:
        """Return the fleet as it is `now` (CLOCK_BOOTTIME).

        `certificate_ends` is that of the server's own certificate, in seconds of the wall clock;
        `order` what is wrong with the order.
        """
        return Seen(
            upses={name: _ups(supply, now) for name, supply in supplies.items()},
            hosts=self._seen(policy, now),
            certificate_left=_left(certificate_ends),
            order=tuple(order),
            recovery=recovery or RecoverySeen(),
        )

    def _seen(self, policy: Policy, now: float) -> tuple[HostSeen, ...]:
        ground = (self._roster.changes, policy)
        if ground != self._ground or now >= self._until:
            self._hosts = tuple(_host(host, policy, now) for host in self._roster.hosts.values())
            counting = any(host.left is not None for host in self._hosts)
            self._ground, self._until = ground, now if counting else now + LASTS
        return self._hosts


def seen_in(stage: Stage, roster: Roster, policy: Policy) -> Seen:
    """Return the fleet as the drill has it: what hosts say there is as in a dry run."""
    upses = {name: _ups(supply, stage.at) for name, supply in stage.supplies.items()}
    return Seen(
        upses=upses,
        hosts=tuple(
            _drilled(host, part, policy, next((ups.outage for ups in upses.values()), ""))
            for name, host in roster.hosts.items()
            if (part := stage.parts.get(name)) is not None and part.connected
        ),
    )


def _drilled(host: Host, part: Part, policy: Policy, outage: str) -> HostSeen:
    hello, status = host.hello, part.status
    own = hello.after if hello else None
    return HostSeen(
        name=host.name,
        connected=True,
        phase=status.phase if status else "idle",
        left=status.left if status else None,
        after=policy.after if own is None else own,
        outage=outage,
        reason=status.reason if status else "",
        boot_id=hello.boot_id if hello else "",
        upses=hello.upses if hello else (),
        min_supplies=hello.min_supplies if hello else 1,
        dry_run=True,
    )


def _ups(supply: Supply, now: float) -> UpsSeen:
    return UpsSeen(**vars(supply.news(now)), full=supply.full_runtime)


def _host(host: Host, policy: Policy, now: float) -> HostSeen:
    hello, status = host.hello, host.status
    own = hello.after if hello else None
    return HostSeen(
        name=host.name,
        connected=host.connected,
        # It is halting because it has committed, or somebody switches it off by hand.
        phase="committed" if host.committed_at is not None else status.phase,
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
