"""What the server knows of each host: who is connected, what it does, what it has understood."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from powmonman.core.messages import Hello, Status
from powmonman.core.power import PowerState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from powmonman.net.tls import Peer


# What a host says of its own policy in its hello.
POLICY = (
    "after",
    "charge_below",
    "charge_drop",
    "runtime_below",
    "low_battery",
    "min_observe",
    "confirm",
)


@dataclass
class Host:
    """One host of the fleet.

    Attributes:
        since: Seconds (CLOCK_BOOTTIME) since when `connected` is what it is; None: never seen.
        told: The id of the last state that it acknowledged.
        spoke: `status` is what it said in its latest connection, and of no earlier one.
        left: Seconds until its shutdown as it said at `left_at`.
        committed_at: When it said last that it commits.
        certificate_ends: In seconds of the wall clock.
    """

    name: str
    connected: bool = False
    since: float | None = None
    address: str = ""
    told: str = ""
    spoke: bool = False
    hello: Hello | None = None
    status: Status = field(default_factory=lambda: Status(phase="unknown"))
    left_at: float = 0.0
    committed_at: float | None = None
    expired: bool = False
    certificate_ends: float | None = None

    def time_left(self, now: float) -> float | None:
        """Seconds until its shutdown, `now`; None where nothing is counted."""
        if self.status.left is None:
            return None
        return max(0.0, self.status.left - (now - self.left_at))


class Roster:
    """Every host that is expected or was ever connected, by name."""

    def __init__(self, expected: Iterable[str] = ()) -> None:
        self.hosts: dict[str, Host] = {}
        self.expected: frozenset[str] = frozenset()
        self.expect(expected)

    def expect(self, names: Iterable[str]) -> None:
        """Replace the hosts that should be there; others are kept while they are connected."""
        self.expected = frozenset(names)
        self.hosts = {
            name: self.hosts.get(name) or Host(name)
            for name in sorted({n for n, h in self.hosts.items() if h.connected} | self.expected)
        }

    def arrived(self, peer: Peer, address: str, hello: Hello, now: float) -> None:
        """A host is connected, as its certificate says, and has introduced itself."""
        host = self.hosts.setdefault(peer.name, Host(peer.name))
        host.connected, host.since, host.address = True, now, address
        host.hello, host.told, host.spoke = hello, "", False
        host.expired, host.certificate_ends = peer.expired, peer.ends

    def said(self, name: str, status: Status, now: float) -> None:
        """`name` reported what it is about to do."""
        host = self.hosts[name]
        host.status, host.left_at, host.spoke = status, now, True
        if status.phase == "committed":
            host.committed_at = now

    def left(self, name: str, now: float) -> None:
        """`name` is no longer connected."""
        host = self.hosts[name]
        host.connected, host.since = False, now

    def rows(self, now: float, state_id: str) -> list[dict[str, Any]]:
        """Return one row a host for the report, all times in seconds before `now`."""
        return [_row(host, now, state_id) for _, host in sorted(self.hosts.items())]


def _row(host: Host, now: float, state_id: str) -> dict[str, Any]:
    status, hello = host.status, host.hello
    left = host.time_left(now)
    return {
        "name": host.name,
        "connected": host.connected,
        "for": None if host.since is None else round(now - host.since, 1),
        "address": host.address,
        "phase": status.phase if host.since is not None else "never seen",
        "committed": None if host.committed_at is None else round(now - host.committed_at, 1),
        "power": status.power if host.connected else PowerState.UNKNOWN,
        "left": None if left is None else round(left, 1),
        "outage": status.outage,
        "reason": status.reason,
        "told": host.connected and host.told == state_id,
        "policy": {name: getattr(hello, name, None) for name in POLICY},
        "upses": hello.upses if hello else (),
        "min_supplies": hello.min_supplies if hello else 1,
        "dry_run": hello.dry_run if hello else False,
        "version": hello.version if hello else "",
        "boot_id": hello.boot_id if hello else "",
        "certificate_expired": host.expired,
    }
