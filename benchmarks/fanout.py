"""From the loss of the mains to the last client told, and back; NUT with upsmon beside it.

No debounce on either side: ours is set to 0 s, NUT has none. A run begins when the file that the
sensor reads has been replaced, at a random moment of every interval that plays a part, and ends
when the last client has the state, decrypted and read; of NUT, when the last upsmon has run its
NOTIFYCMD, which is its first sign.
"""

from __future__ import annotations

import random
import sys
import time
from typing import TYPE_CHECKING

from . import nut
from .fleet import Fleet
from .growth import LINEAR, exponent
from .result import Goal, Result, Series
from .swarm import Swarm

if TYPE_CHECKING:
    from collections.abc import Callable

LOSS, RETURN = "loss to last client told", "return to last client told"
# How often the sensor is read, in seconds; `detection` says what that costs.
POLL = 0.01
PATIENCE = 60.0
# Over the second in which the server looks around, so that its phase is another one in each run.
PAUSE = (0.2, 1.2)
# For each client beside: its acknowledgement of the change before takes about half of that. In an
# outage the mains don't flap faster than they are confirmed.
SETTLE = 0.001
# By clients: how often the mains are lost, and return.
RUNS = {1: 20, 100: 40, 1000: 30, 5000: 8}
QUICK_RUNS = {100: 4}
NUT_RUNS = {nut.FASTEST: {1: 6, 20: 5, 100: 8}, nut.DEFAULT: {1: 4, 20: 3, 100: 5}}
QUICK_NUT_RUNS = {nut.FASTEST: {20: 1}}
# Milliseconds that the last of so many clients may wait, in 99 of 100 runs.
BOUNDS = {100: 100.0, 1000: 500.0}
# How many times faster than NUT at 100 clients.
RATIOS = {nut.FASTEST: 10.0, nut.DEFAULT: 40.0}
COMPARED = 100


def run(*, quick: bool) -> Result:
    """Measure ours for each number of clients, then NUT's."""
    series: list[Series] = []
    for clients, runs in (QUICK_RUNS if quick else RUNS).items():
        series += _ours(clients, runs)
    left_out: tuple[str, ...] = ()
    versions: dict[str, str] = {}
    if why := nut.missing():
        left_out = (why,)
    else:
        versions = nut.versions()
        for settings, by_clients in (QUICK_NUT_RUNS if quick else NUT_RUNS).items():
            series += _nuts(settings, by_clients)
    found = Result("fanout", tuple(series), left_out=left_out, versions=versions)
    note = (
        "Our light clients live in one process beside the server: the time that they take to read "
        "what they are told, one after the other, is part of the figures."
    )
    return Result(
        "fanout",
        found.series,
        goals=(*_bounds(found), *_ratios(found), *_growth(found)),
        notes=(note,),
        left_out=left_out,
        versions=versions,
    )


def _ours(clients: int, runs: int) -> list[Series]:
    _progress(f"{clients} clients: gathering")
    lost, back = [], []
    with Fleet(clients=clients, poll=POLL) as fleet, Swarm(fleet, processes=1) as swarm:
        swarm.gather()
        for at in range(runs):
            _progress(f"{clients} clients: run {at + 1} of {runs}")
            lost.append(_told(swarm, "on_battery", fleet.lose_mains))
            back.append(_told(swarm, "on_mains", fleet.restore_mains))
    return [
        Series(LOSS, "ms", tuple(lost), n=clients),
        Series(RETURN, "ms", tuple(back), n=clients),
    ]


def _told(swarm: Swarm, power: str, change: Callable[[], float]) -> float:
    """Return how many milliseconds after the `change` the last client was told."""
    time.sleep(len(swarm.names) * SETTLE + random.uniform(*PAUSE))  # noqa: S311 (no secret)
    swarm.expect("power", power)
    began = change()
    return (max(swarm.moments(PATIENCE).values()) - began) * 1000


def _nuts(settings: nut.Settings, by_clients: dict[int, int]) -> list[Series]:
    series = []
    with nut.Nut(settings) as nuts:
        monitors = 0
        for clients, runs in by_clients.items():
            _progress(f"{settings.name}, {clients} upsmon: starting")
            nuts.start_monitors(clients - monitors)
            monitors = clients
            lost, back = [], []
            for at in range(runs):
                _progress(f"{settings.name}, {clients} upsmon: run {at + 1} of {runs}")
                lost.append(_notified(nuts, clients, "ONBATT", nuts.lose_mains))
                back.append(_notified(nuts, clients, "ONLINE", nuts.restore_mains))
            for name, values in ((LOSS, lost), (RETURN, back)):
                series.append(Series(name, "ms", tuple(values), settings.name, clients))
    return series


def _notified(nuts: nut.Nut, clients: int, notice: str, change: Callable[[], float]) -> float:
    """Return how many milliseconds after the `change` the last upsmon had told of it."""
    settings = nuts.settings
    time.sleep(random.uniform(0, max(settings.poll, settings.driver_poll)))  # noqa: S311
    told = nuts.told(notice, change())
    if len(told) < clients:
        raise RuntimeError(f"{settings.name}: {len(told)} of {clients} upsmon told of {notice}")
    return told[-1] * 1000


def _bounds(found: Result) -> list[Goal]:
    return [
        Goal(f"{name}, {series.n:,} clients, p99", series.percentile(99), bound, "ms")
        for name in (LOSS, RETURN)
        for clients, bound in BOUNDS.items()
        if (series := _found(found, name, clients))
    ]


def _ratios(found: Result) -> list[Goal]:
    goals = []
    ours = _found(found, LOSS, COMPARED)
    for settings, bound in RATIOS.items():
        theirs = _found(found, LOSS, COMPARED, settings.name)
        if ours and theirs:
            text = f"{LOSS}, {COMPARED} clients, median: how much faster than {settings.name}"
            goals.append(Goal(text, theirs.median / ours.median, bound, "times", at_least=True))
    return goals


def _growth(found: Result) -> list[Goal]:
    """What one client costs is what there is without fan-out: the sensor's poll and the disk."""
    goals = []
    for name in (LOSS, RETURN):
        medians = {n: s.median for n in RUNS if (s := _found(found, name, n))}
        costs = {0 if n == 1 else n: median for n, median in medians.items()}
        if (grows := exponent(costs)) is not None:
            goals.append(Goal(f"{name}: exponent of its growth", grows, LINEAR, ""))
    return goals


def _found(found: Result, name: str, n: int, product: str | None = None) -> Series | None:
    try:
        return found.find(name, n=n, **({"product": product} if product else {}))
    except LookupError:
        return None


def _progress(text: str) -> None:
    print(f"fanout · {text}", file=sys.stderr, flush=True)
