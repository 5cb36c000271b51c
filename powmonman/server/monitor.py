"""From a sensor to the state of its UPS: polls, debounces, and says when something changed."""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from powmonman.core.outage import UNSETTLED, Supply
from powmonman.core.power import Debounce, PowerState, Reading, unknown
from powmonman.sensors import pause
from powmonman.service.clock import boottime

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from powmonman.config.schema import ServerConfig, Ups
    from powmonman.sensors import Sensor

log = logging.getLogger("powmonman.server")


def supply_for(
    ups: Ups, sensor: Sensor, config: ServerConfig, earlier: Supply | None = None
) -> Supply:
    """Return what the configuration makes of a UPS; a reload keeps the outage and the budget."""
    debounce = Debounce(
        confirm=ups.confirm,
        restore_confirm=ups.restore_confirm,
        max_gap=max(3.0, 4 * sensor.poll),
    )
    runtime = ups.runtime or 2 * config.policy.after
    if earlier is None:
        return Supply(debounce=debounce, runtime=runtime, refill_ratio=config.refill_ratio)
    return replace(
        earlier,
        debounce=replace(debounce, state=earlier.state),
        runtime=runtime,
        spent=min(runtime, earlier.spent),
        refill_ratio=config.refill_ratio,
    )


class Monitor:
    """Watches one UPS."""

    def __init__(
        self,
        name: str,
        ups: Ups,
        sensor: Sensor,
        supply: Supply,
        changed: Callable[[Monitor], Awaitable[None]],
    ) -> None:
        self.name = name
        self.ups = ups
        self.sensor = sensor
        self.supply = supply
        self._changed = changed

    @property
    def looking(self) -> bool:
        """Whether the sensor was looked at lately; the watchdog restarts a server that stopped."""
        longest = self.sensor.poll + 2 * self.sensor.patience + 1
        return self.supply.at is None or boottime() - self.supply.at < longest

    async def run(self) -> None:
        """Watch until cancelled. A sensor's fault is a reading, never the end."""
        log.info("%s: %s", self.name, self.sensor.describe(), extra={"ups": self.name})
        try:
            while True:
                await self._look()
                await pause(self.sensor)
        finally:
            self.sensor.close()

    async def _look(self) -> None:
        before = self.supply
        reading = await self._guarded(self.sensor.read())
        self.supply = before.observe(reading, boottime(), secrets.token_hex(16))
        if self.supply.debounce.wants_verify:
            closer = await self._guarded(self.sensor.verify())
            self.supply = self.supply.verified(closer, boottime(), secrets.token_hex(16))
        after = self.supply
        if (before.state, before.outage) != (after.state, after.outage) or (
            after.state is PowerState.UNKNOWN and before.reading.reason != after.reading.reason
        ):
            self._say(before)
            await self._changed(self)

    async def _guarded(self, reading: Awaitable[Reading]) -> Reading:
        try:
            # Not wait_for(): in Python 3.11 it may swallow the end of this task.
            async with asyncio.timeout(self.sensor.patience):
                return await reading
        except TimeoutError:
            return unknown(f"the sensor did not answer within {self.sensor.patience:.0f} s")
        except Exception as error:
            log.debug("sensor of %s failed", self.name, exc_info=True)
            return unknown(f"the sensor failed: {type(error).__name__}: {error}")

    def _say(self, before: Supply) -> None:
        after = self.supply
        outage = after.outage or before.outage
        extra = {"ups": self.name, "outage": outage.id if outage else ""}
        named = f" · outage {outage.id[:4]}" if outage else ""
        if after.state is PowerState.ON_BATTERY:
            spent = f"{after.spent:.0f} s of {after.runtime:.0f} s of battery spent"
            log.warning("%s: on battery%s · %s", self.name, named, spent, extra=extra)
        elif after.state is PowerState.ON_MAINS:
            lasted = f" is over after {boottime() - outage.began:.0f} s" if outage else ""
            log.info("%s: on mains%s%s", self.name, named, lasted, extra=extra)
        else:
            reason = after.reading.reason or UNSETTLED
            level = logging.WARNING if after.reading.mains is None else logging.INFO
            log.log(level, "%s: power unknown%s · %s", self.name, named, reason, extra=extra)
