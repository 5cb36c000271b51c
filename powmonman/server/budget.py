"""Whether a shutdown in order fits into the batteries: the plan of a fleet, host by host."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from powmonman.core import order
from powmonman.core.feeds import feeding
from powmonman.core.forecast import Battery, forecast
from powmonman.core.messages import UpsNews
from powmonman.core.order import ASSUMED_TAKES, Going, Turn
from powmonman.core.power import PowerState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from powmonman.core.messages import Policy
    from powmonman.core.plan import Rules
    from powmonman.server.roster import Host, Roster

MOST_WARNINGS = 20


@dataclass(frozen=True)
class Pack:
    """A UPS: what is known of it now, and whether its full runtime is more than a guess."""

    battery: Battery
    known: bool


@dataclass(frozen=True)
class Budget:
    """What an outage of all UPSes would do to the fleet, in order."""

    hosts: dict[str, Going]
    turns: dict[str, Turn]

    def row(self, name: str) -> dict[str, Any] | None:
        """Return what the report says of one host; times are seconds after the loss.

        None: nobody knows what it would do, or it is down.
        """
        if name not in self.hosts:
            return None
        going, turn = self.hosts[name], self.turns[name]
        return {
            "commits": turn.commits,
            "down": turn.down,
            "after": turn.after,
            "times_out": turn.times_out,
            "takes": going.takes,
            "measured": going.measured,
            "battery_ends": going.ends,
        }


def budget_of(
    roster: Roster, packs: Mapping[str, Pack], policy: Policy, *, full: bool = False
) -> Budget:
    """Return what an outage now would do; `full`: one that finds the batteries full."""
    if full:
        packs = {name: replace(pack, battery=_full(pack.battery)) for name, pack in packs.items()}
    down = {} if full else roster.down
    hosts = {}
    for name, host in roster.hosts.items():
        # Of who was never seen nobody knows whether it goes: whoever waits for it waits in vain.
        if host.hello is None or (name in down and not host.connected):
            continue
        waits = tuple(each for each in roster.waits_for(name) if each not in down)
        hosts[name] = replace(
            _going(host, packs, policy), wait_for=waits, wait_timeout=roster.wait_timeout(name)
        )
    return Budget(hosts, order.schedule(hosts, roster.bounds.settle))


def warnings_of(roster: Roster, packs: Mapping[str, Pack], policy: Policy) -> list[str]:
    """Return what is wrong with the order of a fleet that starts with full batteries."""
    graph = roster.graph()
    known = {name for name, host in roster.hosts.items() if host.since is not None}
    found = [
        f"{fault.text}: that wait ends by its timeout only"
        for fault in order.faults(graph, {*roster.hosts})
    ]
    found += [
        f"{name} waits for {each}, which has never been connected: nobody can tell whether it is "
        "down, so that wait ends by its timeout only"
        for name, waits in sorted(graph.items())
        for each in waits
        if each in roster.hosts and each not in known and name in known
    ]
    budget = budget_of(roster, packs, policy, full=True)
    for name, awaited in order.futile(budget.hosts, budget.turns):
        found.append(
            f"{name} waits for {awaited} in vain: {_goes(budget.turns[awaited])}, and {name} "
            f"waits no longer than {budget.hosts[name].wait_timeout:g} s"
        )
    for name in order.too_late(budget.hosts, budget.turns):
        if text := _too_late(name, budget, roster, packs):
            found.append(text)
    return found[:MOST_WARNINGS]


def _going(host: Host, packs: Mapping[str, Pack], policy: Policy) -> Going:
    hello = host.hello
    assert hello is not None  # noqa: S101 - the caller has looked
    batteries = {name: pack.battery for name, pack in packs.items()}
    return Going(
        earliest=forecast(batteries, hello, policy).shutdown,
        takes=ASSUMED_TAKES if host.takes is None else host.takes,
        ends=_ends(batteries, hello),
        measured=host.takes is not None,
    )


def _ends(batteries: Mapping[str, Battery], rules: Rules) -> float | None:
    """Return when a host loses power: with the UPS whose end is its own end."""
    news = {name: battery.news for name, battery in batteries.items()}
    names = feeding(news, rules.upses)
    ends = sorted(_left(batteries[name]) for name in names if name in batteries)
    place = len(names) - rules.min_supplies
    return ends[place] if 0 <= place < len(ends) else None


def _left(battery: Battery) -> float:
    news = battery.news
    if news.runtime is not None:
        return news.runtime
    if news.charge is not None:
        return battery.full_runtime * news.charge / 100
    return max(0.0, battery.full_runtime - news.spent)


def _full(battery: Battery) -> Battery:
    known = battery.news.charge is not None
    news = UpsNews(
        PowerState.ON_MAINS,
        charge=100.0 if known else None,
        runtime=battery.full_runtime if battery.news.runtime is not None else None,
    )
    return replace(battery, news=news)


def _too_late(name: str, budget: Budget, roster: Roster, packs: Mapping[str, Pack]) -> str:
    """Say that a host does not make it; of guesses alone about a single host say nothing."""
    path = order.path_to(budget.turns, name)
    host = roster.hosts[name]
    feeds = (host.hello.upses if host.hello else ()) or tuple(packs)
    sure = all(packs[each].known for each in feeds if each in packs)
    chained = len(path) > 1 or budget.turns[name].times_out
    if not (chained or budget.hosts[name].measured or sure):
        return ""
    guessed = [each for each in path if not budget.hosts[each].measured]
    going, turn = budget.hosts[name], budget.turns[name]
    text = (
        f"{name} would be down {turn.down:.0f} s after the loss, but {' and '.join(feeds)} "
        f"{'lasts' if len(feeds) == 1 else 'last'} {going.ends:.0f} s"
        f"{'' if sure else ' (assumed)'}"
    )
    if len(path) > 1:
        text += f": {' waits for '.join(reversed(path))}"
    elif turn.times_out:
        text += f": it waits {going.wait_timeout:g} s for {', '.join(going.wait_for)}"
    if guessed:
        text += f" (a shutdown of {', '.join(guessed)} is taken to last {ASSUMED_TAKES:g} s)"
    return text


def _goes(turn: Turn) -> str:
    if turn.commits is None:
        return "that host would stay up"
    return f"that host goes {turn.commits:.0f} s after the loss"
