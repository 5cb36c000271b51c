"""Any sequence of outages and faults: nobody goes down wrongly, nobody stays up wrongly.

`make safety` is the same for an hour.
"""

from __future__ import annotations

import ast
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import figures
import pytest
from fleet_machine import Fleet
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from virtual_time import virtual_time
from world import World

import powmonman.core
from powmonman.core.power import PowerState

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = int(os.environ.get("POWMONMAN_EXAMPLES", "0"))
MINUTES = float(os.environ.get("POWMONMAN_MINUTES", "0"))
# Always the same scripts, so that no change is turned down for a fault that it did not bring.
USUAL = 70
MODULES = sorted(Path(powmonman.core.__file__).parent.glob("*.py"))
CLOCKS = {"time", "datetime", "asyncio", "sched", "os", "random", "secrets"}


@pytest.fixture(autouse=True)
def _in_virtual_time() -> Iterator[None]:
    with virtual_time():
        yield


def run(examples: int, steps: int, *, usual: bool = False) -> None:
    run_state_machine_as_test(
        Fleet,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=usual,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )


@pytest.mark.timeout(3600)
def test_no_wrongful_and_no_missed_shutdown() -> None:
    run(EXAMPLES or USUAL, 25, usual=not EXAMPLES)
    assert figures.ALL.commits
    assert (0, 0) == (figures.ALL.wrongful, figures.ALL.missed)


@pytest.mark.skipif(not MINUTES, reason="make safety")
@pytest.mark.timeout(MINUTES * 60 + 3600)
def test_no_wrongful_and_no_missed_shutdown_for_long() -> None:
    """Batches of new scripts until the time is over; each prints what was tried so far."""
    end, steps = time.monotonic() + MINUTES * 60, 20
    while time.monotonic() < end:
        run(100, steps)
        steps = 20 if steps >= 50 else steps + 10
        left = max(0.0, end - time.monotonic()) / 60
        print(f"{left:5.1f} min left · {figures.ALL.line()}", file=sys.__stdout__, flush=True)


def test_the_wall_clock_decides_nothing() -> None:
    """The same script goes the same way, whatever the wall clock does."""

    def play(*steps: float) -> list[tuple[float, str, str]]:
        world, seen = World(servers=2, seed=1), []
        world.mains = False
        for second in range(900):
            if second % 100 == 50 and steps:
                world.steps_wall_clock(steps[second // 100 % len(steps)])
            world.wait(1)
            seen += [(world.time, host.machine, str(host.plan.phase)) for host in world.hosts]
        world.calm()
        return seen

    assert play() == play(3600.0, -50 * 365 * 86400.0, 86400.0, -3600.0)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_the_core_has_no_clock_and_no_chance(path: Path) -> None:
    """Nor does it do anything: what it does not import it can't look at."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert set() == imported & CLOCKS


def test_a_host_that_boots_in_mid_outage_sees_a_minute_of_battery_itself() -> None:
    world = World()
    world.mains = False
    world.wait(550)
    world.hosts[0].start()
    world.wait(60)
    assert world.hosts[0].machine == "on"
    world.wait(20)
    assert world.hosts[0].committed


def test_a_client_changes_to_the_other_server_in_mid_outage() -> None:
    """Each server has its own id for the outage; the countdown goes on."""
    world = World(hosts=1, servers=2)
    host = world.hosts[0]
    world.mains = False
    world.wait(300)
    first, left = host.server, host.plan.left(host.rules)
    assert first is not None
    outage = host.plan.outage
    first.end(1000, how="kill")
    world.wait(30)
    assert host.server not in (None, first)
    assert outage != host.plan.outage
    now = host.plan.left(host.rules)
    assert left is not None
    assert now is not None
    assert 25 < left - now < 35
    world.wait(300)
    assert host.committed


def test_a_disk_that_takes_nothing_makes_recovery_due() -> None:
    """The outage was not recorded; after the power cut everybody who was known is woken."""
    world = World()
    world.servers[0].disk_works = False
    world.mains = False
    world.wait(900)
    assert not any(host.on for host in world.hosts)
    world.servers[0].end(40, how="power cut")
    world.calm()
    assert all(host.on for host in world.hosts)


def test_a_host_in_contact_with_nobody_knows_nothing_and_does_nothing() -> None:
    world = World(hosts=1)
    world.links(world.hosts, up=False)
    world.hosts[0].start()
    world.mains = False
    world.wait(1400)
    assert world.hosts[0].plan.power is PowerState.UNKNOWN
    assert not world.figures.commits
