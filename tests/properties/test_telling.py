"""Whatever happens to a fleet, and however often the server restarts: each thing is told once."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from powmonman.core.events import Event, HostSeen, Kind, Seen, UpsSeen
from powmonman.core.power import PowerState
from powmonman.core.records import from_json, to_json
from powmonman.core.telling import look
from powmonman.core.told import Rules, Told

ON_MAINS, ON_BATTERY, UNKNOWN = PowerState
UPSES = st.sampled_from(["rack", "desk"])
HOSTS = st.sampled_from(["nas", "db", "both"])
FEEDS = {"nas": ("rack",), "db": ("desk",), "both": ()}


class Fleet(RuleBasedStateMachine):
    """Two UPSes and three hosts that obey physics; the server looks after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.told = Told()
        self.now, self.wall = 100.0, 1_700_000_000.0
        self.upses = {name: UpsSeen(UNKNOWN, reason="settling") for name in ("rack", "desk")}
        self.began: dict[str, float] = {}
        self.hosts = {name: HostSeen(name, upses=feeds) for name, feeds in FEEDS.items()}
        self.count = 0
        self.log: list[tuple[Event, Seen]] = []
        # What must have been told by now.
        self.lost: list[tuple[str, str]] = []

    def new(self) -> str:
        self.count += 1
        return f"id{self.count}"

    def look(self) -> None:
        for name, ups in self.upses.items():
            if ups.outage:
                self.upses[name] = replace(ups, age=self.now - self.began[ups.outage])
                if ups.state is ON_BATTERY and (name, ups.outage) not in self.lost:
                    self.lost.append((name, ups.outage))
        seen = Seen(dict(self.upses), tuple(self.hosts.values()))
        self.told, events = look(self.told, seen, Rules(), self.now, self.wall)
        self.log += [(event, seen) for event in events]

    @initialize()
    def begin(self) -> None:
        self.look()

    @rule(name=UPSES, low=st.booleans())
    def goes_on_battery(self, name: str, low: bool) -> None:
        outage = self.upses[name].outage or self.new()
        self.began.setdefault(outage, self.now)
        self.upses[name] = UpsSeen(ON_BATTERY, outage, low_battery=low)
        self.look()

    @rule(name=UPSES, reason=st.sampled_from(["", "replace the battery", "weak: 5 %"]))
    def is_on_mains(self, name: str, reason: str) -> None:
        self.upses[name] = UpsSeen(ON_MAINS, reason=reason)
        self.look()

    @rule(name=UPSES)
    def is_unknown(self, name: str) -> None:
        self.upses[name] = UpsSeen(UNKNOWN, self.upses[name].outage, reason="the wire is cut")
        self.look()

    @rule(seconds=st.sampled_from([0.0, 1.0, 9.0, 11.0, 301.0]))
    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds
        for name, host in self.hosts.items():
            if host.left is not None:
                self.hosts[name] = replace(host, left=max(0.0, host.left - seconds))
        self.look()

    def change(self, name: str, **changes: Any) -> None:
        self.hosts[name] = replace(self.hosts[name], **changes)
        self.look()

    @rule(name=HOSTS)
    def connects(self, name: str) -> None:
        boot = self.hosts[name].boot_id or self.new()
        self.change(name, connected=True, boot_id=boot)

    @rule(name=HOSTS)
    def disconnects(self, name: str) -> None:
        self.change(name, connected=False)

    @rule(name=HOSTS, left=st.sampled_from([30.0, 200.0, 400.0]))
    def counts(self, name: str, left: float) -> None:
        host = self.hosts[name]
        outage = next(
            (u.outage for n, u in self.upses.items() if n in (host.upses or self.upses)), ""
        )
        if host.connected and host.phase != "committed" and outage:
            self.change(name, phase="counting", left=left, outage=outage)

    @rule(name=HOSTS)
    def commits(self, name: str) -> None:
        if self.hosts[name].connected and self.hosts[name].phase == "counting":
            self.change(name, phase="committed", left=None)

    @rule(name=HOSTS)
    def boots(self, name: str) -> None:
        """It goes, and comes with a new boot id before it says what it does."""
        if self.hosts[name].boot_id:
            self.change(name, connected=False)
            self.change(name, connected=True, boot_id=self.new())
            self.change(name, phase="idle", left=None, outage="")

    @precondition(lambda self: self.log)
    @rule(own_boot=st.booleans())
    def restarts(self, own_boot: bool) -> None:
        """Nothing is known but what was written; after a boot even outages have new ids."""
        self.told = from_json(Told, json.loads(json.dumps(to_json(self.told.lasting()))))
        for name, ups in self.upses.items():
            outage = "" if own_boot else ups.outage
            self.upses[name] = UpsSeen(UNKNOWN, outage, reason="settling")
        for name, host in self.hosts.items():
            self.hosts[name] = replace(host, connected=False, phase="unknown", left=None)
        self.look()

    def kinds(self, *kinds: Kind) -> list[tuple[Event, Seen]]:
        return [(event, seen) for event, seen in self.log if event.kind in kinds]

    @invariant()
    def nothing_is_told_twice(self) -> None:
        marks = Counter(
            (event.kind, event.ups, event.outage, event.milestone)
            for event, _ in self.kinds(
                Kind.ON_BATTERY, Kind.ON_MAINS, Kind.LOW_BATTERY, Kind.COUNTDOWN
            )
        )
        marks.update(
            (event.kind, event.host, event.outage, boot(event, seen))
            for event, seen in self.kinds(Kind.HOST_COMMITTED)
        )
        marks.update((e.kind, e.ups, e.reason[:4]) for e, _ in self.kinds(Kind.ADVICE))
        assert [] == [mark for mark, count in marks.items() if count > 1]

    @invariant()
    def power_is_back_only_where_its_loss_was_told(self) -> None:
        lost: set[tuple[str, str]] = set()
        for event, _ in self.kinds(Kind.ON_BATTERY, Kind.ON_MAINS):
            if event.kind is Kind.ON_BATTERY:
                lost.add((event.ups, event.outage))
            else:
                assert (event.ups, event.outage) in lost

    @invariant()
    def every_loss_is_told_and_so_is_its_end(self) -> None:
        told = [(event.ups, event.outage) for event, _ in self.kinds(Kind.ON_BATTERY)]
        assert self.lost == told
        over = {(event.ups, event.outage) for event, _ in self.kinds(Kind.ON_MAINS)}
        for name, ups in self.upses.items():
            last = next((outage for n, outage in reversed(told) if n == name), None)
            if ups.state is ON_MAINS and last is not None:
                assert (name, last) in over

    @invariant()
    def a_host_is_lost_only_on_mains(self) -> None:
        for event, seen in self.kinds(Kind.HOST_LOST):
            feeds = FEEDS[event.host] or tuple(seen.upses)
            assert {ON_MAINS} == {seen.upses[name].state for name in feeds}

    @invariant()
    def unknown_and_recovered_take_turns(self) -> None:
        for name in self.upses:
            told = [
                event.kind
                for event, _ in self.kinds(Kind.SENSOR_UNKNOWN, Kind.SENSOR_RECOVERED)
                if event.ups == name
            ]
            turns = [Kind.SENSOR_UNKNOWN, Kind.SENSOR_RECOVERED] * len(told)
            assert turns[: len(told)] == told

    @invariant()
    def a_host_is_back_only_after_it_was_told_to_go(self) -> None:
        for name in self.hosts:
            state = "here"
            for event, _ in self.log:
                if event.host != name or event.kind is Kind.COUNTDOWN:
                    continue
                before, after = MOVES[event.kind]
                assert state in before, (event.kind, state)
                state = after


MOVES = {
    Kind.HOST_COMMITTED: ({"here"}, "going"),
    Kind.HOST_DOWN: ({"going"}, "down"),
    Kind.HOST_LOST: ({"here"}, "lost"),
    Kind.HOST_BACK: ({"going", "down", "lost"}, "here"),
}


def boot(event: Event, seen: Seen) -> str:
    return next(host.boot_id for host in seen.hosts if host.name == event.host)


TestFleet = Fleet.TestCase
TestFleet.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
