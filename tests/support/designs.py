"""The designs that were rejected, each put back where it would have been, and how it is found out.

A design is a name as in the safety rules, the places that it changes, and a script that a fleet
with the true design lives through unharmed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import world_server
from oracle import LEASE
from world import World
from world_server import Server

from powmonman.core import elapsed, outage, policy, recovery, waiting
from powmonman.core.due import Limits
from powmonman.core.plan import Now, Phase
from powmonman.core.power import PowerState
from powmonman.service import clock

if TYPE_CHECKING:
    from collections.abc import Callable

ON_MAINS, ON_BATTERY, UNKNOWN = PowerState
host_power, elapse, heard, passed = policy.host_power, policy.elapse, policy.heard, policy.passed
on_mains, on_battery = policy._on_mains, policy._on_battery
supply_for, observe = world_server.supply_for, outage.Supply.observe
spent_until = outage.Supply._spent_until


@dataclass(frozen=True)
class Design:
    """One rejected design: `places` are (where, name, what stands there instead)."""

    name: str
    places: Callable[[], list[tuple[Any, str, Any]]]
    script: Callable[[World], None]


# What stands instead.
def taken_for(state: PowerState, said: PowerState) -> Any:
    def fold(upses: Any, rules: Any) -> Any:
        news = host_power(upses, rules)
        return replace(news, state=state) if news.state is said else news

    return fold


def starts_on_mains(ups: Any, sensor: Any, config: Any, earlier: Any = None) -> Any:
    supply = supply_for(ups, sensor, config, earlier)
    if earlier is None:
        supply = replace(supply, debounce=replace(supply.debounce, state=ON_MAINS))
    return supply


def gives_up_in_silence(plan: Any, rules: Any, now: Any, **how: Any) -> Any:
    plan, commands = passed(plan, rules, now, **how)
    if plan.phase is Phase.COUNTING and plan.silent >= plan.lease:
        plan = replace(plan, phase=Phase.IDLE, power=UNKNOWN)
    return plan, commands


def silence_is_an_outage(plan: Any, rules: Any, now: Any, **how: Any) -> Any:
    if plan.power is ON_MAINS and plan.silent >= plan.lease:
        plan = replace(plan, power=ON_BATTERY, phase=Phase.COUNTING)
    return passed(plan, rules, now, **how)


def whatever_comes_is_fresh(plan: Any, state: Any, rules: Any, now: Any) -> Any:
    plan, commands = elapse(plan, now)
    plan = replace(plan, pings=(*plan.pings, (state.echo, now.running)))
    plan, more = heard(plan, state, rules, now)
    return plan, commands + more


def refuses_lower_numbers() -> Callable[..., Any]:
    highest = [0]

    def hears(plan: Any, state: Any, rules: Any, now: Any) -> Any:
        if state.seq < highest[0]:
            return plan, []
        highest[0] = state.seq
        return heard(plan, state, rules, now)

    return hears


def begins_anew_after_a_failed_poll(plan: Any, state: Any, rules: Any, now: Any) -> Any:
    failed = plan.vague
    plan, commands = heard(plan, state, rules, now)
    if failed and plan.power is ON_BATTERY and not plan.vague and plan.phase is Phase.COUNTING:
        plan = replace(plan, spent=0.0, observed=0.0)
    return plan, commands


def counts_the_sleep(plan: Any, now: Any) -> Any:
    """Take the time slept for time on battery that was lived through."""
    if plan.last is not None:
        plan = replace(plan, last=Now(now.running - (now.boot - plan.last.boot), plan.last.boot))
    return elapse(plan, now)


def as_long_as_anybody_is_up(plan: Any, rules: Any) -> bool:
    return not plan.pending(rules)


def writes_nothing(_: Any) -> None:
    return None


def only_what_was_recorded(_: Any, record: Any) -> Any:
    return record


def believes_whoever_speaks(self: Any, seen: Any) -> Any:
    present = true_present(self, seen)
    there = present.connected
    return replace(present, awake=there, told=there, committed=False)


true_present, true_tick = Server._present, Server.tick


def halts_itself_last(self: Any, dt: float) -> None:
    hosts = [self.world.host(name) for name in self.seen]
    if self.up and self.supply.outage and hosts and not any(host.on for host in hosts):
        self.end(1e9, how="reboot")
    true_tick(self, dt)


def by_the_wall_clock() -> Now:
    return Now(running=clock.time.time(), boot=clock.time.time())


def forgets_what_was_spent(plan: Any, known: Any, rules: Any) -> Any:
    plan, commands = on_mains(plan, known, rules)
    return replace(plan, spent=0.0), commands


def forgives_what_was_spent(self: Any, *reading: Any) -> Any:
    supply = observe(self, *reading)
    return replace(supply, spent=0.0) if supply.state is ON_MAINS else supply


def forgets_what_it_saw(plan: Any, known: Any, rules: Any) -> Any:
    plan, commands = on_mains(plan, known, rules)
    return replace(plan, observed=0.0), commands


def spends_without_end(self: Any, now: float) -> float:
    passed = 0.0 if self.at is None else max(0.0, now - self.at)
    return self.spent + passed if self.outage is not None else spent_until(self, now)


def never_saturates(ups: Any, sensor: Any, config: Any, earlier: Any = None) -> Any:
    supply = supply_for(ups, sensor, config, earlier)
    return replace(supply, spent=earlier.spent) if earlier is not None else supply


def unknown_ends_the_wait(plan: Any, state: Any, rules: Any, now: Any) -> Any:
    plan, commands = heard(plan, state, rules, now)
    if plan.vague and plan.phase is Phase.WAITING:
        plan = replace(plan, phase=Phase.IDLE)
    return plan, commands


def believes_who_is_down_however_old(plan: Any, state: Any, rules: Any, now: Any) -> Any:
    plan, commands = heard(plan, state, rules, now)
    return waiting.told(plan, state.own.waits, rules)[0], commands


def restarts_at_every_word(plan: Any, known: Any, rules: Any, after: float) -> Any:
    plan, commands = on_battery(plan, known, rules, after)
    return replace(plan, spent=known.spent % 100), commands


# The scripts.
def lasts(world: World, seconds: float = 900) -> None:
    world.mains = False
    world.wait(seconds)


def returns(world: World, seconds: float = 100) -> None:
    world.mains = True
    world.wait(seconds)


def sensor_fails_in_an_outage(world: World) -> None:
    lasts(world, 100)
    world.servers[0].sensor_works = False
    world.wait(900)


def sensor_fails_on_mains(world: World) -> None:
    world.servers[0].sensor_works = False
    world.wait(900)


def server_restarts_in_an_outage(world: World) -> None:
    lasts(world, 100)
    world.servers[0].end(3, how="restart")
    world.wait(800)


def contact_is_lost_in_an_outage(world: World) -> None:
    lasts(world, 100)
    world.links(world.hosts, up=False)
    world.wait(900)


def contact_is_lost_on_mains(world: World) -> None:
    world.links(world.hosts, up=False)
    world.wait(900)


def mains_return_while_a_client_stalls(world: World) -> None:
    lasts(world, 560)
    world.hosts[0].stop(150)
    world.wait(10)
    returns(world, 300)


def server_restarts_and_the_mains_return(world: World) -> None:
    world.wait(300)
    lasts(world, 300)
    world.servers[0].end(3, how="restart")
    world.wait(20)
    returns(world, 600)


def a_poll_fails_now_and_then(world: World) -> None:
    world.mains = False
    for _ in range(4):
        world.wait(290)
        world.servers[0].sensor_works = False
        world.wait(6)
        world.servers[0].sensor_works = True


def asleep_through_an_outage(world: World) -> None:
    lasts(world, 300)
    host = world.hosts[0]
    host.suspend()
    world.wait(600)
    returns(world)
    host.linked = False
    host.resume()
    world.wait(100)


def the_others_stay_up(world: World) -> None:
    for host in world.hosts[:-1]:
        host.stubborn = True
    lasts(world, 900)


def stalls_again_and_again(world: World) -> None:
    lasts(world, 580)
    world.links(world.hosts, up=False)
    for _ in range(60):
        world.hosts[0].stop(5)
        world.wait(10)


def the_disk_is_full_as_the_outage_begins(world: World) -> None:
    world.servers[0].disk_works = False
    lasts(world, 900)
    world.servers[0].end(40, how="power cut")
    returns(world)


def mains_return_as_hosts_go_down(world: World) -> None:
    """They go on talking until their machines stop."""
    for _ in range(2):
        lasts(world, 1)
        while not any(host.committed for host in world.hosts):
            world.wait(1)
        returns(world, 300)
        world.calm()


def server_is_killed_before_the_deadline(world: World) -> None:
    lasts(world, 590)
    world.servers[0].end(400, how="kill")
    world.wait(200)
    returns(world, 300)


def the_wall_clock_steps(world: World) -> None:
    lasts(world, 100)
    for seconds in (7200, -86400 * 365 * 60, 3600):
        world.steps_wall_clock(seconds)
        world.wait(20)
    world.wait(700)


def flaps(world: World, off: int) -> None:
    while world.power and any(host.on for host in world.hosts):
        lasts(world, off)
        returns(world, 7)


def lasts_for_hours(world: World) -> None:
    world.mains = False
    world.wait(9_000, 3.0)


def again_and_again(world: World) -> None:
    """As soon as somebody has booted, the mains fail again."""
    for _ in range(10):
        lasts(world, 900)
        returns(world, 130)


def sensor_fails_in_the_wait(world: World) -> None:
    for host in world.hosts[:-1]:
        host.stubborn = True
    lasts(world, 650)
    world.servers[0].sensor_works = False
    world.wait(300)


def old_news_lie_in_the_socket(world: World) -> None:
    """They call the others down, and no others come any more."""
    host, server = world.hosts[-1], world.servers[0]
    for other in world.hosts[:-1]:
        other.stubborn = True
    lasts(world, 300)
    server.lie = frozenset({"h0", "h1"})
    old = server.state(host, 0, 1)
    server.lie = None
    host.inbox.insert(0, (world.time, old))
    world.wait(1)
    host.linked = False
    world.wait(900)


def server_stands_still_for_less_than_a_lease(world: World) -> None:
    for _ in range(10):
        world.servers[0].stopped_until = world.time + LEASE - 1
        world.wait(27)


SCRIPTED = [
    Design(
        "cancel on unknown",
        lambda: [(policy, "host_power", taken_for(ON_MAINS, UNKNOWN))],
        sensor_fails_in_an_outage,
    ),
    Design(
        "start as on mains",
        lambda: [(world_server, "supply_for", starts_on_mains)],
        server_restarts_in_an_outage,
    ),
    Design(
        "stop counting when contact is lost on battery",
        lambda: [(policy, "passed", gives_up_in_silence)],
        contact_is_lost_in_an_outage,
    ),
    Design(
        "count lost contact on mains as an outage",
        lambda: [(policy, "passed", silence_is_an_outage)],
        contact_is_lost_on_mains,
    ),
    Design(
        "commit on a stale queued message after a stall",
        lambda: [(policy, "heard", whatever_comes_is_fresh)],
        mains_return_while_a_client_stalls,
    ),
    Design(
        "sequence numbers that must rise",
        lambda: [(policy, "heard", refuses_lower_numbers())],
        server_restarts_and_the_mains_return,
    ),
    Design(
        "lease of less than three heartbeats",
        lambda: [(World, "beat", 8)],
        server_stands_still_for_less_than_a_lease,
    ),
    Design(
        "restart the countdown when polls fail",
        lambda: [(policy, "heard", begins_anew_after_a_failed_poll)],
        a_poll_fails_now_and_then,
    ),
    Design(
        "resume from suspend counts the time slept as outage",
        lambda: [(policy, "elapse", counts_the_sleep)],
        asleep_through_an_outage,
    ),
    Design(
        "order without an upper bound",
        lambda: [(waiting, "over", as_long_as_anybody_is_up)],
        the_others_stay_up,
    ),
    Design(
        "stall grace without an upper bound",
        lambda: [(elapsed, "SHORT_STALLS", 10**9)],
        stalls_again_and_again,
    ),
    Design(
        "recovery due only if an outage was recorded",
        lambda: [(Server, "power_cut", only_what_was_recorded)],
        the_disk_is_full_as_the_outage_begins,
    ),
    Design(
        "recovery proven by any heartbeat",
        lambda: [(Server, "_present", believes_whoever_speaks)],
        mains_return_as_hosts_go_down,
    ),
    Design(
        "recovery record written after the shutdown",
        lambda: [(Server, "remember", writes_nothing)],
        server_is_killed_before_the_deadline,
    ),
    Design(
        "the Pi halts itself last",
        lambda: [(Server, "tick", halts_itself_last)],
        lambda world: (lasts(world, 900), returns(world)),
    ),
    Design(
        "wall clock in any deadline",
        lambda: [(clock, "now", by_the_wall_clock)],
        the_wall_clock_steps,
    ),
    Design(
        "unknown counts as on battery",
        lambda: [(policy, "host_power", taken_for(ON_BATTERY, UNKNOWN))],
        sensor_fails_on_mains,
    ),
    Design(
        "news of the outage restart the countdown",
        lambda: [(policy, "_on_battery", restarts_at_every_word)],
        lasts,
    ),
    Design(
        "the budget is reset when the mains return",
        lambda: [
            (policy, "_on_mains", forgets_what_was_spent),
            (outage.Supply, "observe", forgives_what_was_spent),
        ],
        lambda world: flaps(world, 100),
    ),
    Design(
        "what a host saw of battery is reset when the mains return",
        lambda: [(policy, "_on_mains", forgets_what_it_saw)],
        lambda world: flaps(world, 50),
    ),
    Design(
        "the budget has no end",
        lambda: [
            (outage.Supply, "_spent_until", spends_without_end),
            (world_server, "supply_for", never_saturates),
        ],
        lasts_for_hours,
    ),
    Design(
        "waking without looking at the budget",
        lambda: [(world_server, "LIMITS", Limits(reserve=-1e9))],
        again_and_again,
    ),
    Design(
        "waking whatever the mains do",
        lambda: [(recovery, "closed", lambda *_: "")],
        lambda world: lasts(world, 1000),
    ),
    Design(
        "unknown ends the wait for others",
        lambda: [(policy, "heard", unknown_ends_the_wait)],
        sensor_fails_in_the_wait,
    ),
    Design(
        "who is down is believed however old it is",
        lambda: [(policy, "heard", believes_who_is_down_however_old)],
        old_news_lie_in_the_socket,
    ),
]
