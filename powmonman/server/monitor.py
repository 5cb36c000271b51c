"""From a sensor to the state of its UPS: polls, debounces, and says when something changed."""

from __future__ import annotations

import logging
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from powmonman.core.outage import UNSETTLED, Supply
from powmonman.core.power import Debounce, PowerState
from powmonman.sensors import pause
from powmonman.sensors.guard import guarded
from powmonman.service.clock import boottime

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from powmonman.config.schema import ServerConfig
    from powmonman.config.sources import Ups
    from powmonman.sensors import Sensor

log = logging.getLogger("powmonman.server")

# One with a number in it is a new one each time.
MOST_NOTICES = 20
# Seconds: a clock that wakes us a little too soon must not keep us busy.
SHORTEST = 0.001


def supply_for(
    ups: Ups, sensor: Sensor, config: ServerConfig, earlier: Supply | None = None
) -> Supply:
    """Return what the configuration makes of a UPS; a reload keeps the outage and the budget."""
    debounce = Debounce(
        confirm=ups.confirm,
        restore_confirm=ups.restore_confirm,
        max_gap=max(3.0, 4 * sensor.poll),
        verify_takes=sensor.verify_takes,
    )
    supply = replace(
        earlier or Supply(),
        debounce=replace(debounce, state=earlier.state) if earlier else debounce,
        runtime=ups.runtime or 2 * config.policy.after,
        measures=ups.runtime is None,
        measured=earlier.measured if earlier and ups.runtime is None else None,
        least_runtime=config.policy.after,
        refill_ratio=config.refill_ratio,
        recharge_reserve=ups.recharge_reserve,
    )
    return replace(supply, spent=min(supply.full_runtime, supply.spent))


def _told(supply: Supply) -> tuple[object, ...]:
    """Return what is told at once when it changes; everything else waits for the next beat."""
    unknown_why = supply.reading.reason if supply.state is PowerState.UNKNOWN else ""
    outage = supply.outage.id if supply.outage else ""
    # On mains it is nobody's trigger.
    low = supply.state is PowerState.ON_BATTERY and supply.gauge.low_battery
    return supply.state, outage, low, unknown_why


def charged(supply: Supply) -> str:
    """Say what is known of the battery, for a line of the log."""
    gauge = supply.gauge
    parts = (
        ("charge", gauge.charge, "%.0f %%"),
        ("runtime", gauge.runtime, "%.0f s"),
        ("voltage", gauge.voltage, "%.1f V"),
    )
    known = [f"{what} {form % value}" for what, value, form in parts if value is not None]
    return f" · {', '.join(known)}" if known else ""


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
        self._noticed: set[str] = set()

    @property
    def looking(self) -> bool:
        """Whether the sensor was looked at lately; the watchdog restarts a server that stopped."""
        longest = self.sensor.poll + 2 * self.sensor.patience + 1
        return self.supply.at is None or boottime() - self.supply.at < longest

    async def run(self) -> None:
        """Watch until cancelled. A sensor's fault is a reading, never the end."""
        log.info("%s: %s", self.name, self.sensor.describe(), extra={"ups": self.name})
        try:
            between = False
            while True:
                await self._look(between=between)
                # A change that is due sooner than the next poll does not wait for it, nor one that
                # has become due since the look.
                left = self.supply.debounce.settles_at - boottime()
                sooner = left < self.sensor.poll
                seconds = max(left, SHORTEST) if sooner else self.sensor.poll
                between = not await pause(self.sensor, seconds) and sooner
        finally:
            self.sensor.close()

    async def _look(self, *, between: bool = False) -> None:
        before = self.supply
        reading = await guarded(self.sensor.read, self.sensor.patience)
        self.supply = before.observe(reading, boottime(), secrets.token_hex(16), between=between)
        if self.supply.debounce.wants_verify:
            closer = await guarded(self.sensor.verify, self.sensor.patience)
            self.supply = self.supply.verified(closer, boottime(), secrets.token_hex(16))
        if _told(before) != _told(self.supply):
            self._say(before)
            await self._changed(self)
        self._notice()

    def _notice(self) -> None:
        """Log what a UPS that is known wants of the operator: once, until its state changes."""
        notice = self.supply.reading.reason
        if self.supply.state is PowerState.UNKNOWN or not notice or notice in self._noticed:
            return
        if len(self._noticed) >= MOST_NOTICES:
            return
        self._noticed.add(notice)
        log.warning("%s: %s", self.name, notice, extra={"ups": self.name})

    def _say(self, before: Supply) -> None:
        after = self.supply
        if before.state is not after.state:
            self._noticed.clear()
        outage = after.outage or before.outage
        extra = {"ups": self.name, "outage": outage.id if outage else ""}
        named = f" · outage {outage.id[:4]}" if outage else ""
        if after.state is PowerState.ON_BATTERY:
            spent = f"{after.spent:.0f} s of {after.full_runtime:.0f} s of battery spent"
            low = " · LOW BATTERY" if after.gauge.low_battery else ""
            text = f"{named}{charged(after)} · {spent}{low}"
            log.warning("%s: on battery%s", self.name, text, extra=extra)
        elif after.state is PowerState.ON_MAINS:
            lasted = f" is over after {boottime() - outage.began:.0f} s" if outage else ""
            log.info("%s: on mains%s%s", self.name, named, lasted, extra=extra)
        else:
            reason = after.reading.reason or UNSETTLED
            level = logging.WARNING if after.reading.mains is None else logging.INFO
            log.log(level, "%s: power unknown%s · %s", self.name, named, reason, extra=extra)
