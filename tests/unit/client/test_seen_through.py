"""What a client does about the request of one before it: it makes it to the end, or it is void."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from powmonman.client import stamp
from powmonman.client.agent import Agent
from powmonman.config.schema import ClientConfig, Tls
from powmonman.config.shutdown_keys import Command, Shutdown
from powmonman.core.plan import Alone, Now, Phase, Plan
from powmonman.core.power import PowerState
from powmonman.service.clock import boot_id, boottime
from powmonman.service.logs import Logs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LAST = Now(1.0, 1.0)
OUTAGE = Plan(phase=Phase.COMMITTED, power=PowerState.ON_BATTERY, outage="o1", last=LAST)
GROUNDS = [
    OUTAGE,
    Plan(phase=Phase.COMMITTED, power=PowerState.ON_MAINS, ordered=True, last=LAST),
    Plan(phase=Phase.COMMITTED, alone=Alone(since=5.0, looked=9.0, ran=True), last=LAST),
]
VOID = [
    Plan(),
    Plan(phase=Phase.COUNTING, power=PowerState.ON_BATTERY, last=LAST),
    Plan(phase=Phase.COMMITTED, power=PowerState.ON_MAINS, last=LAST),
    Plan(phase=Phase.COMMITTED, power=PowerState.ON_BATTERY, rehearsed=True, last=LAST),
]


@pytest.fixture
def agent(identities: Path, tmp_path: Path) -> Iterator[Agent]:
    config = ClientConfig(
        tls=Tls(identity=str(identities / "hosts" / "nas.pem")),
        shutdown=Shutdown((), Command(("true",)), via="unit"),
        runtime_dir=str(tmp_path),
        state_dir=str(tmp_path),
    )
    agent = Agent(tmp_path / "client.yml", config, Logs("powmonman.test"))
    yield agent
    for resource in (agent._wake, agent._woken, agent._selector):
        resource.close()


def leave(place: Path, name: str = "shutdown", **changes: Any) -> Path:
    """Leave a request behind."""
    made = {"boot_id": boot_id(), "at": boottime(), "reason": "why", **changes}
    (place / name).write_text(json.dumps(made), encoding="utf-8")
    return place / name


@pytest.mark.parametrize("plan", GROUNDS, ids=["outage", "order", "evidence"])
def test_a_request_that_was_decided_is_made_to_the_end(
    agent: Agent, tmp_path: Path, plan: Plan
) -> None:
    leave(tmp_path, "shutdown.prepared", at=boottime() - 200)
    agent._plan = plan
    agent._see_through()
    made = stamp.read(tmp_path / "shutdown")
    assert made
    assert boottime() - made.at < 100
    assert agent._plan == plan


@pytest.mark.parametrize("plan", VOID, ids=["idle", "counting", "mains are back", "dry run"])
@pytest.mark.parametrize("name", ["shutdown", "shutdown.prepared"])
def test_a_request_that_nobody_stands_behind_is_removed(
    agent: Agent, tmp_path: Path, plan: Plan, name: str
) -> None:
    request = leave(tmp_path, name)
    agent._plan = plan
    agent._see_through()
    assert not request.exists()
    assert not (tmp_path / "shutdown").exists()


@pytest.mark.parametrize("plan", GROUNDS, ids=["outage", "order", "evidence"])
def test_what_was_never_run_may_be_decided_anew(agent: Agent, tmp_path: Path, plan: Plan) -> None:
    """The commit is undone with its request, or a host would stay up in an outage that goes on."""
    request = leave(tmp_path, at=boottime() - stamp.STANDS_FOR - 1)
    agent._plan = plan
    agent._see_through()
    assert not request.exists()
    on_battery = plan.power is PowerState.ON_BATTERY
    assert agent._plan.phase is (Phase.COUNTING if on_battery else Phase.IDLE)
    assert agent._plan.alone == Alone()


def test_a_commit_that_root_has_taken_up_is_not_undone(agent: Agent) -> None:
    agent._plan = OUTAGE
    agent._see_through()
    assert agent._plan == OUTAGE
