"""Whatever a sensor says, and whenever: what may follow from it, and what must.

A `Monitor` feeds the debounce as the server does, and keeps what really happened. Each property
is judged from that record, never from the debounce's own fields.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

from hypothesis import example, given
from hypothesis import strategies as st

from powmonman.core.power import Debounce, PowerState, Reading, unknown

LOST, GOOD, NO_IDEA = Reading(mains=False), Reading(mains=True), unknown("no idea")
ON_MAINS, ON_BATTERY, UNKNOWN = PowerState


@dataclass
class Monitor:
    """Polls, verifies when asked to, and remembers each answer with its time."""

    debounce: Debounce
    now: float = 1000.0
    seen: list[tuple[float, bool | None]] = field(default_factory=list)
    closer: list[float | None] = field(default_factory=list)

    def poll(
        self, after: float, reading: Reading, *, verified: Reading = LOST, took: float = 0.04
    ) -> PowerState:
        """Take a reading `after` seconds; the closer look, if any, takes `took` seconds."""
        self.now += after
        self.debounce = self.debounce.observe(reading, self.now)
        self.seen.append((self.now, reading.mains))
        if self.debounce.wants_verify:
            self.closer.append(self.run_of(False))
            self.now += took
            self.debounce = self.debounce.verified(verified, self.now)
            self.seen.append((self.now, verified.mains))
        return self.debounce.state

    def run_of(self, mains: bool) -> float | None:
        """Seconds for which nothing but `mains` was seen, without a gap, until now."""
        start: float | None = None
        later = self.now
        for at, said in reversed(self.seen):
            if said is not mains or later - at > self.debounce.max_gap:
                break
            start = later = at
        return None if start is None else self.now - start


class Step(TypedDict):
    after: float
    reading: Reading
    verified: Reading
    took: float


Story = list[Step]


# Sixteenths of a second are exact in binary: the record and the debounce agree to the last bit.
def seconds(longest: int) -> st.SearchStrategy[float]:
    return st.integers(0, longest * 16).map(lambda n: n / 16)


readings = st.sampled_from([LOST, LOST, LOST, GOOD, GOOD, NO_IDEA])
polls = st.fixed_dictionaries(
    {
        "after": st.one_of(seconds(1), seconds(5)),
        "reading": readings,
        "verified": readings,
        "took": st.one_of(st.just(0.0), st.just(0.0625), seconds(5)),
    }
)
debounces = st.builds(
    Debounce,
    confirm=seconds(4),
    restore_confirm=seconds(8),
    max_gap=st.just(3.0),
    # The closer look may take as long, or longer, or end before that.
    verify_takes=st.one_of(st.just(0.0), st.just(0.0625), seconds(5)),
)


def played(debounce: Debounce, story: Story) -> Monitor:
    monitor = Monitor(debounce)
    for step in story:
        monitor.poll(**step)
    return monitor


@given(debounces, st.lists(polls, max_size=60))
def test_battery_is_entered_only_on_confirm_unbroken_seconds_of_loss_seen(
    debounce: Debounce, story: Story
) -> None:
    monitor = Monitor(debounce)
    for step in story:
        before = monitor.debounce.state
        if monitor.poll(**step) is ON_BATTERY and before is not ON_BATTERY:
            run = monitor.run_of(False)
            assert run is not None
            assert run >= debounce.confirm


@given(debounces, st.lists(polls, max_size=60))
def test_the_closer_look_is_asked_for_in_the_last_moments_of_confirm_and_not_before(
    debounce: Debounce, story: Story
) -> None:
    monitor = Monitor(debounce)
    for step in story:
        looks = len(monitor.closer)
        monitor.poll(**step)
        for off_for in monitor.closer[looks:]:
            assert off_for is not None
            assert off_for >= debounce.confirm - debounce.verify_takes


@given(debounces, st.lists(polls, max_size=60))
def test_what_is_due_lies_ahead_of_the_last_look(debounce: Debounce, story: Story) -> None:
    """Else whoever waits for it would never wait."""
    monitor = Monitor(debounce)
    for step in story:
        monitor.poll(**step)
        assert monitor.debounce.settles_at > monitor.now


@given(debounces, st.lists(polls, max_size=60))
def test_mains_are_entered_only_on_restore_confirm_unbroken_seconds_of_good_mains(
    debounce: Debounce, story: Story
) -> None:
    monitor = Monitor(debounce)
    for step in story:
        before = monitor.debounce.state
        if monitor.poll(**step) is ON_MAINS and before is not ON_MAINS:
            run = monitor.run_of(True)
            assert run is not None
            assert run >= debounce.restore_confirm


@given(debounces, st.lists(polls, max_size=60))
def test_unknown_is_never_folded_into_another_state(debounce: Debounce, story: Story) -> None:
    monitor = Monitor(debounce)
    for step in story:
        state = monitor.poll(**step)
        if monitor.seen[-1][1] is None:
            assert state is UNKNOWN


@given(debounces, st.lists(polls, max_size=40))
def test_nothing_but_a_reading_of_unknown_leads_to_unknown(
    debounce: Debounce, story: Story
) -> None:
    monitor = Monitor(debounce)
    for step in story:
        before, count = monitor.debounce.state, len(monitor.seen)
        if monitor.poll(**step) is UNKNOWN and before is not UNKNOWN:
            assert None in [mains for _, mains in monitor.seen[count:]]


@given(debounces, st.lists(polls, max_size=40), st.floats(0.01, 2))
def test_a_loss_that_lasts_is_found_whatever_came_before(
    debounce: Debounce, story: Story, interval: float
) -> None:
    monitor = played(debounce, story)
    end = monitor.now + debounce.confirm + 2 * interval
    while monitor.now < end:
        monitor.poll(interval, LOST)
    assert monitor.debounce.state is ON_BATTERY


@given(debounces, st.lists(polls, max_size=40), st.floats(0.01, 2))
def test_mains_that_stay_are_found_whatever_came_before(
    debounce: Debounce, story: Story, interval: float
) -> None:
    monitor = played(debounce, story)
    end = monitor.now + debounce.restore_confirm + 2 * interval
    while monitor.now < end:
        monitor.poll(interval, GOOD)
    assert monitor.debounce.state is ON_MAINS


@given(st.lists(st.tuples(seconds(2), seconds(2)), max_size=30))
def test_blips_shorter_than_confirm_change_nothing(blips: list[tuple[float, float]]) -> None:
    monitor = Monitor(Debounce(confirm=2.25, restore_confirm=5))
    for _ in range(12):
        monitor.poll(0.5, GOOD)
    for lost_for, good_for in blips:
        monitor.poll(0.0625, LOST)
        assert monitor.poll(lost_for, LOST) is ON_MAINS
        monitor.poll(0.0625, GOOD)
        assert monitor.poll(good_for, GOOD) is ON_MAINS


@given(seconds(4), seconds(8))
def test_each_state_is_entered_at_its_time_and_not_before(
    confirm: float, restore_confirm: float
) -> None:
    monitor = Monitor(Debounce(confirm=confirm, restore_confirm=restore_confirm))
    for reading, state, wait in ((LOST, ON_BATTERY, confirm), (GOOD, ON_MAINS, restore_confirm)):
        polls_needed = 1
        while monitor.poll(0.0625, reading, took=0.0) is not state:
            polls_needed += 1
        assert (polls_needed - 1) * 0.0625 == wait


@given(seconds(4), seconds(1))
def test_a_closer_look_that_takes_time_delays_no_outage(confirm: float, takes: float) -> None:
    """It is begun so much sooner, as far as there is time for it."""
    monitor = Monitor(Debounce(confirm=confirm, verify_takes=takes, max_gap=5))
    monitor.poll(0.0625, GOOD)
    began = monitor.now + 0.0625
    state = monitor.poll(0.0625, LOST, took=takes)
    while state is not ON_BATTERY:
        state = monitor.poll(monitor.debounce.settles_at - monitor.now, LOST, took=takes)
    assert monitor.now - began == max(confirm, takes)
    assert len(monitor.closer) == 1


def test_a_closer_look_that_was_over_too_soon_opens_nothing_and_is_had_again() -> None:
    monitor = Monitor(Debounce(confirm=2, verify_takes=0.0625))
    monitor.poll(0.25, GOOD)
    monitor.poll(0.25, LOST)
    assert monitor.poll(1.9375, LOST, took=0.046875) is UNKNOWN
    assert monitor.debounce.settles_at - monitor.now == 0.015625
    assert monitor.poll(0.015625, LOST) is ON_BATTERY
    assert len(monitor.closer) == 2


def test_mains_that_the_closer_look_finds_back_leave_all_as_it_was() -> None:
    monitor = Monitor(Debounce(confirm=2, restore_confirm=0, verify_takes=0.0625))
    assert monitor.poll(0.25, GOOD) is ON_MAINS
    monitor.poll(0.25, LOST)
    assert monitor.poll(1.9375, LOST, verified=GOOD, took=0.0625) is ON_MAINS
    assert monitor.poll(0.25, LOST) is ON_MAINS


@given(seconds(60))
@example(3.0)
@example(3.0625)
def test_a_stop_in_the_middle_of_the_closer_look_starts_the_run_anew(stop: float) -> None:
    """The process stood still between asking the sensor and using its answer."""
    monitor = Monitor(Debounce(confirm=2, max_gap=3))
    for _ in range(8):
        monitor.poll(0.25, LOST)
    state = monitor.poll(0.25, LOST, took=stop)
    assert state is (ON_BATTERY if stop <= 3 else UNKNOWN)


def test_a_closer_look_that_finds_a_broken_wire_is_unknown_and_stays_so() -> None:
    monitor = Monitor(Debounce(confirm=2))
    for _ in range(40):
        monitor.poll(0.25, LOST, verified=unknown("broken wire"))
    assert monitor.debounce.state is UNKNOWN


def test_one_closer_look_opens_an_outage_and_no_more_are_asked_for() -> None:
    monitor = Monitor(Debounce(confirm=2))
    for _ in range(40):
        monitor.poll(0.25, LOST)
    assert monitor.debounce.state is ON_BATTERY
    assert len(monitor.seen) == 40 + 1


def test_before_anything_was_read_the_state_is_unknown() -> None:
    assert Debounce().state is UNKNOWN
