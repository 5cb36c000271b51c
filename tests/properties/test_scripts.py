"""Any readings, from any mix of sensors: nobody goes down wrongly, nobody stays up wrongly."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from script import LIE, NOTHING, OTHER, TRUTH, Battery, Play, Segment, Ups, ViolationError

from powmonman.core import outage, policy, witness
from powmonman.core.gauge import Gauge
from powmonman.core.messages import Policy
from powmonman.core.plan import Rules
from powmonman.core.power import PowerState

EXAMPLES = int(os.environ.get("POWMONMAN_SCRIPTS", "300"))
MOST = 3

batteries = st.builds(
    Battery,
    charge=st.none() | st.integers(0, 100).map(float),
    runtime=st.none() | st.integers(0, 3600).map(float),
    low_battery=st.booleans(),
)
modes = st.sampled_from([TRUTH, TRUTH, TRUTH, NOTHING, LIE])


@st.composite
def plays(draw: st.DrawFn) -> tuple[Play, tuple[Segment, ...]]:
    """A host with its UPSes, and a script for them."""
    count = draw(st.integers(1, 2))
    upses = []
    for _ in range(count):
        sensors = draw(st.integers(1, MOST))
        upses.append(Ups(sensors, draw(st.integers(1, sensors))))
    after = draw(st.sampled_from([30.0, 120.0, 300.0]))
    fleet = Policy(
        after=after,
        charge_below=draw(st.sampled_from([0.0, 30.0, 100.0])),
        charge_drop=draw(st.sampled_from([0.0, 0.5])),
        runtime_below=draw(st.sampled_from([0.0, 600.0])),
        low_battery=draw(st.booleans()),
    )
    rules = Rules(
        min_supplies=draw(st.integers(1, count)),
        min_observe=draw(st.sampled_from([0.0, 20.0, 60.0])),
        upses=tuple(f"u{n}" for n in range(count)),
        wait_for=draw(st.sampled_from([(), (OTHER,)])),
        wait_timeout=draw(st.sampled_from([0.0, 30.0, 200.0])),
    )
    same = draw(st.booleans())
    segments = st.builds(
        Segment,
        seconds=st.sampled_from([1, 2, 3, 6, 8, 21, 62, 130, 320]),
        mains=st.booleans().map(lambda on: (on,) * count)
        if same
        else st.tuples(*[st.booleans()] * count),
        says=st.tuples(*[st.tuples(*[modes] * MOST)] * count),
        battery=st.tuples(*[batteries] * count),
        linked=st.sampled_from([True, True, True, False]),
        other_down=st.booleans(),
    )
    return Play(tuple(upses), rules, fleet), tuple(draw(st.lists(segments, max_size=12)))


@pytest.mark.timeout(3600)
def test_the_safety_rules_hold_in_every_script(capsys: pytest.CaptureFixture[str]) -> None:
    """Who goes down was out of power; who is out of power goes, and no wait keeps it for ever."""
    tried: Counter[str] = Counter()

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(plays())
    def judge(drawn: tuple[Play, tuple[Segment, ...]]) -> None:
        play, script = drawn
        play.run(script)
        tried.update(play.stats)

    judge()
    with capsys.disabled():
        print(f" {', '.join(f'{count} {what}' for what, count in tried.items())} ", end="")
    assert tried["commits"]


def always(count: int = 1, sensors: int = MOST, mode: str = TRUTH) -> tuple[tuple[str, ...], ...]:
    return ((mode,) * sensors,) * count


def one(rules: Rules | None = None, sensors: int = 1, quorum: int = 1, **fleet: float) -> Play:
    return Play((Ups(sensors, quorum),), rules or Rules(), Policy(**fleet))


def seconds(count: int, mains: bool, *, says: object = None, **battery: object) -> Segment:
    return Segment(count, (mains,), says or always(), (Battery(**battery),))


def empty_on_mains_counts(upses, rules):
    news = host_power(upses, rules)
    empty = any((news.charge or 100) < 10 for news in upses.values())
    return replace(news, state=PowerState.ON_BATTERY) if empty else news


def unknown_counts_as_off(readings, *_):
    return agreed([(n, r if r.mains is not None else replace(r, mains=False)) for n, r in readings])


def any_is_enough(readings, *_):
    return agreed(readings, 1)


def unknown_ends_the_outage(readings, quorum=None):
    reading = agreed(readings, quorum)
    return replace(reading, mains=True) if reading.mains is None else reading


host_power, agreed = policy.host_power, witness.agreed

REJECTED = [
    pytest.param(
        (policy, "host_power"),
        empty_on_mains_counts,
        one,
        (seconds(900, True, low_battery=True, charge=1.0),),
        id="an empty battery counts on mains",
    ),
    pytest.param(
        (witness, "agreed"),
        unknown_counts_as_off,
        lambda: one(sensors=2, quorum=2),
        (seconds(20, True), seconds(900, True, says=always(mode=NOTHING))),
        id="sensors that know nothing agree on an outage",
    ),
    pytest.param(
        (witness, "agreed"),
        any_is_enough,
        lambda: one(sensors=2, quorum=2),
        (seconds(20, True), seconds(900, True, says=((LIE, TRUTH, TRUTH),))),
        id="one sensor outvotes its witness",
    ),
    pytest.param(
        (witness, "agreed"),
        unknown_ends_the_outage,
        lambda: one(sensors=2, quorum=1),
        (
            seconds(20, True),
            *[seconds(40, False), seconds(8, False, says=((NOTHING, NOTHING, TRUTH),))] * 20,
            seconds(900, False, says=((NOTHING, TRUTH, TRUTH),)),
        ),
        id="an unknown that cancels",
    ),
]


@pytest.mark.parametrize(("where", "design", "play", "script"), REJECTED)
def test_a_rejected_design_is_caught(monkeypatch, where, design, play, script) -> None:
    """The oracle is worth something only if it objects to what others got wrong."""
    play().run(script)
    monkeypatch.setattr(*where, design)
    with pytest.raises(ViolationError):
        play().run(script)


def test_without_the_second_reading_a_glitch_shuts_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """A charge of nothing for one poll moves the deadline by minutes."""
    glitch = (seconds(100, False, charge=90.0), seconds(1, False, charge=0.0, low_battery=True))
    script = (seconds(20, True, charge=90.0), *glitch, seconds(300, False, charge=89.0))
    assert one(charge_below=30.0).run(script).committed_at is None

    def believes_at_once(_gauge, reading):
        return Gauge(charge=reading.charge, low_battery=reading.low_battery)

    monkeypatch.setattr(outage.Gauge, "take", believes_at_once)
    assert one(charge_below=30.0).run(script).committed_at is not None
