"""What every scenario's outages are played with: the clock of the record, and who knows what.

A scenario's `outage.py` plays its acts and writes a record, `outage.json`. Nothing is judged there
but what later steps need; the tests judge the record.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from engine import LabError
from fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# A client that has been without its server for long tries again every 20 s.
PATIENCE = 40.0

T = TypeVar("T")


class Stage:
    """The lab's hosts and the clock of the record."""

    def __init__(self, fleet: Fleet, clients: dict[str, list[str]]) -> None:
        """`clients` names those of each server."""
        self.fleet = fleet
        self.clients_of = clients
        self.clients = [name for names in clients.values() for name in names]
        self.began = time.monotonic()
        self.asked = 0.0

    def at(self) -> float:
        """Return the record's time: seconds since it began."""
        return self.since(time.monotonic())

    def since(self, monotonic: float) -> float:
        """Return the record's time of a moment on the monotonic clock."""
        return round(monotonic - self.began, 2)

    def moment(self, wall: float) -> float:
        """Return the record's time of a moment on the wall clock, which the hosts share."""
        return self.since(wall - time.time() + time.monotonic())

    def status(self, server: str) -> dict[str, Any]:
        """Return what a server says of its UPSes and clients."""
        answer = self.fleet.run(server, "sh", "-c", "powmonman status --json || :")
        return dict(json.loads(answer))

    def hosts(self, *servers: str) -> dict[str, dict[str, Any]]:
        """Return what these servers, or all, know of each client; `asked` is when they were."""
        self.asked = self.at()
        return {
            row["name"]: row
            for server in servers or self.clients_of
            for row in self.status(server)["clients"]
        }

    def power(self) -> set[str]:
        """Return the power states that the servers publish."""
        return {
            ups["state"]
            for server in self.clients_of
            for ups in self.status(server)["upses"].values()
        }

    def boot_ids(self) -> dict[str, str]:
        """Return the boot id that each host of a fleet has, of those that run."""
        states = self.fleet.states()
        return {
            host: self.fleet.run(host, "cat", "/proc/sys/kernel/random/boot_id").strip()
            for host in {*self.clients, *self.clients_of}
            if states[host] == "running"
        }

    def until(self, what: str, look: Callable[[], T], met: Callable[[T], bool], limit: float) -> T:
        """Look until `met`; return what was seen.

        Raises:
            LabError: It was not met within `limit` seconds.
        """
        end = time.monotonic() + limit
        while True:
            seen = look()
            if met(seen):
                return seen
            if time.monotonic() > end:
                raise LabError(f"not within {limit:.0f} s: {what}. Last seen: {seen}")
            time.sleep(0.1)

    def all_in(self, phase: str, limit: float = PATIENCE) -> dict[str, dict[str, Any]]:
        """Wait until every client is connected and in this phase."""
        return self.until(
            f"every client connected and {phase}",
            self.hosts,
            lambda rows: all(
                rows[host]["connected"] and rows[host]["phase"] == phase for host in self.clients
            ),
            limit,
        )

    def note_exits(self, off: dict[str, float]) -> dict[str, float]:
        """Add when each host was first seen powered off; return the same mapping."""
        for host, state in self.fleet.states().items():
            if state == "exited":
                off.setdefault(host, self.at())
        return off

    def switch_on(self) -> bool:
        """Boot every host that is off; return whether each got a boot id of its own."""
        states = self.fleet.states()
        own = [self.fleet.boot(host) for host, state in states.items() if state == "exited"]
        return all(own)


def play(
    arguments: Iterable[str],
    clients: dict[str, list[str]],
    acts: Callable[[Stage], dict[str, Any]],
) -> int:
    """Play a scenario's acts in the lab of this directory, and write the record into it."""
    (directory,) = map(Path, arguments)
    try:
        record = acts(Stage(Fleet.running(directory), clients))
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    text = json.dumps(record, indent=2)
    (directory / "outage.json").write_text(text, "utf-8")
    print(text)
    return 0
