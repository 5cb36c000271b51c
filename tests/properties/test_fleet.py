"""Any sequence of outages and faults: nobody goes down wrongly, nobody stays up wrongly."""

import os
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from world import BEAT, OTHERS, ViolationError, World

from powmonman.core import policy, waiting
from powmonman.core.plan import Now, Phase
from powmonman.core.power import PowerState

EXAMPLES = int(os.environ.get("POWMONMAN_EXAMPLES", "200"))
WAITS = st.sampled_from([1, 2, 3, 7, 13, 16, 40, 61, 120, 300, 590, 601, 640])
HOST = st.integers(0, 1)


class Fleet(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 10**6))
    def begin(self, seed):
        self.world = World(seed=seed)

    @rule(seconds=WAITS)
    def wait(self, seconds):
        self.world.wait(seconds)

    @rule()
    def mains_toggle(self):
        self.world.mains = not self.world.mains

    @rule(
        times=st.integers(2, 6),
        on=st.sampled_from([1, 2, 4, 6, 30]),
        off=st.sampled_from([1, 2, 50]),
    )
    def flap(self, times, on, off):
        for _ in range(times):
            self.world.mains = False
            self.world.wait(off)
            self.world.mains = True
            self.world.wait(on)

    @rule(works=st.booleans())
    def sensor(self, works):
        self.world.sensor_works = works

    @rule(host=HOST, up=st.booleans())
    def link(self, host, up):
        self.world.hosts[host].linked = up
        if up:
            self.world.cut(self.world.hosts[host])

    @rule(host=HOST)
    def connection_reset(self, host):
        self.world.cut(self.world.hosts[host])

    @rule(host=HOST, seconds=st.sampled_from([0, 2, 10, 40]))
    def client_restart(self, host, seconds):
        self.world.restart_client(self.world.hosts[host], seconds)

    @rule(
        host=HOST,
        after=st.sampled_from([None, 100.0, 600.0, 2000.0]),
        wait_for=st.sampled_from([(), OTHERS[:1], OTHERS]),
        wait_timeout=st.sampled_from([0.0, 30.0, 120.0, 400.0]),
    )
    def client_reload(self, host, **rules):
        self.world.reload_client(self.world.hosts[host], **rules)

    @rule(host=HOST, seconds=st.sampled_from([2, 4, 8, 14, 20, 90, 700]))
    def client_stop(self, host, seconds):
        self.world.stop_client(self.world.hosts[host], seconds)

    @rule(host=HOST)
    def reset(self, host):
        self.world.boot_host(self.world.hosts[host])

    @rule(host=HOST)
    def suspend(self, host):
        self.world.suspend(self.world.hosts[host])

    @rule(host=HOST)
    def resume(self, host):
        self.world.resume(self.world.hosts[host])

    @rule(down=st.frozensets(st.sampled_from(OTHERS)))
    def server_calls_down(self, down):
        """True or not: a server may be wrong about who is down, and may change its mind."""
        self.world.down = down

    @rule(seconds=st.sampled_from([3, 40]), reboot=st.booleans())
    def server_ends(self, seconds, reboot):
        self.world.end_server(seconds, reboot=reboot)

    @rule(seconds=st.sampled_from([2, 8, 20, 400]))
    def server_stops(self, seconds):
        self.world.server_stopped_until = self.world.time + seconds

    def teardown(self):
        if hasattr(self, "world"):
            self.world.calm()


def run():
    run_state_machine_as_test(
        Fleet,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )


@pytest.mark.timeout(600)
def test_no_wrongful_and_no_missed_shutdown():
    run()


def cancels_on_unknown(upses, rules):
    news = host_power(upses, rules)
    return replace(news, state=PowerState.ON_MAINS) if news.state is PowerState.UNKNOWN else news


def counts_unknown_as_battery(upses, rules):
    news = host_power(upses, rules)
    return replace(news, state=PowerState.ON_BATTERY) if news.state is PowerState.UNKNOWN else news


def sensor_fails_in_an_outage(world):
    world.mains = False
    world.wait(100)
    world.sensor_works = False
    world.wait(800)


def sensor_fails_on_mains(world):
    world.sensor_works = False
    world.wait(800)


def asleep_through_an_outage(world):
    world.mains = False
    world.wait(300)
    host = world.hosts[0]
    world.suspend(host)
    world.wait(600)
    world.mains = True
    world.wait(100)
    host.linked = False
    world.resume(host)
    world.wait(100)


def remembers_through_sleep(plan, now):
    """Take the time slept for time on battery that was lived through."""
    if plan.last is not None:
        plan = replace(plan, last=Now(now.running - (now.boot - plan.last.boot), plan.last.boot))
    return elapse(plan, now)


def restarts_at_every_word(plan, known, rules, after):
    """The original's fault: news of the outage starts its countdown anew."""
    plan, commands = on_battery(plan, known, rules, after)
    return replace(plan, spent=known.spent % 100), commands


def waits_without_end(plan, rules):
    """Order with no upper bound."""
    return not plan.pending(rules)


def unknown_ends_the_wait(plan, state, rules, now):
    plan, commands = heard(plan, state, rules, now)
    if plan.vague and plan.phase is Phase.WAITING:
        plan = replace(plan, phase=Phase.IDLE)
    return plan, commands


def a_state_is_believed_however_old(plan, state, rules, now):
    plan, commands = heard(plan, state, rules, now)
    return waiting.told(plan, state.own.waits, rules)[0], commands


def sensor_fails_in_the_wait(world):
    world.mains = False
    world.wait(650)
    world.sensor_works = False
    world.wait(300)


def old_news_lie_in_the_socket(world):
    """They call the others down, and no others come any more."""
    host = world.hosts[-1]
    world.mains = False
    world.wait(100)
    world.wait(-world.time % BEAT)
    world.down = frozenset(OTHERS)
    world._send(host, echo=0)
    world.down = frozenset()
    world.wait(1)
    host.linked = False
    world.wait(900)


host_power, elapse, on_battery = policy.host_power, policy.elapse, policy._on_battery
heard = policy.heard

REJECTED = [
    (waiting, "over", waits_without_end, lambda world: outage(world, 900)),
    (policy, "heard", unknown_ends_the_wait, sensor_fails_in_the_wait),
    (policy, "heard", a_state_is_believed_however_old, old_news_lie_in_the_socket),
    (policy, "host_power", cancels_on_unknown, sensor_fails_in_an_outage),
    (policy, "host_power", counts_unknown_as_battery, sensor_fails_on_mains),
    (policy, "_on_battery", restarts_at_every_word, lambda world: outage(world, 900)),
    (policy, "elapse", remembers_through_sleep, asleep_through_an_outage),
]


def outage(world, seconds):
    world.mains = False
    world.wait(seconds)


@pytest.mark.parametrize(("where", "name", "design", "script"), REJECTED)
def test_a_rejected_design_is_caught(monkeypatch, where, name, design, script):
    """The oracle is worth something only if it objects to what was found wrong before."""
    script(World())
    monkeypatch.setattr(where, name, design)
    with pytest.raises(ViolationError):
        script(World())
