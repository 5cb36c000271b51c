"""A fleet with physics, a server that crashes, and an oracle that knows what recovery may do."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

from powmonman.core import recovery
from powmonman.core.due import (
    Action,
    Fate,
    Known,
    Limits,
    Present,
    Recovered,
    Recovery,
    Scene,
    Settled,
    Supply,
    Woken,
)
from powmonman.core.power import PowerState
from powmonman.core.records import from_json, to_json
from powmonman.core.recovery import LONGEST_GAP

ON_MAINS, ON_BATTERY, UNKNOWN = PowerState
LIMITS = Limits(wake_after=10.0, reserve=300.0, repeat=5.0, give_up=120.0)
FULL, RESERVE_CHARGE = 1000.0, 30.0


@dataclass
class Ups:
    """What is true of a UPS, and since when it is on mains without a break."""

    state: PowerState = ON_MAINS
    outage: str = ""
    began: float = 0.0
    spent: float = 0.0
    charge: float | None = None
    good_since: float | None = 0.0


@dataclass
class Host:
    """What is true of a host.

    Attributes:
        on: Its machine runs.
        fears: The last state that it has understood was battery: it may commit.
        told: The id of the state that it acknowledged in this connection.
        spoke: It has said in this connection what it does.
        heard: A magic packet has come while it was off.
    """

    known: Known
    on: bool = True
    connected: bool = False
    since: float = 0.0
    fears: bool = False
    committed: bool = False
    told: str = ""
    spoke: bool = False
    heard: bool = False


class Design:
    """What is tested; the rejected designs change it."""

    limits = LIMITS
    writes_first = True

    def begun(self, record: Recovery, ups: str, began: float, scene: Scene) -> Recovery:
        return recovery.begun(record, ups, began, scene)

    def power_cut(self, record: Recovery, boot: str) -> Recovery:
        return recovery.power_cut(record, boot)

    def scene(self, scene: Scene) -> Scene:
        return scene

    def state_id(self, count: int) -> int:
        return count


HOSTS = {
    "nas": Known("nas-1", upses=("rack",), wait_for=("web", "db")),
    "web": Known("web-1", upses=("rack",), wait_for=("db",)),
    "db": Known("db-1", upses=("desk",)),
    "two": Known("two-1"),
    "off": Known("off-0", upses=("rack",)),
}


@dataclass
class World:
    """Everything, at `now`."""

    design: Design = field(default_factory=Design)
    now: float = 1000.0
    up: bool = True
    boots: int = 1

    def __post_init__(self) -> None:
        self.upses = {"rack": Ups(), "desk": Ups()}
        self.hosts = {name: Host(known, on=name != "off") for name, known in HOSTS.items()}
        self.state_id = 1
        self.count = 0
        self.record = Recovery()
        self.disk = self.written()
        # Whom recovery may wake, in which boot it must not be believed, and whom it must wake.
        self.may: dict[str, str] = {}
        self.must: set[str] = set()
        self.watched_since = self.now
        self.log: list[tuple[float, Action]] = []
        for host in self.hosts.values():
            if host.on:
                self.joins(host)
        self.look()

    def written(self) -> str:
        return json.dumps(to_json(self.record.lasting()))

    def new(self) -> int:
        self.count += 1
        return self.count

    # What is true.
    def joins(self, host: Host) -> None:
        host.connected, host.since, host.told, host.spoke = True, self.now, "", False

    def leaves(self, host: Host) -> None:
        if host.connected:
            host.connected, host.since = False, self.now

    def fed(self, host: Host) -> list[Ups]:
        return [ups for name, ups in self.upses.items() if name in (host.known.upses or self.upses)]

    def good(self, host: Host) -> bool:
        return any(ups.state is ON_MAINS for ups in self.fed(host))

    def scene(self) -> Scene:
        hosts = {
            name: Present(
                known=host.known,
                connected=host.connected,
                since=host.since,
                awake=host.connected and host.spoke and not host.committed,
                committed=host.spoke and host.committed,
                told=host.connected and host.told == str(self.state_id),
            )
            for name, host in self.hosts.items()
        }
        upses = {
            name: Supply(
                ups.state, ups.outage, ups.spent, FULL, ups.charge, recharge_reserve=RESERVE_CHARGE
            )
            for name, ups in self.upses.items()
        }
        return self.design.scene(Scene(self.now, upses, hosts))

    def look(self, *, write: bool = True) -> None:
        """Let the server look; a crash may come before it has written."""
        if not self.up:
            return
        before = self.record
        self.record, actions = recovery.look(before, self.scene(), self.design.limits)
        for action in actions:
            self.log.append((self.now, action))
            self.judge(action, before)
        if write:
            self.disk = self.written()
        for action in actions:
            if isinstance(action, Woken) and not self.hosts[action.host].on:
                self.hosts[action.host].heard = True

    # What may happen.
    def loses(self, name: str) -> None:
        """Lose the mains of a UPS; it is on disk before anybody hears of it."""
        ups = self.upses[name]
        ups.state, ups.good_since = ON_BATTERY, None
        if not ups.outage:
            ups.outage, ups.began = f"o{self.new()}", self.now
        self.state_id = self.design.state_id(self.new())
        if self.up:
            self.record = self.design.begun(self.record, name, ups.began, self.scene())
            if self.design.writes_first:
                self.disk = self.written()
            self.exposed(ups)
            self.just_gone(ups)

    def exposed(self, *upses: Ups) -> None:
        """Note who may go down from here on, with these UPSes or any."""
        for name, host in self.hosts.items():
            out = any(ups.outage for ups in self.fed(host) if not upses or ups in upses)
            if host.connected and host.on and out:
                self.may[name] = host.known.boot

    def just_gone(self, ups: Ups) -> None:
        """Note who was there when the outage began, as far as a server can know."""
        for name, host in self.hosts.items():
            if host.since >= ups.began and ups in self.fed(host):
                self.may.setdefault(name, host.known.boot)
        if self.record.unsure > 0:
            for name, known in self.record.connected.items():
                self.may.setdefault(name, known.boot)

    def returns(self, name: str) -> None:
        ups = self.upses[name]
        if ups.state is not ON_MAINS:
            ups.state, ups.outage, ups.good_since = ON_MAINS, "", self.now
            self.state_id = self.design.state_id(self.new())

    def blinds(self, name: str) -> None:
        ups = self.upses[name]
        ups.state, ups.good_since = UNKNOWN, None
        self.state_id = self.design.state_id(self.new())
        # As after every change of a UPS.
        self.look()

    def passes(self, seconds: float, *, write: bool = True) -> None:
        end = self.now + seconds
        while self.now < end:
            step = min(LONGEST_GAP, end - self.now)
            self.now += step
            for ups in self.upses.values():
                if ups.outage:
                    ups.spent = min(FULL, ups.spent + step)
                elif ups.state is ON_MAINS:
                    ups.spent = max(0.0, ups.spent - step / 10)
            self.look(write=write)
            self.exposed()

    def understands(self, name: str) -> None:
        """Let a host acknowledge the current state, and say what it does."""
        host = self.hosts[name]
        if host.connected and host.on and self.up:
            host.told, host.spoke = str(self.state_id), True
            if self.good(host):
                host.fears = False
            elif all(ups.state is ON_BATTERY for ups in self.fed(host)):
                host.fears = True

    def commits(self, name: str) -> None:
        """Pass the point of no return, in contact or out of it."""
        host = self.hosts[name]
        if host.on and host.fears:
            host.committed = True
            if name in self.may:
                self.must.add(name)

    def goes_off(self, name: str) -> None:
        host = self.hosts[name]
        if host.on and host.committed:
            host.on = False
            self.leaves(host)

    def boots_host(self, name: str) -> None:
        """Switch on: by hand, by the mains, or by a magic packet that came."""
        host = self.hosts[name]
        if not host.on:
            host.known = replace(host.known, boot=f"{name}-{self.new()}")
            host.on, host.committed, host.fears, host.heard = True, False, False, False
            self.must.discard(name)

    def connects(self, name: str) -> None:
        host = self.hosts[name]
        if host.on and self.up and not host.connected:
            self.joins(host)

    def cut_off(self, name: str) -> None:
        self.leaves(self.hosts[name])

    def crashes(self) -> None:
        """Kill the server's process; whoever was connected is no longer."""
        self.up = False
        for host in self.hosts.values():
            self.leaves(host)

    def restarts(self) -> None:
        """Start it in the same boot of its host, or after a clean one."""
        if self.up:
            return
        self.up = True
        self.record = recovery.resumed(from_json(Recovery, json.loads(self.disk)))
        self.watched_since = self.now
        for name, ups in self.upses.items():
            # The mains count as good from the first look on, at the earliest.
            if ups.good_since is not None:
                ups.good_since = self.now
            if ups.state is ON_BATTERY:
                self.loses(name)

    def power_cut(self) -> None:
        """Let everything go dark, the server's host too, and the mains come back."""
        there = {name for name, host in self.hosts.items() if host.connected and host.on}
        kept = from_json(Recovery, json.loads(self.disk))
        for name in there:
            self.may[name] = self.hosts[name].known.boot
            # The record of who is connected is as old as the last write.
            if name in kept.connected or name in kept.open:
                self.must.add(name)
        for name, known in kept.connected.items():
            self.may.setdefault(name, known.boot)
        self.crashes()
        for host in self.hosts.values():
            host.on = host.committed = False
        for name, ups in self.upses.items():
            self.returns(name)
            ups.outage = ""
        self.disk = json.dumps(
            to_json(
                self.design.power_cut(
                    from_json(Recovery, json.loads(self.disk)), f"boot{self.new()}"
                ).lasting()
            )
        )
        self.now += 60.0
        self.restarts()

    # What must hold.
    def judge(self, action: Action, before: Recovery) -> None:
        if isinstance(action, Woken):
            self.judge_wake(action.host, before)
        elif isinstance(action, Settled):
            self.judge_settled(action)
        elif isinstance(action, Recovered):
            assert self.record.open == ()

    def judge_wake(self, name: str, before: Recovery) -> None:
        host = self.hosts[name]
        assert name in self.may, f"{name} had been switched off before"
        able = [ups for ups in self.fed(host) if self.able(ups)]
        assert able, f"{name} is woken onto a UPS that can't bear it"
        # Who is due only since this very look has held nobody up yet.
        late = name in before.hosts and before.hosts[name].held >= LIMITS.give_up
        for other, known in HOSTS.items():
            if name in known.wait_for and other in self.must and not late:
                fate = before.hosts[other].fate if other in before.hosts else None
                assert fate is Fate.GIVEN_UP, f"{name} before {other}"

    def able(self, ups: Ups) -> bool:
        if ups.state is not ON_MAINS or ups.good_since is None:
            return False
        stable = self.now - max(ups.good_since, self.watched_since) >= LIMITS.wake_after
        charged = ups.charge is None or ups.charge >= RESERVE_CHARGE
        return stable and ups.spent <= FULL - LIMITS.reserve and charged

    def judge_settled(self, action: Settled) -> None:
        host = self.hosts[action.host]
        if action.fate is Fate.GIVEN_UP:
            self.must.discard(action.host)
            return
        assert host.on, f"{action.host} is {action.fate}, and off"
        assert not host.committed, f"{action.host} is {action.fate}, and going down"
        assert not host.fears, f"{action.host} is {action.fate}, and may still go down"
        if action.fate is Fate.BACK:
            assert host.known.boot != self.may.pop(action.host)

    def settles(self) -> None:
        """From now on all goes well: whatever an outage took down comes back."""
        for name in self.upses:
            self.returns(name)
        for ups in self.upses.values():
            ups.charge, ups.spent = None, 0.0
        self.restarts()
        for _ in range(100):
            for name, host in self.hosts.items():
                if host.committed:
                    self.goes_off(name)
                if host.heard:
                    self.boots_host(name)
                self.connects(name)
                self.understands(name)
            self.passes(9)
            if not self.must and not self.record.open:
                break
        down = {name for name in self.must if not self.hosts[name].on}
        assert not down, f"never woken: {down}"
        assert self.record.open == (), f"never settled: {self.record.open}"
