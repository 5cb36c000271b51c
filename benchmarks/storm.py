"""A thousand clients count down, and their server restarts: how long until all are back and told.

Each light client goes by the product's own plan, and real clients rehearse beside them. What is
held to is that no countdown is touched: no deadline moves, nobody commits before it, nobody stops
to count. In the midst of each storm the server has news to push, which are not to wait for it.

A deadline is compared with where it stood after the first heartbeat of the outage. Its row holds
the two extremes of all clients, not runs: negative is sooner.
"""

from __future__ import annotations

import random
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from powmonman.core.plan import Rules
from powmonman.service.clock import boottime

from .fleet import Fleet
from .process import spent
from .result import Goal, Result, Series
from .swarm import Swarm

if TYPE_CHECKING:
    from .fleet import Client

POLL = 0.01
AFTER = 600.0
REAL = 3
PATIENCE = 120.0
# Seconds after the server has answered again: some are back by then, most are not.
IN_THE_MIDST = (0.3, 1.2)
SETTLE = 3.0
HEARTBEAT = 6.0
BACK = "restart to last client back and told"
PUSH = "news in the midst of it to last client that is back"
SHIFT = "deadline of a countdown moved by"
LATE = "real client's commit, from its deadline"
# Seconds until all of so many are back, and by how many milliseconds a deadline may move: a
# duration is said when it is sent, and counts when it is read.
ALL_BACK = 15.0
# No storm begins so shortly before the real clients' deadline.
LONGEST_STORM = 30.0
MOST_SHIFT = 500.0
# A commit waits for a state that answers the client's last ping.
MOST_LATE = 1000.0


@dataclass
class _Found:
    back: list[float] = field(default_factory=list)
    push: list[float] = field(default_factory=list)
    waited: list[int] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def run(*, quick: bool) -> Result:
    """Let the server be stopped and killed by turns, while everybody counts."""
    clients, storms = (100, 1) if quick else (1000, 4)
    # Of a host whose own deadline is to be seen, after the last storm.
    real_after = 45.0 if quick else 110.0
    found = {"stopped": _Found(), "killed": _Found()}
    with Fleet(clients=clients + REAL, poll=POLL, after=AFTER, policy__low_battery=False) as fleet:
        _progress(f"{clients} clients: gathering")
        names = fleet.names[:clients]
        real = [
            fleet.client(name, policy__after=real_after, policy__min_observe=1)
            for name in fleet.names[clients:]
        ]
        with Swarm(fleet, names, processes=1, rules=Rules(low_battery=False)) as swarm:
            swarm.gather()
            for client in real:
                client.says("on mains")
            swarm.expect("power", "on_battery")
            fleet.lose_mains()
            swarm.moments(PATIENCE)
            for client in real:
                client.says("on battery")
            # The first heartbeat counts the time too that the disk has taken before the first news.
            time.sleep(HEARTBEAT)
            swarm.settle()
            deadlines = {client.name: _deadline(client) for client in real}
            low = False
            for at, (how, values) in enumerate(storms * tuple(found.items())):
                if min(deadlines.values()) - boottime() < LONGEST_STORM:
                    _progress("no time for more storms before the real clients' deadline")
                    break
                _progress(f"{clients} clients: storm {at + 1}, server {how}")
                low = not low
                _storm(fleet, swarm, values, kill=how == "killed", low=low)
                time.sleep(SETTLE)
            countdowns = swarm.countdowns()
            moved = [1000 * (_deadline(client) - deadlines[client.name]) for client in real]
            _progress("waiting for the real clients' deadline")
            late = [1000 * (_commit(each) - deadlines[each.name]) for each in real]
    touched = [name for name, each in countdowns.items() if each["faults"] or not each["counting"]]
    shifts = [1000 * shift for each in countdowns.values() for shift in each["shifts"]]
    series = [
        *_series(found, clients),
        Series(SHIFT, "ms", (min(shifts), max(shifts)), n=clients),
        Series(f"{SHIFT}, real clients", "ms", tuple(moved), n=REAL),
        Series(LATE, "ms", tuple(late), n=REAL),
    ]
    return Result("storm", tuple(series), goals=tuple(_goals(series, touched, clients)))


def _storm(fleet: Fleet, swarm: Swarm, found: _Found, *, kill: bool, low: bool) -> None:
    """Restart the server, and let it have news in the midst of it."""
    swarm.expect("power", "on_battery, low" if low else "on_battery")
    began = time.monotonic()
    fleet.stop(kill=kill)
    fleet.start()
    before = spent(fleet.pid)
    time.sleep(random.uniform(*IN_THE_MIDST))  # noqa: S311 (no secret)
    pushed = fleet.lose_charge() if low else fleet.lose_mains()
    told = swarm.moments(PATIENCE)
    back = swarm.wait("told", began, PATIENCE)
    found.cpu.append(spent(fleet.pid).cpu - before.cpu)
    found.back.append(max(back.values()) - began)
    there = [name for name, at in back.items() if at < pushed]
    found.waited.append(len(back) - len(there))
    if there:
        found.push.append(1000 * max(told[name] - pushed for name in there))


def _deadline(client: Client) -> float:
    """Return when a real client will shut down, in seconds of CLOCK_BOOTTIME, as it says."""
    view = client.view
    if view.get("left") is None:
        raise RuntimeError(f"{client.name} does not count: {view}\n{client.log}")
    return float(view["stamp"] + view["left"])


def _commit(client: Client) -> float:
    client.says("would shut down now", PATIENCE)
    return boottime()


def _series(found: dict[str, _Found], clients: int) -> list[Series]:
    series = []
    for how, values in found.items():
        series += [
            Series(f"{BACK}, server {how}", "s", tuple(values.back), n=clients),
            Series(f"{PUSH}, server {how}", "ms", tuple(values.push), n=clients),
            Series(
                f"not yet back when the news came, server {how}",
                "clients",
                tuple(map(float, values.waited)),
                n=clients,
            ),
            Series(f"server's processor time, server {how}", "CPU s", tuple(values.cpu), n=clients),
        ]
    return [each for each in series if each.values]


def _goals(series: list[Series], touched: list[str], clients: int) -> list[Goal]:
    by_name = {each.name: each for each in series}
    most = max(abs(v) for name in (SHIFT, f"{SHIFT}, real clients") for v in by_name[name].values)
    goals = [
        Goal(f"{BACK}, server {how}, {clients:,} clients", found.max, ALL_BACK, "s")
        for how in ("stopped", "killed")
        if (found := by_name.get(f"{BACK}, server {how}"))
    ]
    late = max(map(abs, by_name[LATE].values))
    return [
        *goals,
        Goal("countdowns that have ended, or were touched", float(len(touched)), 0.0, "clients"),
        Goal(f"{SHIFT}, at most", most, MOST_SHIFT, "ms"),
        Goal(LATE, late, MOST_LATE, "ms"),
    ]


def _progress(text: str) -> None:
    print(f"storm · {text}", file=sys.stderr, flush=True)
