"""The UPSes that feed a host, as one: whether it is on battery, and whether a trigger has come.

Rules, for a host that needs `min_supplies` of the UPSes that feed it:

1. On battery: even if every unknown UPS were good, fewer than `min_supplies` are. On mains: that
   many are known to be good. Anything else is unknown, with the reason.
2. A UPS is *spent up* when it is on battery and a trigger that rests on its battery holds. A
   trigger of the host has come when even if every other UPS lasted, fewer than `min_supplies`
   would: the host goes with the UPS whose end is its own end.
3. A trigger needs the UPS to say *on battery* at the same time. On mains, low battery and an empty
   charge are news for the operator and nothing else.

| trigger         | of a UPS on battery, holds when                                          |
|-----------------|--------------------------------------------------------------------------|
| `low_battery`   | it says that its battery is low                                          |
| `charge_below`  | its charge is below that many percent                                    |
| `charge_drop`   | that share of the charge that it had when the outage began is used up    |
| `runtime_below` | its own estimate of the runtime left is below that many seconds          |

What it does not know can trigger nothing. `after` is not here: it is counted by the client itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from powmonman.core.messages import UpsNews
from powmonman.core.power import PowerState
from powmonman.core.records import LONGEST_TEXT

# It is part of other texts, which must fit into a record.
LONGEST_TRIGGER = 400

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from powmonman.core.messages import Policy
    from powmonman.core.plan import Rules


@dataclass(frozen=True)
class Triggers:
    """A host's own policy where it has one, the fleet's elsewhere; 0 is off."""

    after: float
    charge_below: float = 0.0
    charge_drop: float = 0.0
    runtime_below: float = 0.0
    low_battery: bool = True


def triggers_of(rules: Rules, fleet: Policy) -> Triggers:
    """Return what is in force for a host with these `rules` in a fleet with this policy."""

    def own(value: float | None, fallback: float) -> float:
        return fallback if value is None else value

    return Triggers(
        after=own(rules.after, fleet.after),
        charge_below=own(rules.charge_below, fleet.charge_below),
        charge_drop=own(rules.charge_drop, fleet.charge_drop),
        runtime_below=own(rules.runtime_below, fleet.runtime_below),
        low_battery=fleet.low_battery if rules.low_battery is None else rules.low_battery,
    )


def tripped(news: UpsNews, triggers: Triggers) -> str:
    """Return which trigger holds for this UPS, in words; empty if none does."""
    if news.state is not PowerState.ON_BATTERY:
        return ""
    charge, start, runtime = news.charge, news.charge_at_start, news.runtime
    if triggers.low_battery and news.low_battery:
        return "low battery"
    if charge is not None and charge < triggers.charge_below:
        return f"charge {charge:.0f} %, below {triggers.charge_below:g} %"
    floor = drop_floor(start, triggers)
    if charge is not None and floor is not None and charge <= floor:
        return f"charge {charge:.0f} %, down from {start:.0f} % when the outage began"
    if runtime is not None and runtime < triggers.runtime_below:
        return f"runtime {runtime:.0f} s, below {triggers.runtime_below:g} s"
    return ""


def drop_floor(start: float | None, triggers: Triggers) -> float | None:
    """Return the charge at which `charge_drop` comes, in percent; None if it can't."""
    if start is None or not triggers.charge_drop:
        return None
    return start * (1 - triggers.charge_drop)


def host_tripped(upses: Mapping[str, UpsNews], rules: Rules, triggers: Triggers) -> str:
    """Return which trigger has come for this host, and at which UPS; empty if none has."""
    feeds = feeding(upses, rules.upses)
    spent_up = {
        name: why
        for name, news in feeds.items()
        if news is not None and (why := tripped(news, triggers))
    }
    if len(feeds) - len(spent_up) >= rules.min_supplies:
        return ""
    return "; ".join(f"{name}: {why}" for name, why in spent_up.items())[:LONGEST_TRIGGER]


def feeding(upses: Mapping[str, UpsNews], names: Iterable[str]) -> dict[str, UpsNews | None]:
    """Return the UPSes that feed a host, by name; None stands for one that nobody watches."""
    return {name: upses.get(name) for name in names or sorted(upses)}


def host_power(upses: Mapping[str, UpsNews], rules: Rules) -> UpsNews:
    """Fold the UPSes that feed this host into one.

    What is spent is the budget of the UPS whose end is the host's end.
    """
    feeds = feeding(upses, rules.upses)
    missing = [name for name, news in feeds.items() if news is None]
    known = [news for news in feeds.values() if news is not None]
    good = sum(news.state is PowerState.ON_MAINS for news in known)
    bad = [news for news in known if news.state is PowerState.ON_BATTERY]
    reasons = [f"the server watches no UPS {name!r}" for name in missing]
    # A UPS that is known may have a notice for the operator, who gets it from the server.
    reasons += [
        f"{name}: {news.reason}"
        for name, news in feeds.items()
        if news is not None and news.state is PowerState.UNKNOWN and news.reason
    ]
    if len(feeds) > 1 and not rules.upses:
        # Fed by one of them only, it would stay up when that one alone is on battery.
        reasons.append(
            f"the server watches {', '.join(feeds)}, and upses names none as this host's"
        )
    if len(feeds) < rules.min_supplies:
        state = PowerState.UNKNOWN
        reasons.append(f"{len(feeds)} UPSes can't be {rules.min_supplies} supplies")
    elif good >= rules.min_supplies:
        state = PowerState.ON_MAINS
    elif len(feeds) - len(bad) < rules.min_supplies:
        state = PowerState.ON_BATTERY
    else:
        state = PowerState.UNKNOWN
    spent = sorted(news.spent for news in known)
    latest = min(bad, key=lambda news: news.age, default=None)
    return UpsNews(
        state=state,
        outage=latest.outage if latest else "",
        age=latest.age if latest else 0.0,
        spent=spent[min(rules.min_supplies, len(spent)) - 1] if spent else 0.0,
        reason="; ".join(reasons)[:LONGEST_TEXT],
    )
