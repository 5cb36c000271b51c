"""One host really shut down and woken again, on the operator's word, with the times it takes.

This is no drill that switches nothing off: it is an order to one host, given while the mains are
good. The host is recorded as one to be woken before the order is given, and the recovery wakes it
once it is down. It waits for no other host: none of them goes.

| phase   | ends when                                        | next   | fails after   |
|---------|--------------------------------------------------|--------|---------------|
| ordered | it says that it commits                          | going  | `COMMIT`      |
| going   | it is down                                       | waking | `GOING`       |
| waking  | it says hello with another boot id               | back   | `give_up`     |
| any     | a UPS is no longer on mains                      | failed |               |
| any     | the operator shuts the whole fleet down          | failed |               |
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from powmonman.server.order import Given
from powmonman.service.clock import boottime

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from powmonman.config.schema import ServerConfig
    from powmonman.core.messages import Hello, Order
    from powmonman.server.roster import Host, Roster

log = logging.getLogger("powmonman.server")

EVERY = 0.2
COMMIT = 60.0
GOING = 1800.0
OVER = ("back", "failed")


@dataclass(frozen=True)
class Ways:
    """What is done elsewhere.

    Attributes:
        hindrance: Returns why nothing may begin now; empty if it may.
        trouble: Returns what of the real power ends it; empty if nothing.
        obstacle: Returns why a host could not be woken; empty if it could.
        due: Records a host as one that must be woken, on disk, but not before `wake`.
        down: Whether a host that has committed is down.
        wake: Lets the recovery wake the host that is due, until it is back.
        publish: Pushes a new state to everybody.
    """

    hindrance: Callable[[], str]
    trouble: Callable[[], str]
    obstacle: Callable[[str], str]
    due: Callable[[str], Awaitable[None]]
    down: Callable[[str], bool]
    wake: Callable[[], None]
    publish: Callable[[], None]


class Live:
    """At most one host at a time."""

    def __init__(self, roster: Roster, config: Callable[[], ServerConfig], ways: Ways) -> None:
        self._roster, self._config, self._ways = roster, config, ways
        self._host: Host | None = None
        self._boot = ""
        self._given: Given | None = None
        self._phase = ""
        self._reason = self._stopped = ""
        self._times: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether a host is on its way down or up."""
        return bool(self._phase) and self._phase not in OVER

    def start(self, name: str) -> str:
        """Shut `name` down and wake it; return why not, or nothing."""
        if self.running:
            return f"{self._host.name if self._host else '?'} is being shut down and woken"
        host = self._roster.hosts.get(name)
        if host is None or host.hello is None:
            return f"no such host: {name}"
        if reason := self._ways.hindrance() or self._unfit(host, host.hello):
            return reason
        self._host, self._boot = host, host.hello.boot_id
        self._phase, self._reason, self._times, self._given = "ordered", "", {}, None
        self._stopped = ""
        self._task = asyncio.create_task(self._run(host))
        return ""

    def stop(self, reason: str) -> None:
        """End it; what becomes of the host is not its matter any more."""
        self._stopped = reason

    def order(self, name: str) -> Order | None:
        """Return the order, for the one host that is meant."""
        if self._given is None or self._host is None or self._host.name != name:
            return None
        return self._given.told() if self._phase == "ordered" else None

    def report(self) -> dict[str, Any] | None:
        """Return how far it is; all times in seconds since the order."""
        if self._host is None:
            return None
        times = {name: self._times.get(name) for name in ("committed", "down", "woken", "back")}
        return {
            "host": self._host.name,
            "phase": self._phase,
            "over": self._phase in OVER,
            "ok": self._phase == "back",
            "reason": self._reason,
            **{name: None if at is None else round(at, 1) for name, at in times.items()},
        }

    def _unfit(self, host: Host, hello: Hello) -> str:
        if not host.connected:
            return f"{host.name} is not connected"
        if hello.dry_run:
            return f"{host.name} is in dry run: it would not go down"
        why = self._ways.obstacle(host.name)
        return f"{host.name} could not be woken: {why}" if why else ""

    async def _run(self, host: Host) -> None:
        try:
            await self._ways.due(host.name)
            await self._order(host)
        except TimeoutError:
            self._fail(f"nothing more within the time that it has: {self._phase}")
        except _TroubleError as error:
            self._fail(str(error))
        except Exception as error:
            log.exception("an error that nobody thought of ends the live drill")
            self._fail(f"{type(error).__name__}: {error}")
        else:
            self._phase = "back"
            log.warning("%s is back, %.0f s after the order", host.name, self._times["back"])

    async def _order(self, host: Host) -> None:
        self._given = Given()
        began = self._given.at
        log.critical("%s is shut down for a drill, and woken again", host.name)
        self._ways.publish()
        async with asyncio.timeout(COMMIT):
            await self._until("committed", began, lambda: (host.committed_at or 0.0) >= began)
        self._phase = "going"
        async with asyncio.timeout(GOING):
            await self._until("down", began, lambda: self._is_down(host.name))
        self._phase = "waking"
        self._ways.wake()
        self._times["woken"] = boottime() - began
        async with asyncio.timeout(self._config().recovery.give_up):
            await self._until("back", began, lambda: self._is_back(host.name))

    def _fail(self, reason: str) -> None:
        self._phase, self._reason = "failed", reason
        self._ways.wake()
        name = self._host.name if self._host else "?"
        log.error("%s: the live drill failed: %s", name, reason)

    async def _until(self, what: str, began: float, done: Callable[[], bool]) -> None:
        while not done():
            if reason := self._stopped or self._ways.trouble():
                raise _TroubleError(reason)
            await asyncio.sleep(EVERY)
        self._times[what] = boottime() - began

    def _is_down(self, name: str) -> bool:
        """Raises _TroubleError when it never will be."""
        if self._is_back(name):
            raise _TroubleError("it has booted before it was down: it restarts, or others wake it")
        return self._ways.down(name)

    def _is_back(self, name: str) -> bool:
        host = self._roster.hosts.get(name)
        if host is None or not host.connected or host.hello is None:
            return False
        return bool(host.hello.boot_id) and host.hello.boot_id != self._boot


class _TroubleError(Exception):
    """Something real has come in between."""
