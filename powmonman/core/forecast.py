"""What an outage that begins now would do to a host: each trigger, when it comes, and why.

The counted trigger, `after`, is certain. Those that rest on a battery are estimates: the charge is
taken to fall evenly, over the runtime that the UPS itself estimates, or else over the runtime that
the full battery is known or assumed to have. A UPS is right about that only under its present load.

For a host with several UPSes that is as in `feeds`: the host goes with the UPS whose end is its own
end, all of them losing the mains at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from powmonman.core.feeds import Triggers, drop_floor, feeding, host_power, triggers_of
from powmonman.core.power import PowerState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from powmonman.core.messages import Policy, UpsNews
    from powmonman.core.plan import Rules


@dataclass(frozen=True)
class Battery:
    """What is known of a UPS: the news of it, and what the server assumes.

    Attributes:
        full_runtime: Seconds that the full battery lasts.
        confirm: Seconds until its loss of the mains is believed.
    """

    news: UpsNews
    full_runtime: float
    confirm: float


@dataclass(frozen=True)
class Line:
    """One trigger: seconds after the loss, None where nobody can tell; and why."""

    trigger: str
    at: float | None
    why: str


@dataclass(frozen=True)
class Forecast:
    """What would become of a host.

    Attributes:
        lines: Every trigger, those that are off included.
        earliest: Seconds after the loss before which this host never commits.
        shutdown: Seconds after the loss at which it would, at the latest; None: never.
        by: The trigger that would be first.
        doubts: What keeps this from being sure, in words.
    """

    lines: tuple[Line, ...]
    earliest: float
    shutdown: float | None
    by: str
    doubts: tuple[str, ...] = ()


def forecast(batteries: Mapping[str, Battery], rules: Rules, fleet: Policy) -> Forecast:
    """Return what an outage of every UPS of this host, beginning now, would do to it."""
    triggers = triggers_of(rules, fleet)
    upses = {name: battery.news for name, battery in batteries.items()}
    names = feeding(upses, rules.upses)
    feeds = {name: batteries[name] for name in names if name in batteries}
    doubts = [f"the server watches no UPS {name!r}" for name in names if name not in batteries]
    doubts += [
        f"the power of {name} is unknown now ({battery.news.reason}): its loss would not be noticed"
        for name, battery in feeds.items()
        if battery.news.state is PowerState.UNKNOWN
    ]
    if len(names) < rules.min_supplies or len(feeds) + rules.min_supplies <= len(names):
        return Forecast((), 0.0, None, "", (*doubts, "this host would never count"))
    known = host_power(upses, rules)
    confirm = max(battery.confirm for battery in feeds.values())
    earliest = confirm + max(rules.min_observe, rules.confirm)
    lines = [_after(triggers, known.spent, fleet)]
    kinds = (_low_battery, _charge_below, _charge_drop, _runtime_below)
    by_ups: list[list[float | None]] = []
    for kind in kinds:
        found = [kind(name, battery, triggers) for name, battery in feeds.items()]
        lines.append(_of_host(found, rules, len(names)))
        by_ups.append([line.at for line in found])
    # One UPS may reach one trigger, and the next another: the host goes with the last of them.
    ends = [
        min((at for at in times if at is not None), default=None)
        for times in zip(*by_ups, strict=True)
    ]
    emptied = _nth(ends, rules, len(names))
    at, by = _left(triggers, known.spent), lines[0].trigger
    if emptied is not None and emptied < at:
        at = emptied
        by = next((line.trigger for line in lines if line.at == at), "what its UPSes reach first")
    return Forecast(tuple(lines), earliest, max(at, earliest), by, tuple(doubts))


def _left(triggers: Triggers, spent: float) -> float:
    return max(0.0, triggers.after - spent)


def _after(triggers: Triggers, spent: float, fleet: Policy) -> Line:
    why = "no battery spent"
    if spent >= 1:
        back = spent * fleet.refill_ratio
        why = f"{spent:.0f} s of battery are spent already, paid back in {back:.0f} s of good mains"
    return Line(f"after {triggers.after:g} s", _left(triggers, spent), why)


def _low_battery(name: str, _: Battery, triggers: Triggers) -> Line:
    if not triggers.low_battery:
        return Line("low battery", None, "off")
    return Line("low battery", None, f"when {name} says so while on battery")


def _charge_below(name: str, battery: Battery, triggers: Triggers) -> Line:
    trigger = f"charge below {triggers.charge_below:g} %"
    if not triggers.charge_below:
        return Line("charge below", None, "off")
    return _falling(trigger, name, battery, triggers.charge_below)


def _charge_drop(name: str, battery: Battery, triggers: Triggers) -> Line:
    if not triggers.charge_drop:
        return Line("charge drop", None, "off")
    trigger = f"charge drop {triggers.charge_drop:g}"
    floor = drop_floor(battery.news.charge, triggers)
    return _falling(trigger, name, battery, 0.0 if floor is None else floor)


def _falling(trigger: str, name: str, battery: Battery, floor: float) -> Line:
    charge, runtime = battery.news.charge, battery.news.runtime
    if charge is None:
        return Line(trigger, None, f"{name} tells no charge")
    if charge <= floor:
        return Line(trigger, 0.0, f"{name} is at {charge:.0f} % already")
    source = "as it estimates"
    if runtime is None:
        runtime, source = battery.full_runtime * charge / 100, "if it lasts as assumed"
    why = f"{name} falls from {charge:.0f} % to {floor:.0f} %, {source}"
    return Line(trigger, runtime * (charge - floor) / charge, why)


def _runtime_below(name: str, battery: Battery, triggers: Triggers) -> Line:
    if not triggers.runtime_below:
        return Line("runtime below", None, "off")
    trigger = f"runtime below {triggers.runtime_below:g} s"
    runtime = battery.news.runtime
    if runtime is None:
        return Line(trigger, None, f"{name} tells no runtime")
    left = max(0.0, runtime - triggers.runtime_below)
    return Line(trigger, left, f"{name} estimates {runtime:.0f} s now")


def _of_host(lines: Sequence[Line], rules: Rules, feeds: int) -> Line:
    """Return the line of the UPS with whose trigger the host's comes."""
    at = _nth([line.at for line in lines], rules, feeds)
    if at is None:
        unable = [line for line in lines if line.at is None]
        return (unable or lines)[0]
    return next(line for line in lines if line.at == at)


def _nth(times: Sequence[float | None], rules: Rules, feeds: int) -> float | None:
    known = sorted(at for at in times if at is not None)
    place = feeds - rules.min_supplies
    return known[place] if place < len(known) else None
