"""A running server with two honest hosts, and a telephone to call it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from powmonman.service.clock import boottime

from .daemon import wait_for
from .fleet import CONFIRM
from .peers import Caller

if TYPE_CHECKING:
    from .daemon import Daemon
    from .fleet import Fleet


@dataclass
class Site:
    """A fleet of a server, `nas` and `db`."""

    fleet: Fleet
    server: Daemon
    nas: Daemon
    db: Daemon

    @classmethod
    def up(cls, fleet: Fleet, **changes: Any) -> Site:
        """Start the three; `changes` are the server's."""
        server = fleet.server(policy__after=600, **changes)
        nas, db = fleet.client("nas"), fleet.client("db")
        fleet.up(server, nas, db)
        return cls(fleet, server, nas, db)

    def call(self, host: str) -> Caller:
        """Call the server with the identity of `host`."""
        return Caller(self.fleet.authority.client(host), self.fleet.port)

    def time_to_tell(self) -> float:
        """Pull the plug; return how long it took until both hosts had understood."""
        began = self._after("off", "on battery · outage")
        try:
            wait_for("both are told", self.told_both)
            return boottime() - began - CONFIRM
        finally:
            self._after("on", "mains are back")

    def told_both(self) -> bool:
        """Whether both hosts have understood the newest state."""
        rows = (self.fleet.row(self.server, name) for name in ("nas", "db"))
        return all(row["told"] for row in rows)

    def _after(self, word: str, pattern: str) -> float:
        """Set the mains, and wait until nas says once more that it has heard; return when set."""
        before = len(self.nas.said(pattern))
        at = self.fleet.mains(word)
        wait_for(f"nas says {pattern!r}", lambda: len(self.nas.said(pattern)) > before)
        return at
