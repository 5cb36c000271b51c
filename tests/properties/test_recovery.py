"""Whatever an outage took down comes back; nothing else is woken, and nothing too early.

The rejected designs are put back one by one, and each is found out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from recovering import HOSTS, LIMITS, Design, World

if TYPE_CHECKING:
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


TestFleet = Fleet.TestCase
TestFleet.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("design", Design.__subclasses__())
def test_a_rejected_design_is_found_out(design: type[Design]) -> None:
    machine = type(design.__name__, (Fleet,), {"design": design})
    searching = settings(
        max_examples=3000,
        stateful_step_count=40,
        deadline=None,
        database=None,
        derandomize=True,
        # Two of them at once are raised as a group, if there is time to find the second.
        report_multiple_bugs=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=searching)
