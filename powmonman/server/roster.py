"""What the server knows of each host: who is connected, what it does, what it has understood."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from powmonman.config.order_keys import Order, Place
from powmonman.config.shutdown_keys import HostPolicy
from powmonman.core.messages import Hello, Status
from powmonman.core.power import PowerState
from powmonman.core.presence import GOING, Answer, Bounds, Presence

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from powmonman.net.tls import Peer
    from powmonman.server.prober import Asked


# What a host says of its own policy in its hello.
POLICY = tuple(part.name for part in fields(HostPolicy))
SHUTDOWNS_KEPT = 3
# In seconds; no host says more in earnest.
LONGEST_SHUTDOWN = 86400.0


@dataclass(frozen=True)
class HostRecord:
    """What is kept of a host over the server's end. Times are of the boot of the server then.

    Attributes:
        since: As in `Host`.
        way: How it answers when it is asked for a sign of life.
        took: Seconds that its latest shutdowns took, as the server saw them.
    """

    hello: Hello | None = None
    address: str = ""
    connected: bool = False
    since: float | None = None
    phase: str = ""
    outage: str = ""
    committed_at: float | None = None
    down: str = ""
    way: int | None = None
    took: tuple[float, ...] = ()


@dataclass
class Host:
    """One host of the fleet.

    Attributes:
        since: Seconds (CLOCK_BOOTTIME) since when `connected` is what it is; None: never seen.
        told: The id of the last state that it acknowledged.
        spoke: `status` is what it said in its latest connection, and of no earlier one.
        left: Seconds until its shutdown as it said at `left_at`.
        committed_at: When it committed; None: it has not in this boot, or its rehearsal is over.
        said_so_at: When it said last that it commits; that of a rehearsal may be over at once.
        outage: The outage for which it did.
        presence: What tells whether it is down.
        changed: What `Roster.changes` was when something became known of it last.
        known_down: How it was found to be down, by an earlier process too, as long as this host
            has not been booted; until anything is heard of it.
        way: How it answers when it is asked for a sign of life; None: it never has.
        took: Seconds that its latest shutdowns took, as this server saw them.
        watched: This process has seen all of its present boot.
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
    said_so_at: float | None = None
    outage: str = ""
    presence: Presence = field(default_factory=Presence)
    known_down: str = ""
    way: int | None = None
    took: tuple[float, ...] = ()
    watched: bool = True
    changed: int = 0
    expired: bool = False
    certificate_ends: float | None = None

    @property
    def boot_id(self) -> str:
        """The boot that it named last; empty: none."""
        return self.hello.boot_id if self.hello else ""

    @property
    def macs(self) -> tuple[str, ...]:
        """The MAC addresses that it named last."""
        return self.hello.macs if self.hello else ()

    @property
    def takes(self) -> float | None:
        """Seconds from its commit until it is off, the longest of what was measured."""
        own = self.hello.shutdown_takes if self.hello else None
        said = [] if own is None or not 0 <= own <= LONGEST_SHUTDOWN else [own]
        return max([*self.took, *said], default=None)

    def time_left(self, now: float) -> float | None:
        """Seconds until its shutdown, `now`; None where nothing is counted."""
        if self.status.left is None:
            return None
        return max(0.0, self.status.left - (now - self.left_at))

    def down(self, bounds: Bounds) -> str:
        """Return how it is known to be down; empty: it is not, or nobody knows."""
        return self.known_down or self.presence.down(bounds)

    def record(self, bounds: Bounds) -> HostRecord:
        """Return what to keep."""
        return HostRecord(
            hello=self.hello,
            address=self.address,
            connected=self.connected,
            since=self.since,
            phase=self.status.phase if self.status.phase in GOING else "",
            outage=self.outage,
            committed_at=self.committed_at,
            down=self.down(bounds),
            way=self.way,
            took=self.took,
        )


class Roster:
    """Every host that is expected or was ever connected, by name.

    `changes` rises with everything that may change what is kept of them, `understood` with every
    host that acknowledges another state than before.
    """

    def __init__(self, expected: Iterable[str] = (), order: Order | None = None) -> None:
        self.hosts: dict[str, Host] = {}
        self.expected: frozenset[str] = frozenset()
        self.places: Mapping[str, Place] = {}
        self.bounds = Bounds()
        self.changes = self.understood = 0
        self._graph: dict[str, tuple[str, ...]] | None = None
        self.expect(expected, order)

    def expect(self, names: Iterable[str], order: Order | None = None) -> None:
        """Replace the hosts that should be there; of others those connected or down are kept."""
        self.changes += 1
        self._graph = None
        order = order or Order()
        self.places, self.bounds = order.hosts, Bounds(order.settle, order.gone_after)
        self.expected = frozenset(names)
        kept = {n for n, h in self.hosts.items() if h.connected or h.committed_at is not None}
        self.hosts = {
            name: self.hosts.get(name) or Host(name) for name in sorted(kept | self.expected)
        }
        # Other bounds may tell otherwise who is down.
        for host in self.hosts.values():
            host.changed = self.changes

    def arrived(self, peer: Peer, address: str, hello: Hello, now: float) -> None:
        """A host is connected, as its certificate says, and has introduced itself."""
        waited = self.waits_for(peer.name)
        host = self.hosts.setdefault(peer.name, Host(peer.name))
        self._change(host)
        new_boot = bool(hello.boot_id) and hello.boot_id != host.boot_id
        if new_boot:
            host.status, host.left_at = Status(phase="unknown"), now
            host.committed_at, host.outage, host.watched = None, "", True
        if address != host.address:
            host.way = None
        host.presence = host.presence.joined(now, dry_run=hello.dry_run, new_boot=new_boot)
        host.connected, host.since, host.address = True, now, address
        host.hello, host.told, host.spoke, host.known_down = hello, "", False, ""
        host.expired, host.certificate_ends = peer.expired, peer.ends
        if self.waits_for(peer.name) != waited:
            self._graph = None

    def said(self, name: str, status: Status, now: float) -> None:
        """`name` reported what it is about to do."""
        host = self.hosts[name]
        self._change(host)
        host.status, host.left_at, host.spoke = status, now, True
        host.presence = host.presence.said(status.phase, now)
        if status.phase == "committed":
            host.committed_at = now if host.committed_at is None else host.committed_at
            host.said_so_at = now
            host.outage = status.outage
        elif status.phase != "halting":
            host.committed_at, host.outage = None, ""

    def told(self, name: str, state_id: str) -> None:
        """`name` has acknowledged a state."""
        host = self.hosts[name]
        if host.told != state_id:
            host.told = state_id
            self.understood += 1

    def left(self, name: str, now: float) -> None:
        """`name` is no longer connected."""
        host = self.hosts[name]
        self._change(host)
        host.connected, host.since = False, now
        host.presence = host.presence.hung_up(now)

    def asked(self, name: str, asked: Asked) -> None:
        """`name` was asked for a sign of life."""
        host = self.hosts.get(name)
        if host is None:
            return
        was_down = bool(host.down(self.bounds))
        before = (host.way, was_down)
        host.way = asked.way
        host.presence = host.presence.asked(asked.answer, asked.how, asked.sent, asked.until)
        if asked.answer is Answer.ANSWERED:
            host.known_down = ""
        # From here on only a sign of life tells otherwise, not a cable of ours that is out.
        host.known_down = host.known_down or host.presence.down(self.bounds)
        is_down = bool(host.down(self.bounds))
        if is_down and not was_down:
            self._measure(host)
        if before != (host.way, is_down):
            self._change(host)

    def _change(self, host: Host) -> None:
        self.changes += 1
        host.changed = self.changes

    def _measure(self, host: Host) -> None:
        """Keep how long a shutdown took that has just been seen to its end."""
        seen, committed = host.presence.seen, host.committed_at
        dry_run = host.hello is not None and host.hello.dry_run
        if seen is None or committed is None or dry_run or not host.watched:
            return
        host.took = (*host.took, round(seen - committed, 1))[-SHUTDOWNS_KEPT:]

    def waits_for(self, name: str) -> tuple[str, ...]:
        """Return the hosts that `name` waits for, as it said last, or else as configured."""
        host, place = self.hosts.get(name), self.places.get(name)
        if host is not None and host.hello is not None:
            return host.hello.wait_for
        return place.wait_for if place else ()

    def wait_timeout(self, name: str) -> float:
        """Return how long `name` waits at the most after its deadline, in seconds."""
        host, place = self.hosts.get(name), self.places.get(name)
        if host is not None and host.hello is not None:
            return max(0.0, host.hello.wait_timeout)
        return (place or Place()).wait_timeout

    def graph(self) -> dict[str, tuple[str, ...]]:
        """Return whom each host that waits waits for."""
        # Kept: it is asked for by each host that comes back from being down.
        if self._graph is None:
            names = [*self.hosts, *(name for name in self.places if name not in self.hosts)]
            self._graph = {name: waits for name in names if (waits := self.waits_for(name))}
        return self._graph

    @property
    def down(self) -> dict[str, str]:
        """The hosts that are down, each with how that is known."""
        return {n: why for n, host in self.hosts.items() if (why := host.down(self.bounds))}

    def still_up(self, name: str) -> tuple[str, ...]:
        """Return the hosts that `name` waits for and that are not down, or not known to be."""
        return tuple(each for each in self.waits_for(name) if not self.is_down(each))

    def is_down(self, name: str) -> bool:
        """Whether a host is known to be down."""
        host = self.hosts.get(name)
        return host is not None and bool(host.down(self.bounds))

    def records(self, after: int = 0) -> dict[str, HostRecord]:
        """Return what to keep of every host of which something has become known `after` then.

        That is a value of `changes`; 0: of every host that was ever seen.
        """
        return {
            name: host.record(self.bounds)
            for name, host in self.hosts.items()
            if host.since is not None and host.changed > after
        }

    def recall(self, records: Mapping[str, HostRecord], now: float, *, same_boot: bool) -> None:
        """Take up what an earlier process kept; `same_boot`: the server's host ran on since.

        Who was not expected is taken up only if it was connected, or is down by an outage.
        """
        self._graph = None
        for name, record in records.items():
            if name not in self.expected and not (record.connected or record.phase):
                continue
            host = self.hosts.setdefault(name, Host(name))
            self._change(host)
            host.hello, host.address, host.way = record.hello, record.address, record.way
            host.took, host.watched = record.took[-SHUTDOWNS_KEPT:], False
            gone = same_boot and not record.connected and record.since is not None
            host.since = record.since if gone else now
            dry_run = record.hello is not None and record.hello.dry_run
            host.presence = Presence(dry_run=dry_run).hung_up(host.since or now)
            if record.phase in GOING:
                host.status = Status(record.phase, outage=record.outage)
                host.presence = host.presence.said(record.phase, host.since or now)
                committed = record.committed_at if same_boot else now
                host.committed_at = None if record.committed_at is None else committed
                host.said_so_at = host.committed_at
                host.outage = record.outage
            host.known_down = record.down if same_boot else ""
        self.hosts = dict(sorted(self.hosts.items()))

    def rows(self, now: float, state_id: str) -> list[dict[str, Any]]:
        """Return one row a host for the report, all times in seconds before `now`."""
        return [self._row(host, now, state_id) for _, host in sorted(self.hosts.items())]

    def _row(self, host: Host, now: float, state_id: str) -> dict[str, Any]:
        status, hello = host.status, host.hello
        left = host.time_left(now)
        return {
            "name": host.name,
            "connected": host.connected,
            "for": None if host.since is None else round(now - host.since, 1),
            "address": host.address,
            "phase": status.phase if host.since is not None else "never seen",
            "committed": None if host.said_so_at is None else round(now - host.said_so_at, 1),
            "down": host.down(self.bounds),
            "power": status.power if host.connected else PowerState.UNKNOWN,
            "left": None if left is None else round(left, 1),
            "outage": status.outage,
            "reason": status.reason,
            "told": host.connected and host.told == state_id,
            "policy": {name: getattr(hello, name, None) for name in POLICY},
            "wait_for": self.waits_for(host.name),
            "wait_timeout": self.wait_timeout(host.name),
            "waits": self.still_up(host.name),
            "takes": host.takes,
            "upses": hello.upses if hello else (),
            "min_supplies": hello.min_supplies if hello else 1,
            "dry_run": hello.dry_run if hello else False,
            "on_lost_contact": asdict(hello.on_lost_contact) if hello else None,
            "version": hello.version if hello else "",
            "boot_id": hello.boot_id if hello else "",
            "certificate_expired": host.expired,
        }
