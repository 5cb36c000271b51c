"""The plan across a restart of the client: what is taken up, and what is forgotten."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powmonman.client.kept import load_plan, save_plan
from powmonman.core.plan import Now, Phase, Plan
from powmonman.core.power import PowerState
from powmonman.core.records import from_json, to_json

if TYPE_CHECKING:
    from pathlib import Path

KEPT_AT = Now(running=5000.0, boot=9000.0)
COUNTING = Plan(
    power=PowerState.ON_BATTERY,
    phase=Phase.COUNTING,
    outage="o1",
    after=600.0,
    spent=200.0,
    observed=200.0,
    unbroken=200.0,
    nonce=7,
    pings=((7, 4999.0),),
    last=KEPT_AT,
    wake_at=5001.0,
)


def later(seconds: float) -> Now:
    return Now(KEPT_AT.running + seconds, KEPT_AT.boot + seconds)


def rewrite(path: Path, **changes: Any) -> None:
    kept = json.loads((path / "plan.json").read_text("utf-8"))
    (path / "plan.json").write_text(json.dumps({**kept, **changes}), encoding="utf-8")


def test_without_a_file_nothing_is_known(tmp_path: Path) -> None:
    assert load_plan(tmp_path, later(0)) == Plan()


def test_a_restart_goes_on_counting_and_waits_for_no_old_answer(tmp_path: Path) -> None:
    assert save_plan(tmp_path, COUNTING) == ""
    assert load_plan(tmp_path, later(3)) == replace(COUNTING, pings=())


def test_a_plan_of_another_boot_is_forgotten(tmp_path: Path) -> None:
    save_plan(tmp_path, COUNTING)
    rewrite(tmp_path, boot_id="another")
    assert load_plan(tmp_path, later(3)) == Plan()


def test_a_plan_from_the_future_is_forgotten(tmp_path: Path) -> None:
    save_plan(tmp_path, COUNTING)
    assert load_plan(tmp_path, later(-1)) == Plan()


def test_an_outage_that_no_battery_outlasts_is_forgotten(tmp_path: Path) -> None:
    save_plan(tmp_path, COUNTING)
    assert load_plan(tmp_path, later(1200)).phase is Phase.COUNTING
    assert load_plan(tmp_path, later(1201)) == Plan()


def test_a_slow_restart_keeps_the_shortest_countdown(tmp_path: Path) -> None:
    """With `after: 5` min_observe decides: the countdown takes 60 s, and a restart may take 11."""
    save_plan(tmp_path, replace(COUNTING, after=5.0, observed=50.0))
    assert load_plan(tmp_path, later(11)).observed == 50.0
    assert load_plan(tmp_path, later(301)) == Plan()


def test_a_commit_is_not_forgotten_with_its_outage(tmp_path: Path) -> None:
    """Else a client that is started late would run the commands a second time in one boot."""
    save_plan(tmp_path, replace(COUNTING, phase=Phase.COMMITTED))
    assert load_plan(tmp_path, later(5000)) == Plan(phase=Phase.COMMITTED, outage="o1")


WAITING = replace(
    COUNTING, phase=Phase.WAITING, down=("web1",), waited=20.0, why="waiting for web2"
)
ORDERED = replace(WAITING, power=PowerState.ON_MAINS, outage="", ordered=True)


def test_a_restart_goes_on_waiting(tmp_path: Path) -> None:
    save_plan(tmp_path, WAITING)
    assert load_plan(tmp_path, later(3)) == replace(WAITING, pings=())


def test_an_order_is_forgotten_when_its_wait_has_long_been_over(tmp_path: Path) -> None:
    """A client that is started days after it must not shut its host down."""
    save_plan(tmp_path, ORDERED)
    assert load_plan(tmp_path, later(300)).phase is Phase.WAITING
    assert load_plan(tmp_path, later(301)) == Plan()


def test_the_outage_is_not_forgotten_with_an_order(tmp_path: Path) -> None:
    save_plan(tmp_path, replace(WAITING, ordered=True))
    plan = load_plan(tmp_path, later(301))
    assert (plan.phase, plan.ordered) == (Phase.COUNTING, False)


@pytest.mark.parametrize(
    "change",
    [
        {"lease": 0.0},
        {"lease": -3.0},
        {"refill_ratio": 0.5},
        {"after": 0.0},
        {"waited": -1e9},
        {"spent": -1.0},
        {"lease": 1e6},
        {"after": 1e300},
        {"short_stalls": -1},
        {"nonce": 10**4299},
        {"power": "on_mains"},
        {"power": "unknown", "phase": "waiting"},
        {"power": "unknown", "ordered": True},
    ],
)
def test_what_no_client_wrote_is_not_taken_up(tmp_path: Path, change: dict[str, Any]) -> None:
    save_plan(tmp_path, COUNTING)
    rewrite(tmp_path, plan={**to_json(COUNTING), **change})
    assert load_plan(tmp_path, later(1)) == Plan()


@pytest.mark.parametrize(
    "plan", [None, [], "x", {"phase": "drunk"}, {"spent": "1e400"}, {"last": {"running": 1}}]
)
def test_what_is_no_plan_is_not_taken_up(tmp_path: Path, plan: Any) -> None:
    save_plan(tmp_path, COUNTING)
    rewrite(tmp_path, plan=plan)
    assert load_plan(tmp_path, later(1)) == Plan()


def test_old_news_are_no_fresher_than_a_lease_because_of_what_was_kept(tmp_path: Path) -> None:
    save_plan(tmp_path, replace(COUNTING, fresh_until=1e18))
    assert load_plan(tmp_path, later(1)).fresh_until == KEPT_AT.running + COUNTING.lease


def test_a_client_never_sleeps_on_because_of_what_it_kept(tmp_path: Path) -> None:
    save_plan(tmp_path, replace(COUNTING, wake_at=1e18))
    assert load_plan(tmp_path, later(1)).wake_at == later(1).running


def test_a_directory_that_takes_nothing_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert save_plan(missing, COUNTING) == f"{missing}/plan.json: No such file or directory"


seconds = st.floats(0, 1e6)


@given(
    st.builds(
        Plan,
        power=st.sampled_from(PowerState),
        phase=st.sampled_from(Phase),
        outage=st.text("0123456789abcdef", max_size=32),
        spent=seconds,
        observed=seconds,
        fresh_until=seconds,
        pings=st.lists(st.tuples(st.integers(-(2**63) + 1, 2**63 - 1), seconds)).map(tuple),
        last=st.none() | st.builds(Now, seconds, seconds),
        holding=st.booleans(),
    )
)
def test_a_plan_comes_back_from_json_as_it_was(plan: Plan) -> None:
    assert from_json(Plan, json.loads(json.dumps(to_json(plan)))) == plan
