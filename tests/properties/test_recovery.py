"""Whatever an outage took down comes back; nothing else is woken, and nothing too early.

The rejected designs are put back one by one, and each is found out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import figures
import pytest
from figures import Caught
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from recovering import FULL, HOSTS, LIMITS, Design, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from powmonman.core.due import Recovery, Scene

NAMES = st.sampled_from([*HOSTS])
UPSES = st.sampled_from(["rack", "desk"])


class Fleet(RuleBasedStateMachine):
    """Five hosts on two UPSes; one of them is off to begin with."""

    design: type[Design] = Design

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.design())

    @rule(name=UPSES)
    def mains_lost(self, name: str) -> None:
        self.world.loses(name)

    @rule()
    def all_mains_lost(self) -> None:
        for name in ("rack", "desk"):
            self.world.loses(name)

    @rule(name=UPSES)
    def mains_back(self, name: str) -> None:
        self.world.returns(name)

    @rule(name=UPSES)
    def sensor_fails(self, name: str) -> None:
        self.world.blinds(name)

    @rule(name=UPSES, charge=st.sampled_from([None, 10.0, 90.0]))
    def charge_known(self, name: str, charge: float | None) -> None:
        self.world.upses[name].charge = charge

    @rule(name=UPSES, spent=st.sampled_from([0.0, 699.0, 1000.0]))
    def spent(self, name: str, spent: float) -> None:
        self.world.upses[name].spent = spent

    @rule(seconds=st.sampled_from([1, 3, 12, 61]), write=st.booleans())
    def passes(self, seconds: int, write: bool) -> None:
        """What is not written is lost in a crash; only an outage's beginning never is."""
        self.world.passes(seconds, write=write)

    @rule()
    def everybody_understands(self) -> None:
        for name in HOSTS:
            self.world.understands(name)

    @rule(name=NAMES)
    def understands(self, name: str) -> None:
        self.world.understands(name)

    @rule(name=NAMES)
    def commits(self, name: str) -> None:
        self.world.commits(name)

    @rule(name=NAMES)
    def goes_off(self, name: str) -> None:
        self.world.goes_off(name)

    @rule(name=NAMES)
    def boots(self, name: str) -> None:
        self.world.boots_host(name)
        self.world.connects(name)

    @rule(name=NAMES)
    def connects(self, name: str) -> None:
        self.world.connects(name)

    @rule(name=NAMES)
    def cut_off(self, name: str) -> None:
        self.world.cut_off(name)

    @rule()
    def server_is_killed(self) -> None:
        self.world.crashes()

    @rule()
    def server_starts(self) -> None:
        self.world.restarts()

    @rule()
    def power_cut(self) -> None:
        self.world.power_cut()

    def teardown(self) -> None:
        self.world.settles()


class OnlyIfRecorded(Design):
    """Recovery is due only if an outage was recorded."""

    def power_cut(self, record: Recovery, boot: str) -> Recovery:  # noqa: ARG002
        return record


class AnyHeartbeat(Design):
    """A host that speaks is there, whatever it says."""

    def scene(self, scene: Scene) -> Scene:
        hosts = {
            name: replace(host, awake=host.connected, told=host.connected, committed=False)
            for name, host in scene.hosts.items()
        }
        return replace(scene, hosts=hosts)


class Connection(Design):
    """A host that is connected, and has not said that it goes, is there."""

    def scene(self, scene: Scene) -> Scene:
        hosts = {
            name: replace(host, awake=host.connected and not host.committed, told=host.connected)
            for name, host in scene.hosts.items()
        }
        return replace(scene, hosts=hosts)


class WrittenAfterwards(Design):
    """Nothing is written when the outage begins."""

    writes_first = False


class SmallIds(Design):
    """The ids of states are small numbers that wrap."""

    def state_id(self, count: int) -> int:
        return count % 2


class Everybody(Design):
    """Whoever is not there when the mains return is woken."""

    def begun(self, record: Recovery, ups: str, began: float, scene: Scene) -> Recovery:
        hosts = {name: replace(host, connected=True) for name, host in scene.hosts.items()}
        return super().begun(record, ups, began, replace(scene, hosts=hosts))


class NoOrder(Design):
    """All are woken at the same time."""

    def scene(self, scene: Scene) -> Scene:
        hosts = {
            name: replace(host, known=replace(host.known, wait_for=()))
            for name, host in scene.hosts.items()
        }
        return replace(scene, hosts=hosts)


class NoGate(Design):
    """Mains are mains."""

    limits = replace(LIMITS, reserve=-1e9)


class AtOnce(Design):
    """Mains that have just returned are good enough."""

    limits = replace(LIMITS, wake_after=0.0)


def goes_down(world: World, *names: str) -> None:
    """Lose all mains; these hosts commit and stop."""
    for ups in ("rack", "desk"):
        world.loses(ups)
    for name in names:
        world.understands(name)
        world.commits(name)
        world.goes_off(name)


def returns(world: World, seconds: float) -> None:
    for ups in ("rack", "desk"):
        world.returns(ups)
    world.passes(seconds)


def counts_and_is_still_to_hear(world: World) -> None:
    world.loses("rack")
    world.understands("web")
    world.returns("rack")
    world.passes(3)


def many_states(world: World) -> None:
    world.loses("rack")
    world.understands("web")
    world.blinds("desk")
    world.returns("rack")
    world.passes(3)


def killed_before_the_commit(world: World) -> None:
    world.loses("rack")
    world.understands("nas")
    world.commits("nas")
    world.crashes()
    world.goes_off("nas")
    world.returns("rack")


def an_empty_battery(world: World) -> None:
    goes_down(world, "web")
    for ups in world.upses.values():
        ups.spent = FULL
    returns(world, 30)


def all_go(world: World) -> None:
    goes_down(world, "nas", "web", "db")
    returns(world, 30)


REJECTED = [
    ("recovery due only if an outage was recorded", OnlyIfRecorded, World.power_cut),
    ("recovery proven by any heartbeat", AnyHeartbeat, counts_and_is_still_to_hear),
    ("recovery proven by a connection", Connection, counts_and_is_still_to_hear),
    ("recovery record written after the shutdown", WrittenAfterwards, killed_before_the_commit),
    ("small wrapping ids", SmallIds, many_states),
    ("waking whoever is not there", Everybody, all_go),
    ("waking all at the same time", NoOrder, all_go),
    ("waking without looking at the budget", NoGate, an_empty_battery),
    ("waking as soon as the mains return", AtOnce, all_go),
]


@pytest.mark.parametrize(("name", "design", "script"), REJECTED, ids=[row[0] for row in REJECTED])
def test_a_rejected_design_is_found_out(
    name: str, design: type[Design], script: Callable[[World], None]
) -> None:
    """The same script does no harm to the true design."""

    def play(world: World) -> None:
        script(world)
        world.settles()

    play(World())
    world = World(design())
    with pytest.raises(AssertionError) as caught:
        play(world)
    by = f"script of the recovery: {str(caught.value).splitlines()[0]}"
    figures.CAUGHT.append(Caught(name, by, f"{world.now - 1000:.0f} s of virtual time"))


TestFleet = Fleet.TestCase
TestFleet.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
