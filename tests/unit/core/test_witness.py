"""What several sensors say together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powmonman.core.power import Reading, unknown
from powmonman.core.witness import Named, agreed

if TYPE_CHECKING:
    from collections.abc import Sequence

SAID = {"1": True, "0": False, "?": None}


def readings(said: str) -> list[Named]:
    """Return sensors a, b, c ... of which each says on (1), off (0) or unknown (?)."""
    return [
        (chr(ord("a") + at), Reading(mains=SAID[each], reason="no idea" if each == "?" else ""))
        for at, each in enumerate(said)
    ]


@pytest.mark.parametrize(
    ("said", "quorum", "together"),
    [
        # One sensor, whatever the quorum.
        ("0", None, "0"),
        ("1", None, "1"),
        ("?", None, "?"),
        # All of two.
        ("00", None, "0"),
        ("01", None, "1"),
        ("11", None, "1"),
        ("0?", None, "?"),
        ("1?", None, "1"),
        ("??", None, "?"),
        # Any of two.
        ("00", 1, "0"),
        ("01", 1, "0"),
        ("11", 1, "1"),
        ("0?", 1, "0"),
        ("1?", 1, "?"),
        ("??", 1, "?"),
        # Two of three.
        ("000", 2, "0"),
        ("001", 2, "0"),
        ("00?", 2, "0"),
        ("011", 2, "1"),
        ("01?", 2, "?"),
        ("0??", 2, "?"),
        ("11?", 2, "1"),
        ("1??", 2, "?"),
        ("111", 2, "1"),
        ("???", 2, "?"),
    ],
)
def test_the_quorum_decides(said: str, quorum: int | None, together: str) -> None:
    for order in {said, said[::-1]}:
        assert agreed(readings(order), quorum).mains is SAID[together]


def test_who_agrees_says_nothing_more() -> None:
    assert agreed(readings("00")).reason == ""
    assert agreed(readings("11")).reason == ""
    assert agreed(readings("001"), 2).reason == ""


def test_who_disagrees_is_named_while_the_mains_count_as_on() -> None:
    assert agreed(readings("011")).reason == ("the sensors disagree: a says off, b and c say on")
    assert agreed(readings("01?")).reason == (
        "the sensors disagree: a says off, b says on, c unknown · c: no idea"
    )


def test_an_unknown_names_who_does_not_know_and_why() -> None:
    assert agreed(readings("??")).reason == "a: no idea · b: no idea"
    assert agreed(readings("1?"), 1).reason == "b: no idea"


def test_an_unknown_says_that_others_say_off() -> None:
    """Else nobody would know how near the outage is."""
    assert agreed(readings("0?")).reason == "a says off, 2 must · b: no idea"


def test_a_notice_of_one_sensor_is_passed_on_with_its_name() -> None:
    battery = Reading(mains=True, reason="replace the battery")
    assert agreed([("ups", battery), ("ping", Reading(mains=True))]).reason == (
        "ups: replace the battery"
    )


def test_figures_are_of_the_first_sensor_that_knows_them() -> None:
    together = agreed(
        [
            ("gpio", Reading(mains=False)),
            ("one", Reading(mains=False, charge=80.0)),
            ("two", Reading(mains=False, charge=20.0, runtime=300.0, voltage=24.0)),
        ]
    )
    assert (together.charge, together.runtime, together.voltage) == (80.0, 300.0, 24.0)


def test_a_low_battery_counts_from_who_says_off() -> None:
    low = Reading(mains=False, low_battery=True)
    assert agreed([("gpio", Reading(mains=False)), ("ups", low)]).low_battery is True


@pytest.mark.parametrize("said", [Reading(mains=True, low_battery=True), unknown("no idea")])
def test_a_low_battery_of_who_says_on_or_nothing_is_not_believed(said: Reading) -> None:
    said = Reading(mains=said.mains, low_battery=True, reason=said.reason)
    together = agreed([("gpio", Reading(mains=False)), ("ups", said)], 1)
    assert (together.mains, together.low_battery) == (False, False)


def test_a_low_battery_is_nothing_while_the_others_say_on() -> None:
    """A low battery on mains shuts nothing down."""
    low = Reading(mains=False, low_battery=True)
    together = agreed([("gpio", Reading(mains=True)), ("ups", low)])
    assert (together.mains, together.low_battery) == (True, False)


def test_no_sensor_at_all_is_unknown() -> None:
    assert agreed([]).mains is None


MAINS = st.sampled_from([True, False, None])
NUMBER = st.none() | st.floats(0, 100)
READING = st.builds(
    Reading,
    mains=MAINS,
    charge=NUMBER,
    runtime=NUMBER,
    low_battery=st.booleans(),
    voltage=NUMBER,
    reason=st.text(max_size=20),
)
SENSORS = st.lists(st.tuples(st.text(max_size=5), READING), max_size=8)
QUORUM = st.none() | st.integers(-2, 10)

# How far from an outage.
DISTANCE = {False: 0, None: 1, True: 2}


def flipped(sensors: Sequence[Named], at: int, mains: bool | None) -> list[Named]:
    name, _ = sensors[at]
    return [*sensors[:at], (name, Reading(mains=mains)), *sensors[at + 1 :]]


@given(sensors=SENSORS, quorum=QUORUM)
def test_whatever_they_say_there_is_an_answer(sensors: list[Named], quorum: int | None) -> None:
    together = agreed(sensors, quorum)
    assert together.mains is not None or together.reason or not any(r.reason for _, r in sensors)


@given(sensors=SENSORS.filter(len), quorum=QUORUM, data=st.data())
def test_who_moves_away_from_off_never_moves_the_others_towards_it(
    sensors: list[Named], quorum: int | None, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(sensors) - 1))
    results = [agreed(flipped(sensors, at, mains), quorum).mains for mains in (False, None, True)]
    assert [DISTANCE[mains] for mains in results] == sorted(DISTANCE[mains] for mains in results)


@given(sensors=SENSORS, quorum=QUORUM, data=st.data())
def test_their_order_does_not_matter(
    sensors: list[Named], quorum: int | None, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(sensors))
    assert agreed(sensors, quorum).mains is agreed(shuffled, quorum).mains


@given(sensors=SENSORS.filter(len), quorum=QUORUM)
def test_who_does_not_know_decides_nothing(sensors: list[Named], quorum: int | None) -> None:
    """On or off is said only if it would be said whatever the unknown ones were to say."""
    together = agreed(sensors, quorum).mains
    for guess in (True, False):
        guessed = [
            (name, Reading(mains=guess if reading.mains is None else reading.mains))
            for name, reading in sensors
        ]
        if together is not None:
            assert agreed(guessed, quorum).mains is together


@given(sensors=SENSORS.filter(len), quorum=QUORUM)
def test_it_is_known_whenever_the_unknown_ones_could_change_nothing(
    sensors: list[Named], quorum: int | None
) -> None:
    outcomes = {
        agreed(
            [
                (name, Reading(mains=guess if reading.mains is None else reading.mains))
                for name, reading in sensors
            ],
            quorum,
        ).mains
        for guess in (True, False)
    }
    together = agreed(sensors, quorum).mains
    assert (together is None) == (len(outcomes) == 2)


@given(sensors=SENSORS, quorum=QUORUM)
def test_a_low_battery_never_comes_without_an_off(sensors: list[Named], quorum: int | None) -> None:
    together = agreed(sensors, quorum)
    if together.low_battery:
        assert together.mains is False
        assert any(r.low_battery and r.mains is False for _, r in sensors)
