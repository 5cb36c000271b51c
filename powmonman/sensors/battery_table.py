"""Whether the mains are on, as a host's adapters and batteries tell: one table, and no I/O.

Adapters are supplies of type Mains, USB (all kinds), BrickID and Wireless that say whether they
are online. Batteries are of type Battery or UPS, and present. What is of scope Device (a mouse, a
headset, a graphics card's port) is neither.

| adapters            | batteries                              | mains                             |
|---------------------|----------------------------------------|-----------------------------------|
| one online          | any                                    | on                                |
| one online          | one Discharging                        | on; notice: a weak charger        |
| one online          | none                                   | on; notice: nothing to run on     |
| one can't be read   | any                                    | unknown                           |
| all offline         | one Discharging                        | off                               |
| all offline         | one Charging                           | unknown: a hidden charger         |
| all offline         | there were some, all gone              | unknown                           |
| all offline, proven | none, or Not charging / Full / Unknown | off; notice: by the adapter alone |
| all offline, else   | none, or Not charging / Full / Unknown | unknown                           |
| there was, now gone | one Discharging                        | off                               |
| there was, now gone | otherwise                              | unknown                           |
| never any           | one Discharging                        | off                               |
| never any           | one Charging / Full / Not charging     | on                                |
| never any           | all Unknown                            | unknown                           |
| never any           | none                                   | unknown                           |

*Proven* says when an adapter is evidence on its own: it is of type Mains, and has been seen online
since the start. A port of type USB that is offline says only that this port brings nothing: a
desktop whose graphics card has one has no outage. An adapter that was never online may be one that
this kernel can't read: many a laptop charges by USB-C while its AC says 0.

The charge is reported on mains too, low battery and runtime on battery only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from powmonman.core.power import Reading, unknown
from powmonman.sensors.battery_charge import condition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from powmonman.sensors.power_supply import PowerSupply

_AT_REST = frozenset({"Charging", "Full", "Not charging"})


@dataclass(frozen=True)
class Seen:
    """What earlier readings have shown: what a supply's absence or silence is worth.

    Attributes:
        adapter: There was one of type Mains.
        battery: There was one.
        proven: Names of the adapters of type Mains that were online.
    """

    adapter: bool = False
    battery: bool = False
    proven: frozenset[str] = frozenset()

    def and_now(self, supplies: Sequence[PowerSupply]) -> Seen:
        """Return what has been seen once `supplies` are."""
        online = (supply.name for supply in supplies if supply.is_mains and supply.online)
        return Seen(
            adapter=self.adapter or any(supply.is_mains for supply in supplies),
            battery=self.battery or any(supply.is_battery for supply in supplies),
            proven=self.proven.union(online),
        )


def decide(supplies: Sequence[PowerSupply], seen: Seen, low: float) -> Reading:
    """Return the reading of these supplies; the table above is its contract.

    Args:
        supplies: All that the kernel shows, in any order.
        seen: What the readings before have shown.
        low: Percent at or below which a battery is low that has no alarm of its own.
    """
    adapters = [supply for supply in supplies if supply.is_adapter]
    batteries = [supply for supply in supplies if supply.is_battery]
    mains, reason = (_by_adapters if adapters else _by_batteries)(adapters, batteries, seen)
    if mains is None:
        return unknown(reason)
    now = condition(batteries, low)
    return Reading(
        mains=mains,
        charge=now.charge,
        runtime=None if mains else now.runtime,
        low_battery=not mains and now.low,
        voltage=now.voltage,
        reason=reason,
    )


_Supplies = list["PowerSupply"]
_Verdict = tuple[bool | None, str]


def _by_adapters(adapters: _Supplies, batteries: _Supplies, seen: Seen) -> _Verdict:
    online = [adapter for adapter in adapters if adapter.online]
    if online:
        return True, _notice(online, batteries)
    if unreadable := [adapter for adapter in adapters if adapter.online is None]:
        return None, f"{_names(unreadable)}/online can't be read; see what the kernel says: dmesg"
    return _all_offline(adapters, batteries, seen)


def _all_offline(adapters: _Supplies, batteries: _Supplies, seen: Seen) -> _Verdict:
    if _doing(batteries, "Discharging"):
        return False, ""
    offline = f"{_names(adapters)} offline"
    if charging := _doing(batteries, "Charging"):
        return None, (
            f"{offline}, yet {_names(charging)} charges; if this lasts, the kernel doesn't show "
            "the charger: name the adapters in `ignore`, or use another sensor"
        )
    if seen.battery and not batteries:
        return None, f"{offline} and the battery is gone; put it back, or see dmesg"
    mains = [adapter.name for adapter in adapters if adapter.is_mains]
    if seen.proven.intersection(mains):
        return False, f"{offline}; no battery says that it discharges"
    if mains:
        mend = "plug the adapter in once, so that its word counts, or use another sensor"
    else:
        mend = "an empty port proves nothing: if this lasts, use another sensor"
    return None, f"{offline}, yet no battery discharges; {mend}"


def _by_batteries(_: _Supplies, batteries: _Supplies, seen: Seen) -> _Verdict:
    if _doing(batteries, "Discharging"):
        return False, ""
    if seen.adapter:
        return None, "the adapter is gone from the kernel's list; see what it says: dmesg"
    if not batteries and seen.battery:
        return None, "the battery is gone; put it back, or see what the kernel says: dmesg"
    if not batteries:
        return None, (
            "the kernel shows neither a battery nor an adapter of this host; "
            "use another sensor: gpio, nut, apcupsd"
        )
    if any(battery.status in _AT_REST for battery in batteries):
        return True, ""
    return None, (
        f"there is no adapter, and {_names(batteries)} does not say what it does; "
        "use another sensor, or a kernel whose driver knows"
    )


def _notice(online: _Supplies, batteries: _Supplies) -> str:
    if not batteries:
        return "the kernel shows no battery: this host goes down with the mains"
    if discharging := _doing(batteries, "Discharging"):
        return (
            f"{_names(discharging)} discharges with {_names(online)} online: "
            "a charger too weak, or one that is always online"
        )
    return ""


def _doing(batteries: _Supplies, status: str) -> _Supplies:
    return [battery for battery in batteries if battery.status == status]


def _names(supplies: _Supplies) -> str:
    return ", ".join(supply.name for supply in supplies)
