"""The UPSes of one server: each has its monitor, which a reload starts, replaces or ends."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from powmonman import sensors
from powmonman.core.forecast import Battery
from powmonman.core.messages import UpsNews
from powmonman.core.outage import UNSETTLED
from powmonman.core.power import PowerState
from powmonman.server.budget import Pack
from powmonman.server.monitor import Monitor, supply_for
from powmonman.service.clock import boottime

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Coroutine, Iterator
    from typing import Any

    from powmonman.config.schema import ServerConfig
    from powmonman.core.outage import Supply
    from powmonman.server.memory import Memory


class Upses:
    """What watches them, and what they say.

    Args:
        memory: What an earlier process knew of them.
        changed: Is told of each change by the monitor that saw it.
        keep_running: Runs what must not end while the server does.
    """

    def __init__(
        self,
        memory: Memory,
        changed: Callable[[Monitor], Awaitable[None]],
        keep_running: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self.monitors: dict[str, Monitor] = {}
        self.watches: dict[str, asyncio.Task[None]] = {}
        self._memory = memory
        self._changed = changed
        self._keep_running = keep_running
        self._told: dict[str, UpsNews] = {}
        self._held: dict[str, UpsNews] = {}

    def watch(self, config: ServerConfig, before: ServerConfig | None = None) -> None:
        """Watch those of `config`, and no others; `before` is what was watched by so far.

        Who is configured as before is left alone, of others the outage and the budget go on.
        """
        for name in [name for name in self.monitors if name not in config.upses]:
            self.watches.pop(name).cancel()
            del self.monitors[name]
        same_rules = before is not None and (before.policy, before.refill_ratio) == (
            config.policy,
            config.refill_ratio,
        )
        for name, ups in config.upses.items():
            earlier = self.monitors.get(name)
            if earlier is not None and earlier.ups == ups and same_rules:
                continue
            if earlier is not None:
                self.watches.pop(name).cancel()
            sensor = sensors.create(ups)
            supply = supply_for(ups, sensor, config, earlier.supply if earlier else None)
            if earlier is None:
                supply = self._memory.recall(name, supply)
            monitor = Monitor(name, ups, sensor, supply, self._changed)
            self.monitors[name] = monitor
            self.watches[name] = self._keep_running(monitor.run())

    def supplies(self) -> dict[str, Supply]:
        """Return the UPSes as they are known."""
        return {name: monitor.supply for name, monitor in self.monitors.items()}

    def news(self) -> dict[str, UpsNews]:
        """Return what clients are told of them now."""
        now = boottime()
        fresh = {name: supply.news(now) for name, supply in self.supplies().items()}
        self._told = {name: self._held.get(name, news) for name, news in fresh.items()}
        return self._told

    @contextlib.contextmanager
    def untold(self, name: str) -> Iterator[None]:
        """Go on telling what was told last of one UPS, by heartbeats too, for the time being."""
        self._held[name] = self._told.get(name, UpsNews(PowerState.UNKNOWN, reason=UNSETTLED))
        try:
            yield
        finally:
            self._held.pop(name, None)

    def packs(self) -> dict[str, Pack]:
        """Return them as the budget of the order needs them."""
        now = boottime()
        return {
            name: Pack(
                Battery(monitor.supply.news(now), monitor.supply.full_runtime, monitor.ups.confirm),
                known=monitor.ups.runtime is not None or monitor.supply.measured is not None,
            )
            for name, monitor in self.monitors.items()
        }

    @property
    def in_outage(self) -> bool:
        """Whether an outage of any is in progress."""
        return any(supply.outage for supply in self.supplies().values())

    @property
    def looked_at(self) -> bool:
        """Whether every sensor was read lately."""
        return all(monitor.looking for monitor in self.monitors.values())
