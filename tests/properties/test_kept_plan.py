"""Whatever a client has come to know, the next process of it can read."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from powmonman.client.kept import load_plan, save_plan
from powmonman.core import policy
from powmonman.core.messages import Order, Own, Policy, State, UpsNews, decode, encode
from powmonman.core.plan import Now, Phase, Plan, Rules
from powmonman.core.power import PowerState

texts = st.text(max_size=30) | st.sampled_from(["x" * 1000, "\N{SNOWMAN}" * 1024, "\x1b[2J\n"])
names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=63)
percent = st.none() | st.floats(0, 100)
news = st.builds(
    UpsNews,
    state=st.sampled_from([PowerState.ON_BATTERY, PowerState.ON_BATTERY, *PowerState]),
    outage=st.text("0123456789abcdef", min_size=32, max_size=32),
    age=st.floats(0, 1e9),
    spent=st.floats(0, 1e9),
    charge=percent,
    charge_at_start=percent,
    runtime=st.none() | st.floats(0, 1e9),
    low_battery=st.booleans(),
    reason=texts,
)
steps = st.lists(
    st.tuples(
        st.floats(0, 200),
        st.lists(news, min_size=1, max_size=3),
        st.integers(1, 40),
        st.booleans(),
        texts,
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=steps, waits=st.lists(names, max_size=40, unique=True), name=names)
def test_every_plan_that_a_client_can_reach_is_read_back(
    steps: list[tuple[float, list[UpsNews], int, bool, str]], waits: list[str], name: str
) -> None:
    """Many UPSes that trip at once, many hosts that are waited for, long reasons."""
    rules = Rules(min_observe=0.0, confirm=0.0, wait_for=tuple(waits), wait_timeout=60.0)
    fleet = Policy(after=300.0, charge_below=90.0, charge_drop=0.1, runtime_below=3600.0)
    plan, time = Plan(), 1000.0
    with tempfile.TemporaryDirectory() as place:
        for seconds, kinds, count, ordered, text in steps:
            time += seconds
            now = Now(time, time)
            upses = {f"{name}-{n}": kinds[n % len(kinds)] for n in range(count)}
            order = Order(text or "x", 0.5) if ordered else None
            own = Own(waits=tuple(waits[: count % 7]), order=order)
            state = State(text, 15.0, fleet, upses, own=own, echo=plan.nonce)
            try:
                heard = decode(encode(state))
            except ValueError:
                continue
            assert isinstance(heard, State)
            plan, _ = policy.heard(plan, heard, rules, now)
            assert save_plan(Path(place), plan) == ""
            kept = load_plan(Path(place), now)
            assert (kept.phase, kept.spent, kept.due) == (plan.phase, plan.spent, plan.due)
            assert plan.phase is Phase.IDLE or kept != Plan()
