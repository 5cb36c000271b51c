"""Drills among outages and faults: none of them changes anything real, and each one ends."""

import os
from dataclasses import replace

import pytest
from drill_world import WAIT_TIMEOUT, ViolationError
from drilled import Drilled, Twins
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from powmonman.core import drill, policy
from powmonman.core.messages import State
from powmonman.core.plan import Phase, Run

EXAMPLES = int(os.environ.get("POWMONMAN_EXAMPLES", "200")) // 2
HOST = st.integers(0, 1)
WAITS = st.sampled_from([1, 2, 3, 7, 16, 40, 61, 120, 300, 640])


class DrillsAndOutages(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 10**6))
    def begin(self, seed):
        self.twins = Twins(seed)

    @rule(seconds=WAITS)
    def wait(self, seconds):
        self.twins.wait(seconds)

    @rule(scale=st.sampled_from([1.0, 2.0, 10.0, 20.0]), seconds=WAITS)
    def drill(self, scale, seconds):
        self.twins.drilled.start(scale)
        self.twins.wait(seconds)

    @rule()
    def stop(self):
        self.twins.drilled.stop()

    @rule(id_=st.sampled_from(["", "forged", "other", "d1", "x" * 99]))
    def forge(self, id_):
        self.twins.drilled.forge(id_)

    @rule()
    def mains_toggle(self):
        self.twins.both(lambda world: setattr(world, "mains", not world.mains))

    @rule(works=st.booleans())
    def sensor(self, works):
        self.twins.both(lambda world: setattr(world, "sensor_works", works))

    @rule(host=HOST)
    def connection_reset(self, host):
        self.twins.both(lambda world: world.cut(world.hosts[host]))

    @rule(host=HOST)
    def client_restart(self, host):
        self.twins.both(lambda world: world.restart_client(world.hosts[host]))

    @rule(host=HOST, seconds=st.sampled_from([2, 4, 8, 14, 20, 90]))
    def client_stop(self, host, seconds):
        self.twins.both(lambda world: world.stop_client(world.hosts[host], seconds))

    @rule(host=HOST)
    def reset(self, host):
        self.twins.both(lambda world: world.boot_host(world.hosts[host]))

    @rule(host=HOST)
    def suspend(self, host):
        self.twins.both(lambda world: world.suspend(world.hosts[host]))

    @rule(host=HOST)
    def resume(self, host):
        self.twins.both(lambda world: world.resume(world.hosts[host]))

    @rule(seconds=st.sampled_from([3, 40]), reboot=st.booleans())
    def server_ends(self, seconds, reboot):
        self.twins.both(lambda world: world.end_server(seconds, reboot=reboot))

    @rule(seconds=st.sampled_from([2, 8, 20, 400]))
    def server_stops(self, seconds):
        def stop(world):
            world.server_stopped_until = world.time + seconds

        self.twins.both(stop)

    def teardown(self):
        if hasattr(self, "twins"):
            self.twins.drilled.forge("")
            self.twins.drilled.calm()


@pytest.mark.timeout(600)
def test_no_drill_changes_anything_real_and_each_one_ends():
    run_state_machine_as_test(
        DrillsAndOutages,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )


@pytest.mark.parametrize("scale", [1.0, 10.0, 20.0])
def test_a_drill_goes_as_the_outage_would(scale):
    """The whole way, at any speed: each host commits when a real outage would have it."""
    world = Drilled()
    world.drills = 1
    world.start(scale)
    world.wait(900 / scale + 10)
    assert world.stage.over
    assert not world.stage.reason
    assert world.checks == 2
    for host in world.hosts:
        part = world.stage.parts[host.name]
        assert 600 <= part.committed <= 600 + 2 * scale + 5
    assert world.stats["commits"] == 0


@pytest.mark.parametrize(("goes", "committed"), [(50, 600), (620, 690), (1e9, 600 + WAIT_TIMEOUT)])
def test_who_waits_goes_when_the_other_would_be_down_or_its_time_is_up(goes, committed):
    """The other takes the 60 s that are assumed of who was never measured."""
    world = Drilled()
    world.start(1.0)
    world.goes = world.time + goes
    world.wait(600 + WAIT_TIMEOUT + 60)
    part = world.stage.parts[world.hosts[-1].name]
    assert committed - 5 <= part.committed <= committed + 10
    assert (part.waited != ()) == (goes > 600)


def drill_in_the_truth(heard):
    """Feed what the drill says to the plan that can shut down."""

    def design(plan, state, rules, now):
        if isinstance(state, State) and state.drill is not None:
            state = replace(state, upses=state.drill.upses, drill=None)
        return heard(plan, state, rules, now)

    return design


def test_a_drill_in_the_real_plan_is_caught(monkeypatch):
    """The oracle is worth something only if it objects to the design that was rejected."""
    twins = Twins()
    monkeypatch.setattr(policy, "heard", drill_in_the_truth(policy.heard))
    twins.drilled.start(10.0)
    with pytest.raises(ViolationError):
        twins.wait(120)


def runs_in_a_drill(commands):
    """Forget that a drill's commit is none."""
    return [command for command in commands if isinstance(command, Run)]


def test_a_drill_that_runs_commands_is_caught(monkeypatch):
    monkeypatch.setattr(drill, "_effects", runs_in_a_drill)
    world = Drilled()
    world.start(20.0)
    with pytest.raises(ViolationError):
        world.wait(60)


def goes_on(part, _why):
    """Let a drill go on whatever is really the case."""
    return part, []


def test_a_drill_that_outlives_the_start_of_an_outage_is_caught(monkeypatch):
    monkeypatch.setattr(drill, "_end", goes_on)
    world = Drilled()
    world.start(1.0)
    world.wait(30)
    world.mains = False
    with pytest.raises(ViolationError):
        world.wait(30)


def test_a_real_outage_in_a_drill_is_as_one_without():
    twins = Twins()
    twins.drilled.start(1.0)
    twins.wait(200)
    twins.both(lambda world: setattr(world, "mains", False))
    twins.wait(700 + WAIT_TIMEOUT)
    assert twins.drilled.stage.reason
    assert [host.plan.phase for host in twins.drilled.hosts] == [Phase.COMMITTED] * 2
