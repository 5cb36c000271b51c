"""What a roll-out costs, beside `ansible all -m ping` on the same hosts between its runs.

The ping is the unit: one run of Ansible, one connection and one module on each host. A machine that
is twice as slow is so for both.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import metadata
from statistics import median
from typing import TYPE_CHECKING

from . import hosts
from .growth import LINEAR, exponent
from .machine import debian_version
from .result import Goal, Result, Series

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .hosts import Play

FIRST = "first roll-out"
AGAIN = "roll-out that changes nothing"
PING = "ansible all -m ping"
# In pings of as many hosts.
MOST = {FIRST: 30, AGAIN: 12}
# The server alone is what is paid before the first client.
SIZES = (1, 4, 8, 12)
GOALS_AT = (4, 12)


@dataclass(frozen=True)
class Measured:
    """The runs on one fleet of `n` hosts.

    Attributes:
        modules: How many Python modules ran on each client, by what was run.
        tasks: Likewise tasks, skipped ones included.
    """

    n: int
    plays: dict[str, list[Play]]
    modules: dict[str, list[int]]
    tasks: dict[str, list[int]]

    def wall(self, what: str) -> list[float]:
        """Return how many seconds each run took."""
        return [play.wall for play in self.plays[what]]

    def pings(self, what: str) -> list[float]:
        """Return how many pings each run took."""
        return [wall / median(self.wall(PING)) for wall in self.wall(what)]


def run(*, quick: bool) -> Result:
    """Roll out on fleets of several sizes, one after the other, each new."""
    if missing := hosts.missing():
        return Result("rollout", (), left_out=(f"roll-outs on real hosts: {missing}",))
    sizes = (4,) if quick else SIZES
    found = [_measured(n, runs=1 if quick else 3) for n in sizes]
    return Result(
        "rollout",
        series=tuple(series for each in found for series in _series(each)),
        goals=(*_goals(found), *_growth_goals(found)),
        notes=(
            "Hosts are systemd in containers on the control node, a server and n - 1 clients.",
            "Nothing was installed on them before. They are reached by ssh.",
            "CPU is the control node's, and leaves out the hosts and ssh in the background.",
            *_growth_notes(found),
        ),
        versions={
            "ansible-core": metadata.version("ansible-core"),
            "podman": debian_version("podman") or "",
        },
    )


def _measured(n: int, *, runs: int) -> Measured:
    say(f"{n} hosts: booting")
    with hosts.Hosts(clients=n - 1) as fleet:
        # Tells which modules ran; that takes no time that could be measured.
        counted = "-vvv"
        say(f"{n} hosts: {FIRST}")
        first = fleet.site(counted)
        again, pings = [], []
        for number in range(1, runs + 1):
            say(f"{n} hosts: {AGAIN}, {number} of {runs}")
            pings += [fleet.ping(), fleet.ping()]
            again.append(fleet.site(counted))
        pings += [fleet.ping(), fleet.ping()]
        if sum(play.changed() for play in again):
            raise RuntimeError("a roll-out that should change nothing has changed something")
        clients = fleet.names[1:]
        return Measured(
            n,
            {FIRST: [first], AGAIN: again, PING: pings},
            {
                what: [fleet.modules(play)[name] for name in clients]
                for what, play in ((FIRST, first), (AGAIN, again[0]))
            },
            {
                what: [play.tasks()[name] for name in clients]
                for what, play in ((FIRST, first), (AGAIN, again[0]))
            },
        )


def _series(found: Measured) -> Iterable[Series]:
    for what, plays in found.plays.items():
        product = "Ansible" if what == PING else "PowMonMan"
        yield Series(what, "s", tuple(found.wall(what)), product, found.n)
        yield Series(f"{what}: CPU", "CPU s", tuple(p.cpu for p in plays), product, found.n)
    for what in (FIRST, AGAIN):
        yield Series(f"{what}: in pings", "pings", tuple(found.pings(what)), n=found.n)
        if found.n > 1:
            modules, tasks = found.modules[what], found.tasks[what]
            yield Series(f"{what}: modules a client", "modules", tuple(modules), n=found.n)
            yield Series(f"{what}: tasks a client", "tasks", tuple(tasks), n=found.n)


def _goals(found: Iterable[Measured]) -> Iterable[Goal]:
    for each in found:
        if each.n in GOALS_AT:
            for what, most in MOST.items():
                text = f"{what}, {each.n} hosts"
                yield Goal(text, median(each.pings(what)), most, "pings")


def _growth_goals(found: list[Measured]) -> Iterable[Goal]:
    ping = _exponents(found, PING)
    for what in MOST:
        if ping and (grows := _exponents(found, what)):
            why = (
                "all hosts share the cores of one machine here: the ping grows with "
                f"{ping[0]:.2f} as well, and the control node's CPU with {grows[1]:.2f}"
            )
            text = f"{what}: growth with clients, exponent"
            yield Goal(text, grows[0], LINEAR, "", why=why)


def _growth_notes(found: list[Measured]) -> Iterable[str]:
    for what in (*MOST, PING):
        if grows := _exponents(found, what):
            least, most = found[0], found[-1]
            seconds = (median(most.wall(what)) - median(least.wall(what))) / (most.n - least.n)
            yield (
                f"{what}: {seconds:.2g} s for each client more. Beyond what the server alone costs "
                f"it grows with the exponent {grows[0]:.2f}, its CPU with {grows[1]:.2f}."
            )


def _exponents(found: list[Measured], what: str) -> tuple[float, float] | None:
    """Return how the time and the CPU of it grow with the clients, where that can be told."""
    if len(found) < 3:
        return None
    wall = exponent({each.n - 1: median(each.wall(what)) for each in found})
    cpu = exponent({each.n - 1: median(p.cpu for p in each.plays[what]) for each in found})
    return None if wall is None or cpu is None else (wall, cpu)


def say(text: str) -> None:
    """Tell on standard error how far it is."""
    print(text, file=sys.stderr, flush=True)
