"""Every fault that a fleet may meet, as the rules of one state machine over a `World`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import figures
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from virtual_time import YEAR
from world import World

if TYPE_CHECKING:
    from world_host import Host
    from world_server import Server

WAITS = st.sampled_from([1, 2, 3, 7, 13, 16, 40, 61, 120, 300, 590, 601, 640])
LONG = st.sampled_from([30, 120, 560, 595, 601, 615, 640, 700, 800, 1000])
HOST = st.integers(0, 2)
SERVER = st.integers(0, 1)
STALLS = st.sampled_from([2, 4, 8, 14, 20, 90, 700])
BAD_CLIENT = ("policy: {after: never}", "policy: [", "\tafter: 5", "shutdwn: {}", "wait_for: 7")
BAD_SERVER = ("policy: {after: -1}", "upses: {", "upses: {ups: {confirm: 9}}", "lease: 4e9")


class Fleet(RuleBasedStateMachine):
    """One to three hosts, one or two servers, one UPS."""

    world: World
    kind = World

    @initialize(seed=st.integers(0, 10**6), hosts=st.integers(1, 3), servers=st.integers(1, 2))
    def begin(self, seed: int, hosts: int, servers: int) -> None:
        self.world = self.kind(hosts=hosts, servers=servers, seed=seed)

    def host(self, number: int) -> Host:
        return self.world.hosts[number % len(self.world.hosts)]

    def server(self, number: int) -> Server:
        return self.world.servers[number % len(self.world.servers)]

    def step(self, fault: str = "") -> None:
        self.world.figures.steps += 1
        if fault:
            self.world.fault(fault)

    # The mains.
    @rule(seconds=WAITS)
    def wait(self, seconds: int) -> None:
        self.step()
        self.world.wait(seconds)

    @rule()
    def mains_lost_or_back(self) -> None:
        self.step()
        self.world.mains = not self.world.mains

    @rule(before=WAITS, after=LONG)
    def outage(self, before: int, after: int) -> None:
        """One that lasts, unless the next steps end it."""
        self.step()
        self.world.mains = True
        self.world.wait(before % 50)
        self.world.mains = False
        self.world.wait(after)

    @rule(seconds=st.sampled_from([540, 600, 660, 800]))
    def waits_long(self, seconds: int) -> None:
        self.step()
        self.world.wait(seconds)

    @rule(
        times=st.integers(2, 6),
        on=st.sampled_from([1, 2, 4, 6, 30]),
        off=st.sampled_from([1, 2, 50]),
    )
    def flaps(self, times: int, on: int, off: int) -> None:
        self.step("flapping mains")
        for _ in range(times):
            self.world.mains = False
            self.world.wait(off)
            self.world.mains = True
            self.world.wait(on)

    @rule(off=st.sampled_from([1, 2, 3, 5]))
    def blips(self, off: int) -> None:
        """Shorter and longer than `confirm`."""
        self.step("blip")
        self.world.mains = False
        self.world.wait(off)
        self.world.mains = True

    @rule(which=SERVER, works=st.booleans())
    def sensor(self, which: int, works: bool) -> None:
        self.step("" if works else "sensor unknown")
        self.server(which).sensor_works = works

    # The network.
    @rule(which=HOST, up=st.booleans())
    def link(self, which: int, up: bool) -> None:
        self.step("" if up else "one host cut off")
        self.world.links([self.host(which)], up=up)

    @rule(up=st.booleans())
    def switch(self, up: bool) -> None:
        self.step("" if up else "switch down")
        self.world.links(self.world.hosts, up=up)

    @rule(which=HOST)
    def connection_reset(self, which: int) -> None:
        self.step("connection reset")
        self.host(which).cut()

    @rule(which=HOST, seconds=st.sampled_from([0.0, 2.0, 10.0, 40.0]))
    def delay(self, which: int, seconds: float) -> None:
        self.step("messages delayed" if seconds > 2 else "")
        self.host(which).delay = seconds

    @rule(which=HOST, scrambled=st.booleans())
    def scramble(self, which: int, scrambled: bool) -> None:
        """TLS never lets that through; the decision must not depend on it."""
        self.step("messages duplicated and reordered" if scrambled else "")
        self.host(which).scrambled = scrambled

    # The hosts.
    @rule(
        which=HOST,
        seconds=st.sampled_from([0, 2, 10, 40]),
        crash=st.booleans(),
        version=st.sampled_from(["", "older", "newer"]),
    )
    def client_restart(self, which: int, seconds: int, crash: bool, version: str) -> None:
        how = f"client upgraded from an {version} one" if version == "older" else "client restarted"
        how = "client downgraded" if version == "newer" else how
        self.step("client killed" if crash else how)
        self.host(which).restart(seconds, crash=crash, version=version)

    @rule(
        which=HOST,
        after=st.sampled_from(["", "policy: {after: 100}", "policy: {after: 2000}"]),
        waits=st.booleans(),
        timeout=st.sampled_from([0, 30, 120, 400]),
    )
    def client_reload(self, which: int, after: str, waits: bool, timeout: int) -> None:
        self.step("client reloaded")
        others = [host.name for host in self.world.hosts if host is not self.host(which)]
        names = f"wait_for: [{', '.join(others)}]" if waits and which == 2 else ""
        self.host(which).reload("\n".join((after, names, f"wait_timeout: {timeout}")))
        if after == "policy: {after: 100}":
            self.world.least_after = 100.0

    @rule(which=HOST, text=st.sampled_from(BAD_CLIENT))
    def client_reload_fails(self, which: int, text: str) -> None:
        self.step("client reloaded with a bad file")
        before = self.host(which).rules
        self.host(which).reload(text)
        assert before is self.host(which).rules

    @rule(which=HOST, seconds=STALLS)
    def client_stalls(self, which: int, seconds: int) -> None:
        self.step("client stalled")
        self.host(which).stop(seconds)

    @rule(which=HOST)
    def reset(self, which: int) -> None:
        """In mid-outage too."""
        self.step("host reset")
        if self.host(which).on:
            self.host(which).woken = False
            self.host(which).start()

    @rule(which=HOST)
    def power_button(self, which: int) -> None:
        self.step()
        self.host(which).wakes(30)

    @rule(which=HOST)
    def suspend(self, which: int) -> None:
        self.step("host suspended")
        self.host(which).suspend()

    @rule(which=HOST)
    def resume(self, which: int) -> None:
        self.step()
        self.host(which).resume()

    @rule(which=HOST)
    def shutdown_hangs(self, which: int) -> None:
        """Its next commit does not switch it off."""
        self.step("shutdown command without effect")
        self.host(which).stubborn = True

    @rule(seconds=st.sampled_from([-50 * YEAR, -3600, 3600, YEAR]))
    def wall_clock(self, seconds: float) -> None:
        self.step("wall clock stepped")
        self.world.steps_wall_clock(seconds)

    # The servers.
    @rule(
        which=SERVER,
        seconds=st.sampled_from([3, 40, 300]),
        how=st.sampled_from(["restart", "kill", "reboot", "power cut"]),
    )
    def server_ends(self, which: int, seconds: int, how: str) -> None:
        self.step(f"server: {how}")
        self.server(which).end(seconds, how=how)

    @rule(which=SERVER, seconds=st.sampled_from([2, 8, 14, 20, 400]))
    def server_stalls(self, which: int, seconds: int) -> None:
        self.step("server stalled")
        self.server(which).stopped_until = self.world.time + seconds

    @rule(which=SERVER, after=st.sampled_from([300, 600, 900]))
    def server_reload(self, which: int, after: int) -> None:
        self.step("server reloaded")
        self.world.least_after = min(self.world.least_after, after)
        self.world.oracle.policy_changed()
        self.server(which).reload(f"policy: {{after: {after}}}")

    @rule(which=SERVER, text=st.sampled_from(BAD_SERVER))
    def server_reload_fails(self, which: int, text: str) -> None:
        self.step("server reloaded with a bad file")
        before = self.server(which).config
        self.server(which).reload(text)
        assert before is self.server(which).config

    @rule(which=SERVER, works=st.booleans())
    def disk(self, which: int, works: bool) -> None:
        """Full or read-only: it keeps what it has, and takes nothing."""
        self.step("" if works else "disk full or read-only")
        self.server(which).disk_works = works

    @rule(which=SERVER, down=st.none() | st.frozensets(st.sampled_from(["h0", "h1"])))
    def server_lies(self, which: int, down: frozenset[str] | None) -> None:
        """A server may be wrong about who is down, and may change its mind."""
        self.step("" if down is None else "server wrong about who is down")
        self.server(which).lie = down

    @rule(which=SERVER)
    def operators_order(self, which: int) -> None:
        self.step("order of the operator")
        server = self.server(which)
        if server.runs:
            server.give_order()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            try:
                self.world.calm()
            finally:
                figures.ALL.add(self.world.figures)
