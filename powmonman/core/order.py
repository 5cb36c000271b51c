"""Who goes down after whom: the graph of waits, and how long a shutdown in order takes.

A graph maps a host to those that it waits for. Rules:

1. A host that waits commits when all of them are down, but never before its own deadline, and
   at the latest `wait_timeout` after it.
2. Nobody may wait for himself, for a host that nobody knows, or in a circle. What a running fleet
   says all the same is survived: such a wait ends by its timeout.

All times are seconds after the loss of the mains.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    Graph = Mapping[str, Sequence[str]]

# Of a host that has never been seen to shut down.
ASSUMED_TAKES = 60.0
MOST_CYCLES = 16


@dataclass(frozen=True)
class Fault:
    """What is wrong with the wait of `host` for `awaited`."""

    host: str
    awaited: str
    text: str


@dataclass(frozen=True)
class Going:
    """What is known of a host before the mains fail.

    Attributes:
        earliest: When it may commit, were it not for the order; None: it never goes.
        takes: From its commit until it is off.
        ends: When its battery is empty; None: nobody can tell.
        measured: `takes` was, on an earlier shutdown.
    """

    earliest: float | None
    takes: float = ASSUMED_TAKES
    wait_for: tuple[str, ...] = ()
    wait_timeout: float = 300.0
    ends: float | None = None
    measured: bool = False


@dataclass(frozen=True)
class Turn:
    """When a host goes, in order.

    Attributes:
        commits: None: never.
        down: When it is off; who waits for it knows `settle` later.
        after: The host for whose end it waits longest, where that delays it.
        times_out: It does not wait to the end for all of them.
    """

    commits: float | None
    down: float | None
    after: str = ""
    times_out: bool = False


def faults(graph: Graph, known: Collection[str] = ()) -> Iterator[Fault]:
    """List what is wrong with a graph; names are looked up where `known` holds any."""
    for host, awaited in sorted(graph.items()):
        if host in awaited:
            yield Fault(host, host, f"{host} waits for itself")
        for name in awaited:
            if known and name not in known:
                yield Fault(host, name, f"{host} waits for {name}, which nobody knows")
    for cycle in cycles(graph):
        yield Fault(cycle[0], cycle[1], f"a circle: {' -> '.join(cycle)}")


def cycles(graph: Graph) -> list[tuple[str, ...]]:
    """Return circles of waits such as (nas, web1, nas), `MOST_CYCLES` at most; none shares a wait.

    A host that waits for itself is none.
    """
    return _untangled(graph)[1]


def acyclic(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Return the graph without the waits that make circles."""
    return _untangled(graph)[0]


def levels(graph: Graph) -> list[tuple[str, ...]]:
    """Return who goes at the same time, the first to go first; awaited hosts are included."""
    sorter = TopologicalSorter(acyclic(graph))
    sorter.prepare()
    found = []
    while sorter.is_active():
        ready = tuple(sorted(sorter.get_ready()))
        found.append(ready)
        sorter.done(*ready)
    return found


def schedule(hosts: Mapping[str, Going], settle: float) -> dict[str, Turn]:
    """Return when each host goes. An awaited host that is not in `hosts` is never down.

    The next commit is always that of the host with the earliest possible one: until somebody
    commits nobody's wait can end but by its timeout. So circles need no care here.
    """
    turns: dict[str, Turn] = {}
    open_waits = {name: set(going.wait_for) for name, going in hosts.items()}
    latest: dict[str, tuple[float, str]] = {}
    waiters: dict[str, list[str]] = {}
    due: list[tuple[float, bool, str]] = []
    for name, going in hosts.items():
        for awaited in open_waits[name]:
            waiters.setdefault(awaited, []).append(name)
        if going.earliest is not None:
            waits = bool(open_waits[name])
            due.append((going.earliest + (going.wait_timeout if waits else 0.0), waits, name))
    heapq.heapify(due)
    while due:
        at, timed_out, name = heapq.heappop(due)
        if name in turns:
            continue
        going = hosts[name]
        down = at + going.takes
        known, after = latest.get(name, (0.0, ""))
        delayed = not timed_out and going.earliest is not None and known > going.earliest
        turns[name] = Turn(at, down, after if delayed else "", timed_out)
        for waiter in waiters.get(name, ()):
            open_waits[waiter].discard(name)
            latest[waiter] = max(latest.get(waiter, (0.0, "")), (down + settle, name))
            earliest = hosts[waiter].earliest
            if not open_waits[waiter] and earliest is not None:
                released = max(earliest, latest[waiter][0])
                heapq.heappush(due, (released, False, waiter))
    return {name: turns.get(name, Turn(None, None)) for name in hosts}


def path_to(turns: Mapping[str, Turn], host: str) -> tuple[str, ...]:
    """Return the hosts whose shutdowns delay that of `host`, one after the other, itself last."""
    path = [host]
    while (before := turns[path[-1]].after) and before not in path:
        path.append(before)
    return tuple(reversed(path))


def critical_path(turns: Mapping[str, Turn]) -> tuple[str, ...]:
    """Return the chain that ends last; empty if nobody goes."""
    ends = [(turn.down, name) for name, turn in turns.items() if turn.down is not None]
    return path_to(turns, max(ends)[1]) if ends else ()


def too_late(hosts: Mapping[str, Going], turns: Mapping[str, Turn]) -> list[str]:
    """Return the hosts that are not off when their battery is empty, the first to end first."""
    found = []
    for name, going in hosts.items():
        down = turns[name].down
        if down is not None and going.ends is not None and down > going.ends:
            found.append((down, name))
    return [name for _, name in sorted(found)]


def futile(hosts: Mapping[str, Going], turns: Mapping[str, Turn]) -> list[tuple[str, str]]:
    """Return waits that can't be met: the awaited host goes only after the wait is over."""
    found = []
    for name, going in sorted(hosts.items()):
        if going.earliest is None:
            continue
        over = going.earliest + going.wait_timeout
        for awaited in going.wait_for:
            if awaited not in turns or awaited == name:
                continue
            commits = turns[awaited].commits
            if commits is None or commits > over:
                found.append((name, awaited))
    return found


def _untangled(graph: Graph) -> tuple[dict[str, tuple[str, ...]], list[tuple[str, ...]]]:
    waits = {
        host: {name: None for name in awaited if name != host}
        for host, awaited in sorted(graph.items())
    }
    found: list[tuple[str, ...]] = []
    while (cycle := _cycle(waits)) is not None:
        if len(found) < MOST_CYCLES:
            found.append(cycle)
        for host, awaited in itertools.pairwise(cycle):
            del waits[host][awaited]
    return {host: tuple(awaited) for host, awaited in waits.items()}, found


def _cycle(waits: Mapping[str, Mapping[str, None]]) -> tuple[str, ...] | None:
    try:
        TopologicalSorter(waits).prepare()
    except CycleError as error:
        # Each is waited for by the next one.
        ring = list(reversed(error.args[1]))[:-1]
        first = ring.index(min(ring))
        return (*ring[first:], *ring[:first], ring[first])
    return None
