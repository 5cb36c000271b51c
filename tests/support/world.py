"""A fleet in virtual time: mains, a battery, servers, a network, hosts, and all that can go wrong.

The product's own cores decide; this is the physics around them. `world_host` and `world_server` are
the machines, `oracle` watches. One step is one second; the hosts share one UPS.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from figures import Figures
from oracle import AFTER, WAIT_TIMEOUT, Oracle, ViolationError
from virtual_time import CLOCKS, YEAR
from world_host import Host
from world_server import Server

from powmonman.core.plan import Rules
from powmonman.core.power import PowerState
from powmonman.service import clock

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["YEAR", "ViolationError", "World"]

BEAT = 5
REFILL = 10.0
# More than the product assumes (twice `after`), as a battery should have.
BATTERY = 1500.0
LONGEST_RECOVERY = 3000
HALTED = 1e9


class World:
    """Everything; `wait` lets time pass."""

    beat = BEAT

    def __init__(
        self, hosts: int = 3, servers: int = 1, seed: int = 0, battery: float = BATTERY
    ) -> None:
        assert clock.time is CLOCKS, "the product must live in virtual time"
        CLOCKS.looks = 0
        self.figures = Figures(scripts=1)
        self.random = random.Random(seed)
        self.time = 1000.0
        self.mains = self.power = True
        self.battery = battery
        self.used = 0.0
        self.calming = False
        self.least_after = AFTER
        self.hosts: list[Host] = []
        self.oracle = Oracle(self)
        for number in range(hosts):
            names = tuple(host.name for host in self.hosts)
            waits = names if number == hosts - 1 else ()
            rules = Rules(
                after=AFTER if number == 1 else None, wait_for=waits, wait_timeout=WAIT_TIMEOUT
            )
            self.hosts.append(Host(f"h{number}", self, rules, booted=self.time - 300.0))
        self.oracle = Oracle(self)
        self.servers = [Server(self, f"s{number}") for number in range(servers)]
        self.wait(20)

    def host(self, name: str) -> Host:
        return next(host for host in self.hosts if host.name == name)

    def fault(self, kind: str) -> None:
        self.figures.faults[kind] += 1

    def wait(self, seconds: float, step: float = 1.0) -> None:
        for _ in range(int(seconds / step)):
            self.second(step)

    def second(self, dt: float = 1.0) -> None:
        self.time += dt
        CLOCKS.wall += dt
        self.figures.seconds += dt
        self._electricity(dt)
        self.oracle.moment(dt)
        for server in self.servers:
            server.tick(dt)
        for host in self.random.sample(self.hosts, len(self.hosts)):
            host.tick(dt)
        self.oracle.after_all()

    def _electricity(self, dt: float) -> None:
        if self.mains:
            self.used = max(0.0, self.used - dt / REFILL)
        elif self.power and any(host.on for host in self.hosts):
            self.used += dt
            if self.used >= self.battery:
                self._power_cut()
        if self.mains and not self.power:
            self.power = True
            for host in self.hosts:
                if self.random.random() < 0.5:
                    host.wakes(30)

    def _power_cut(self) -> None:
        """The battery is empty: whatever runs stops in this moment."""
        self.power = False
        self.fault("battery ran dry")
        for host in self.hosts:
            if host.on:
                self.oracle.lost_power(host)
                host.goes_off()
            elif host.machine == "booting":
                host.machine = "off"
        for server in self.servers:
            server.end(40, how="power cut")
            server.back_at = self.time + 40

    def wakes(self, name: str) -> None:
        """A magic packet, which may get lost."""
        host = self.host(name)
        self.oracle.woken(host)
        if host.linked and host.machine == "off" and (self.calming or self.random.random() < 0.7):
            self.figures.woken += 1
            host.wakes(self.random.choice((20, 40, 90)), woken=True)

    def links(self, hosts: Sequence[Host], *, up: bool) -> None:
        for host in hosts:
            if host.linked and not up:
                host.linked = False
            elif up and not host.linked:
                host.linked = True
                host.cut()

    def steps_wall_clock(self, seconds: float) -> None:
        CLOCKS.wall = max(0.0, CLOCKS.wall + seconds)

    def calm(self) -> None:
        """Every fault ends and the mains stay good: nobody goes down, and all come back."""
        self.mains = self.calming = True
        for server in self.servers:
            server.sensor_works = server.disk_works = True
            server.reads, server.lie, server.order = None, None, None
            server.stopped_until = 0.0
            # A machine that was halted stays off for as long as the power lasts.
            server.back_at = min(server.back_at, self.time) if server.back_at < HALTED else HALTED
            server.booted = min(server.booted, self.time - 20.0)
        for host in self.hosts:
            host.delay, host.scrambled = 2.0, False
            host.stopped_until = 0.0
            host.resume()
        self.links(self.hosts, up=True)
        self.wait(60)
        for server in self.servers:
            # What was spent is paid back sooner, so that a script ends sooner.
            server.reload(f"policy: {{after: {AFTER:g}}}\nrefill_ratio: 1\n")
        self.wait(300, 3.0)
        self._all_come_back()
        self.wait(30)
        for host in self.hosts:
            settled = host.machine == "on" and self.time - host.booted > 40 and not host.committed
            knows = host.plan.power is PowerState.ON_MAINS and host.server is not None
            if settled and not knows:
                self.oracle.fail("L4", host, "it does not know that all is well")
        if CLOCKS.looks:
            self.oracle.fail("S6", None, f"the wall clock was looked at {CLOCKS.looks} times")

    def _all_come_back(self) -> None:
        """L3; whom somebody switched off, or nobody knew, is not woken."""
        end = self.time + LONGEST_RECOVERY
        while missing := [host for host in self.hosts if not host.on and self._is_due(host)]:
            if self.time > end:
                self.oracle.fail("L3", missing[0], "never woken")
            self.wait(30, 3.0)

    def _is_due(self, host: Host) -> bool:
        ghost = self.oracle.ghosts[host.name]
        nobody = len(ghost.unknown) == len(self.servers)
        return not (nobody or ghost.given_up or host.ordered or host.machine == "booting")
