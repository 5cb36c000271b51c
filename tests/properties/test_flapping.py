"""Mains that flap, as slow or fast as they like, put no shutdown off."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from powmonman.core import policy
from powmonman.core.messages import Policy, State
from powmonman.core.outage import Supply
from powmonman.core.plan import Now, Plan, Rules, Run
from powmonman.core.power import Debounce, Reading

POLL = 0.25
BEAT = 5.0
AFTER = 20.0


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    debounce=st.tuples(
        st.sampled_from([0.0, 0.5, 2.0, 5.0]), st.sampled_from([0.0, 0.25, 3.0, 10.0])
    ),
    own=st.sampled_from([0.0, 2.0, 5.0, 10.0, 60.0]),
    off=st.floats(1.0, 8.0),
    on=st.floats(0.25, 4.0),
    min_observe=st.sampled_from([0.0, 5.0]),
)
def test_no_accepted_configuration_lets_flapping_starve_the_commit(
    debounce: tuple[float, float], own: float, off: float, on: float, min_observe: float
) -> None:
    """Each time the mains just last long enough to be believed in, and then fail again."""
    confirm, restore = debounce[0], sum(debounce)
    supply = Supply(debounce=Debounce(confirm=confirm, restore_confirm=restore), runtime=4 * AFTER)
    fleet = Policy(after=AFTER, restore_confirm=restore)
    rules = Rules(min_observe=min_observe, confirm=own)
    cycle = (confirm + off, restore + on)
    # What a cycle costs the battery: from loss believed to return believed, and what is paid back.
    cost = off + restore - (on + confirm) / 10
    time, plan, said_at, said = 1000.0, Plan(), -BEAT, None
    end = time + sum(cycle) * ((AFTER + min_observe) / max(0.2, cost) + 4)
    while time < end:
        mains = (time - 1000.0) % sum(cycle) >= cycle[0]
        reading = Reading(mains=mains)
        supply = supply.observe(reading, time, f"o{time}")
        if supply.debounce.wants_verify:
            supply = supply.verified(reading, time, f"o{time}")
        now = Now(running=time, boot=time)
        commands = []
        if supply.state is not said or time - said_at >= BEAT:
            said, said_at = supply.state, time
            state = State("s", 15.0, fleet, {"ups": supply.news(time)}, echo=plan.nonce)
            plan, commands = policy.heard(plan, state, rules, now)
        while plan.wake_at < time + POLL and not any(isinstance(c, Run) for c in commands):
            at = max(plan.wake_at, time)
            plan, commands = policy.passed(plan, rules, Now(at, at), connected=True)
            plan = replace(plan, wake_at=max(plan.wake_at, at + 0.01))
        if any(isinstance(command, Run) for command in commands):
            return
        time += POLL
    raise AssertionError(f"no commit: {plan}")
