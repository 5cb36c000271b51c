"""One host really shut down and woken again, on the operator's word, with the times it takes.

This is no drill that switches nothing off: it is an order to one host, given while the mains are
good. The host is recorded as one to be woken before the order is given.

| phase   | ends when                                        | next   | fails after   |
|---------|--------------------------------------------------|--------|---------------|
| ordered | it says that it commits                          | going  | `COMMIT`      |
| going   | it is down                                       | waking | `GOING`       |
| waking  | it says hello with another boot id               | back   | `give_up`     |
| any     | a UPS is no longer on mains                      | failed |               |
"""

from __future__ import annotations

import asyncio
import contextlib
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
MOST_BACKOFF = 8
OVER = ("back", "failed")


@dataclass(frozen=True)
class Ways:
    """What is done elsewhere.

    Attributes:
        hindrance: Returns why nothing may begin now; empty if it may.
        trouble: Returns what of the real power ends it; empty if nothing.
        due: Records a host as one that must be woken, on disk.
        down: Whether a host that has committed is down.
        wake: Wakes a host; returns what is wrong with that.
        publish: Pushes a new state to everybody.
    """

    hindrance: Callable[[], str]
    trouble: Callable[[], str]
    due: Callable[[str], Awaitable[None]]
    down: Callable[[str], bool]
    wake: Callable[[Host], Awaitable[str]]
    publish: Callable[[], None]


class Live:
    """At most one host at a time."""

    def __init__(self, roster: Roster, config: Callable[[], ServerConfig], ways: Ways) -> None:
        self._roster, self._config, self._ways = roster, config, ways
        self._host: Host | None = None
        self._boot = ""
        self._given: Given | None = None
        self._phase = ""
        self._reason = ""
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
        self._task = asyncio.create_task(self._run(host))
        return ""

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
        wake = self._config().recovery.hosts.get(host.name)
        macs = hello.macs or (wake.macs if wake else ())
        if not host.connected:
            return f"{host.name} is not connected"
        if hello.dry_run:
            return f"{host.name} is in dry run: it would not go down"
        if wake is not None and wake.method == "none":
            return f"nobody wakes {host.name}: its method is none"
        if (wake is None or wake.method == "wake_on_lan") and not macs:
            return f"no MAC address of {host.name} is known: it could not be woken"
        return ""

    async def _run(self, host: Host) -> None:
        await self._ways.due(host.name)
        self._given = Given()
        began = self._given.at
        log.critical("%s is shut down for a drill, and woken again", host.name)
        self._ways.publish()
        try:
            async with asyncio.timeout(COMMIT):
                await self._until("committed", began, lambda: (host.committed_at or 0.0) >= began)
            self._phase = "going"
            async with asyncio.timeout(GOING):
                await self._until("down", began, lambda: self._ways.down(host.name))
            self._phase = "waking"
            self._times["woken"] = boottime() - began
            async with asyncio.timeout(self._config().recovery.give_up):
                await self._woken(host, began)
        except TimeoutError:
            self._fail(f"nothing more within the time that it has: {self._phase}")
        except _TroubleError as error:
            self._fail(str(error))
        else:
            self._phase = "back"
            log.warning("%s is back, %.0f s after the order", host.name, self._times["back"])

    def _fail(self, reason: str) -> None:
        self._phase, self._reason = "failed", reason
        name = self._host.name if self._host else "?"
        log.error("%s: the live drill failed: %s", name, reason)

    async def _until(self, what: str, began: float, done: Callable[[], bool]) -> None:
        while not done():
            if reason := self._ways.trouble():
                raise _TroubleError(reason)
            await asyncio.sleep(EVERY)
        self._times[what] = boottime() - began

    async def _woken(self, host: Host, began: float) -> None:
        waker = asyncio.create_task(self._wake_again_and_again(host))
        try:
            await self._until("back", began, lambda: self._is_back(host.name))
        finally:
            waker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waker

    async def _wake_again_and_again(self, host: Host) -> None:
        repeat = self._config().recovery.repeat
        pause, longest = repeat, MOST_BACKOFF * repeat
        while True:
            if fault := await self._ways.wake(host):
                log.warning("%s can't be woken: %s", host.name, fault)
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)

    def _is_back(self, name: str) -> bool:
        host = self._roster.hosts.get(name)
        if host is None or not host.connected or host.hello is None:
            return False
        return bool(host.hello.boot_id) and host.hello.boot_id != self._boot


class _TroubleError(Exception):
    """Something real has come in between."""
