"""What `order` of server.yml says that can't be: circles, strangers, waits that outlast a battery.

What a shutdown takes is not known here: `ASSUMED_TAKES` is taken for each. The running server
knows what was measured, and says then what does not fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from powmonman.config.order_keys import Place
from powmonman.config.relations import Problem
from powmonman.config.scalars import listed, shown
from powmonman.config.sources import KNOW_BATTERIES, sources
from powmonman.config.suggest import nearest
from powmonman.core import order
from powmonman.core.forecast import Battery, forecast
from powmonman.core.messages import Policy, UpsNews
from powmonman.core.order import ASSUMED_TAKES, Going
from powmonman.core.plan import Rules
from powmonman.core.power import PowerState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from powmonman.config.faults import KeyPath
    from powmonman.config.schema import ServerConfig
    from powmonman.config.sources import Ups
    from powmonman.core.order import Turn

_HOSTS: KeyPath = ("order", "hosts")


def problems_of_order(server: ServerConfig) -> Iterator[Problem]:
    """List what is wrong with the order of a fleet."""
    if server.order.gone_after < server.order.settle:
        yield Problem(
            (("order", "gone_after"), ("order", "settle")),
            f"is {shown(server.order.gone_after)}, but must be at least settle "
            f"({shown(server.order.settle)}): who says nothing must be silent for longer",
        )
    places = server.order.hosts
    if not places:
        return
    tangled = False
    for problem in (*_strangers(server), *_circles(places)):
        tangled = True
        yield problem
    if not tangled and server.upses:
        yield from _times(server)


def _strangers(server: ServerConfig) -> Iterator[Problem]:
    """Names that are in no certificate would be waited for in vain."""
    if not server.clients:
        return
    for name, place in server.order.hosts.items():
        if name not in server.clients:
            yield Problem(((*_HOSTS, name), ("clients",)), _unknown(name, server.clients))
        for index, awaited in enumerate(place.wait_for):
            if awaited not in server.clients:
                path = (*_HOSTS, name, "wait_for", index)
                yield Problem((path, ("clients",)), _unknown(awaited, server.clients))


def _unknown(name: str, clients: tuple[str, ...]) -> str:
    close = nearest(name, clients)
    remark = f" (did you mean {listed(close)}?)" if close else ""
    return f"'{name}' is not in clients{remark}"


def _circles(places: Mapping[str, Place]) -> Iterator[Problem]:
    graph = {name: place.wait_for for name, place in places.items()}
    for fault in order.faults(graph):
        index = graph[fault.host].index(fault.awaited)
        yield Problem(
            ((*_HOSTS, fault.host, "wait_for", index),),
            f"{fault.text}: such a wait ends by wait_timeout only",
        )


def _times(server: ServerConfig) -> Iterator[Problem]:
    hosts = _goings(server)
    turns = order.schedule(hosts, server.order.settle)
    for name, awaited in order.futile(hosts, turns):
        yield _futile(server, hosts[name], turns[awaited], name, awaited)
    late = set(order.too_late(hosts, turns))
    for name, place in server.order.hosts.items():
        going, turn = hosts[name], turns[name]
        if not place.wait_for or going.earliest is None or going.ends is None:
            continue
        paths, lasts, guessed = _battery(server)
        path = order.path_to(turns, name)
        if name in late and len(path) > 1:
            yield Problem(
                ((*_HOSTS, name, "wait_for"), *paths),
                f"{' waits for '.join(reversed(path))}: {name} would be down "
                f"{turn.down:.0f} s after the loss, with {shown(ASSUMED_TAKES)} s for each "
                f"shutdown, but {lasts}",
                warning=guessed,
            )
            continue
        last = going.earliest + going.wait_timeout + going.takes
        if last > going.ends:
            room = going.ends - going.earliest - going.takes
            cure = f"at most {shown(room // 1)} would fit" if room >= 0 else "let it go sooner"
            yield Problem(
                ((*_HOSTS, name, "wait_timeout"), (*_HOSTS, name), *paths),
                f"is {shown(going.wait_timeout)}: waiting so long, {name} would be down "
                f"{last:.0f} s after the loss, with {shown(ASSUMED_TAKES)} s for the shutdown "
                f"itself, but {lasts}: {cure}",
                warning=guessed,
            )


def _futile(server: ServerConfig, going: Going, turn: Turn, name: str, awaited: str) -> Problem:
    index = server.order.hosts[name].wait_for.index(awaited)
    over = (going.earliest or 0.0) + going.wait_timeout
    goes = "never goes" if turn.commits is None else f"goes {turn.commits:.0f} s after the loss"
    return Problem(
        ((*_HOSTS, name, "wait_for", index), (*_HOSTS, name, "wait_timeout")),
        f"is in vain: {awaited} {goes}, and {name} waits until {over:.0f} s only. Raise its "
        f"wait_timeout, or let {awaited} go sooner (its own time stands in order.hosts.{awaited}."
        "after too)",
    )


def _goings(server: ServerConfig) -> dict[str, Going]:
    batteries = {name: _full(ups, server) for name, ups in server.upses.items()}
    ends = max(battery.full_runtime for battery in batteries.values())
    policy = Policy(
        after=server.policy.after,
        refill_ratio=server.refill_ratio,
        charge_below=server.policy.charge_below,
        charge_drop=server.policy.charge_drop,
        runtime_below=server.policy.runtime_below,
        low_battery=server.policy.low_battery,
    )
    places = server.order.hosts
    names = {*places, *(each for place in places.values() for each in place.wait_for)}
    found = {}
    for name in sorted(names):
        place = places.get(name, Place())
        found[name] = Going(
            earliest=forecast(batteries, Rules(after=place.after), policy).shutdown,
            wait_for=place.wait_for,
            wait_timeout=place.wait_timeout,
            ends=ends,
        )
    return found


def _full(ups: Ups, server: ServerConfig) -> Battery:
    runtime = ups.runtime or 2 * server.policy.after
    known = any(source.sensor in KNOW_BATTERIES for _, source in sources(ups))
    news = UpsNews(
        PowerState.ON_MAINS,
        charge=100.0 if known else None,
        runtime=runtime if known else None,
    )
    return Battery(news, runtime, ups.confirm)


def _battery(server: ServerConfig) -> tuple[tuple[KeyPath, ...], str, bool]:
    """Return the keys, the words, and whether the runtime that ends last is but a guess.

    Which UPS feeds a host stands in its own file: the one that lasts longest is taken.
    """
    lasting = {name: ups.runtime or 2 * server.policy.after for name, ups in server.upses.items()}
    name = max(lasting, key=lambda each: lasting[each])
    guessed = server.upses[name].runtime is None
    source = "twice policy.after: set its runtime" if guessed else f"upses.{name}.runtime"
    return (
        (("upses", name, "runtime"),),
        f"{name} lasts {shown(lasting[name])} s ({source})",
        guessed,
    )
