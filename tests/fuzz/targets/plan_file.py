"""The client's plan on disk: whatever stands there it starts, and garbage shuts nothing down."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fuzzing import expect, instead, scratch
from words import JSON, PLAN

from powmonman.client.kept import FILE, load_plan, save_plan
from powmonman.core import policy
from powmonman.core.messages import Ack, Policy, State, UpsNews, encode
from powmonman.core.plan import Acknowledge, Ask, Command, Now, Phase, Plan, Rules, Run
from powmonman.core.power import PowerState
from powmonman.service.files import LARGEST as LARGEST_FILE
from targets import messages as lines

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = (*JSON, *PLAN, b'{"boot_id":"b","plan":{', b'"last":{"running":1000,"boot":2000}')
LARGEST = 3000
BEGAN = Now(1010.0, 2010.0)
RULES = Rules()


def target(data: bytes) -> None:
    path = scratch() / FILE
    path.write_bytes(data)
    with instead({"powmonman.client.kept.boot_id": lambda: "b"}):
        plan = load_plan(scratch(), BEGAN)
        said = _said(data)
        if plan != Plan():
            expect(said, "a plan from nowhere")
        expect(plan.power is not PowerState.ON_MAINS or said["power"] == "on_mains", "on mains?")
        expect(save_plan(scratch(), plan) == "", "the plan can't be kept")
        again = load_plan(scratch(), BEGAN)
        expect(again == plan or plan.last is None, "kept and taken up again it is another plan")
    _is_told_of_mains(plan)
    _stays_alone(plan, counts=_counts(said))


def hostile() -> Iterator[bytes]:
    yield from lines.hostile()
    yield b"[" * LARGEST_FILE
    yield b'{"a":' * (LARGEST_FILE // 5)
    yield b'"' + b"\\" * LARGEST_FILE
    yield b"9" * LARGEST_FILE
    yield b" " * (LARGEST_FILE + 1)


def _said(data: bytes) -> dict[str, object]:
    """Return what the file itself says of the plan."""
    try:
        kept = json.loads(data)
        return dict(kept["plan"]) if kept["boot_id"] == "b" else {}
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}


def _counts(said: dict[str, object]) -> bool:
    """Whether a client that wrote this had reason to count: a known outage, or an order."""
    known = said.get("phase") in ("counting", "waiting") and said.get("power") == "on_battery"
    return known or (said.get("phase") == "waiting" and said.get("ordered") is True)


def _is_told_of_mains(plan: Plan) -> None:
    """The client connects, and is told that all is well: that ends every countdown."""
    plan, commands = policy.connected(plan, BEGAN)
    asked = next(command.nonce for command in commands if isinstance(command, Ask))
    news = {"ups": UpsNews(PowerState.ON_MAINS)}
    state = State("s", 15.0, Policy(), news, seq=1, echo=asked)
    plan, commands = policy.heard(plan, state, RULES, BEGAN)
    for command in commands:
        if isinstance(command, Acknowledge):
            expect(encode(Ack(command.seq, command.nonce)), "the state can't be acknowledged")
    if not plan.ordered:
        _none_runs(commands, "S5: shut down by a file although the mains are good")
    expect(plan.power is PowerState.ON_MAINS, "what the server says is not believed")
    expect(plan.phase is not Phase.COUNTING, "S5: the mains did not cancel")


def _stays_alone(plan: Plan, *, counts: bool) -> None:
    """Nobody answers: only what was known of an outage may lead to a commit, and it must."""
    began = plan
    ran, passed = False, 0.0
    for _ in range(100):
        passed = max(passed + 5.0, plan.wake_at - BEGAN.running)
        now = Now(BEGAN.running + passed, BEGAN.boot + passed)
        plan, commands = policy.passed(plan, RULES, now, connected=False)
        run = any(isinstance(command, Run) for command in commands)
        expect(not run or counts, "S1, S2: a commit that garbage on the disk is the ground for")
        fresh = now.running <= began.fresh_until and passed > policy.LONGEST_LEASE
        expect(not run or not fresh, "S2: news of a file stay fresh for longer than any lease")
        expect(not (run and ran), "S4: it commits twice")
        ran |= run


def _none_runs(commands: list[Command], broken: str) -> None:
    expect(not any(isinstance(command, Run) for command in commands), broken)
