"""Order, as the server keeps it: asks who is down, tells who waits, and adds up what it takes."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from powmonman.core import order
from powmonman.server.budget import Budget, Pack, budget_of, warnings_of
from powmonman.server.prober import Asked, ask, ask_all
from powmonman.service.clock import boottime

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from powmonman.core.messages import Policy
    from powmonman.server.roster import Roster

log = logging.getLogger("powmonman.server")

ASK_EVERY = 1.0
# A host that is there, and that somebody waits for, is asked until it is known how it answers.
LEARN_EVERY, LEARN_EVERY_IN_PEACE = 10.0, 60.0
# The fleet is seldom all there before.
FIRST_CHECK, CHECK_EVERY = 10.0, 30.0


class Ordering:
    """Who waits for whom, who is down, and what is wrong with it.

    Args:
        active: Whether an outage or the operator's order is in progress.
        tell: Pushes the state to the clients with these names.
        found_down: Is given the name of a host that is down now, its outage, how that is known, and
            since when (CLOCK_BOOTTIME) it has not been connected.
        packs: The UPSes now.
        policy: The fleet's policy now.
        ask_one: Asks a host at an address, by the way in which it is known to answer.
    """

    def __init__(
        self,
        roster: Roster,
        *,
        active: Callable[[], bool],
        tell: Callable[[Iterable[str]], None],
        packs: Callable[[], Mapping[str, Pack]],
        policy: Callable[[], Policy],
        found_down: Callable[[str, str, str, float | None], None] = lambda *_: None,
        ask_one: Callable[[str, int | None], Awaitable[Asked]] = ask,
    ) -> None:
        self._roster = roster
        self._active = active
        self._tell = tell
        self._found_down = found_down
        self._packs = packs
        self._policy = policy
        self._ask_one = ask_one
        self._down = roster.down
        self._learned: dict[str, float] = {}
        self._sorted_at = -1
        self._askable: list[str] = []
        self._awaited: set[str] = set()
        self._waited_for = False
        self._check_at = boottime() + FIRST_CHECK
        self._checked: object = None
        self.warnings: list[str] = []

    async def run(self) -> None:
        """Ask hosts that hung up, about once a second, until cancelled."""
        while True:
            began = boottime()
            try:
                await self._round(began)
            except Exception:
                # Whoever waits in vain goes by his timeout; without a server nobody hears anything.
                log.exception("an error that nobody thought of; order goes on")
            await asyncio.sleep(max(0.1, ASK_EVERY - (boottime() - began)))

    async def _round(self, now: float) -> None:
        if hosts := self._wanted(now):
            for name, asked in (await ask_all(hosts, self._ask_one)).items():
                log.debug("%s %s: %s", name, asked.answer, asked.how, extra={"host": name})
                self._roster.asked(name, asked)
            self.look(hosts)
        # In an outage there are better things to do, and nobody could mend it.
        if boottime() >= self._check_at and not self._active():
            if self._grounds() != self._checked:
                self.check()
            self._check_at = boottime() + CHECK_EVERY

    def look(self, names: Iterable[str]) -> None:
        """Find whether these hosts are down now; whoever waits for them is told at once."""
        changed = set()
        for name in names:
            host = self._roster.hosts.get(name)
            why = host.down(self._roster.bounds) if host else ""
            if bool(why) == (name in self._down):
                continue
            changed.add(name)
            fields = {"host": name, "outage": host.outage if host else ""}
            if why:
                self._down[name] = why
                log.warning("%s is down: %s", name, why, extra=fields)
                if host is not None and not host.presence.dry_run:
                    self._found_down(name, host.outage, why, host.since)
            else:
                del self._down[name]
                log.warning("%s is not down any more", name, extra=fields)
        if changed:
            graph = self._roster.graph()
            self._tell([name for name, waits in graph.items() if not changed.isdisjoint(waits)])

    def check(self) -> None:
        """Look for what is wrong with the order, and log what is new."""
        self._checked = self._grounds()
        before, self.warnings = (
            self.warnings,
            warnings_of(self._roster, self._packs(), self._policy()),
        )
        for text in self.warnings:
            if text not in before:
                log.warning("order: %s", text)
        if before and not self.warnings:
            log.info("order: all that was wrong is mended")

    def _grounds(self) -> object:
        """Return what `warnings` rest on: adding it all up takes time in a large fleet."""
        packs = {
            name: (round(pack.battery.full_runtime), pack.battery.confirm, pack.known)
            for name, pack in self._packs().items()
        }
        return self._roster.changes, self._policy(), packs

    def budget(self) -> Budget:
        """Return what an outage now would do, in order."""
        return budget_of(self._roster, self._packs(), self._policy())

    def report(self, budget: Budget) -> dict[str, Any]:
        """Return what the report says of the order as a whole."""
        graph = self._roster.graph()
        path = order.critical_path(budget.turns)
        late = order.too_late(budget.hosts, budget.turns)
        return {
            "levels": order.levels(graph),
            "circles": order.cycles(graph),
            "settle": self._roster.bounds.settle,
            "gone_after": self._roster.bounds.gone_after,
            "critical": path,
            "down": budget.turns[path[-1]].down if path else None,
            "battery_ends": budget.hosts[path[-1]].ends if path else None,
            "too_late": late,
        }

    def _wanted(self, now: float) -> dict[str, tuple[str, int | None]]:
        """Return whom to ask, as address and way; those that somebody waits for come first."""
        if self._sorted_at != self._roster.changes:
            self._sort()
        active = self._active() or self._waited_for
        wanted: dict[str, tuple[str, int | None]] = {}
        others: dict[str, tuple[str, int | None]] = {}
        for name in self._askable:
            host = self._roster.hosts[name]
            if host.connected:
                if host.way is None and self._learns(name, now, active=active):
                    others[name] = (host.address, None)
            elif active and name in self._awaited:
                wanted[name] = (host.address, host.way)
            elif host.presence.going and name not in self._down:
                others[name] = (host.address, host.way)
        return wanted | others

    def _sort(self) -> None:
        """Find who may have to be asked; it stays so until something becomes known of a host."""
        hosts, self._sorted_at = self._roster.hosts, self._roster.changes
        self._awaited = {name for waits in self._roster.graph().values() for name in waits}
        self._waited_for = any(h.connected and h.status.phase == "waiting" for h in hosts.values())
        self._askable = [
            name
            for name, host in hosts.items()
            if host.address and (name in self._awaited or host.presence.going)
        ]

    def _learns(self, name: str, now: float, *, active: bool) -> bool:
        """Whether it is time to ask a host that is there; if so, that is noted."""
        every = LEARN_EVERY if active else LEARN_EVERY_IN_PEACE
        if now - self._learned.get(name, -every) < every:
            return False
        self._learned[name] = now
        return True
