"""What is told of the configuration and the UPSes: to clients, and by `status` and `plan`."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from powmonman.config.notify_keys import Events
from powmonman.core.messages import Policy
from powmonman.core.records import to_json

if TYPE_CHECKING:
    from powmonman.config.schema import ServerConfig
    from powmonman.server.monitor import Monitor


def policy_of(config: ServerConfig) -> Policy:
    """Return the fleet's policy as clients are told it."""
    policy = config.policy
    return Policy(
        after=policy.after,
        refill_ratio=config.refill_ratio,
        charge_below=policy.charge_below,
        charge_drop=policy.charge_drop,
        runtime_below=policy.runtime_below,
        low_battery=policy.low_battery,
        restore_confirm=min((ups.restore_confirm for ups in config.upses.values()), default=5.0),
    )


def of_config(config: ServerConfig) -> dict[str, Any]:
    """Return what is configured; no secret, and no word of where one is."""
    notify = config.notify
    told = [part.name for part in fields(Events) if getattr(notify.events, part.name)]
    return {
        "fleet": config.fleet,
        "lease": config.lease,
        "notify": told if notify.enabled else [],
    }


def of_ups(monitor: Monitor, now: float) -> dict[str, Any]:
    """Return what is known of a UPS `now` (CLOCK_BOOTTIME), and what is assumed of it."""
    supply = monitor.supply
    return {
        **to_json(supply.news(now)),
        "full_runtime": supply.full_runtime,
        "repaying": supply.repaying,
        "recharge_reserve": monitor.ups.recharge_reserve,
        "confirm": monitor.ups.confirm,
        "sensor": monitor.sensor.describe(),
    }
