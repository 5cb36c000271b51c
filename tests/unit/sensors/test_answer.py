"""What a program may write, and what is made of everything else."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powmonman.core.power import Reading
from powmonman.sensors.answer import AnswerError, understand


@pytest.mark.parametrize(
    ("said", "mains"),
    [
        ('"on"', True),
        ('"ON"', True),
        ("true", True),
        ('"off"', False),
        ("false", False),
        ('"unknown"', None),
        ("null", None),
    ],
)
def test_on_and_off_are_words_or_booleans(said: str, mains: bool | None) -> None:
    assert understand(f'{{"mains": {said}}}'.encode()).mains is mains


def test_everything_that_it_can_say_is_read() -> None:
    text = b"""{"mains": "off", "charge": 80.5, "runtime": 1200, "low_battery": true,
                "voltage": 25.1, "reason": "replace the battery"}\n"""
    assert understand(text) == Reading(
        mains=False,
        charge=80.5,
        runtime=1200.0,
        low_battery=True,
        voltage=25.1,
        reason="replace the battery",
    )


def test_null_is_a_figure_that_is_not_known() -> None:
    text = b"""{"mains": true, "charge": null, "runtime": null, "low_battery": null,
                "voltage": null, "reason": null}"""
    assert understand(text) == Reading(mains=True)


def test_an_unknown_has_a_reason_always() -> None:
    assert understand(b'{"mains": null}').reason == "the program says unknown"
    assert understand(b'{"mains": null, "reason": "no cable"}').reason == "no cable"


def test_a_key_that_nobody_knows_is_a_notice() -> None:
    assert understand(b'{"mains": "on", "chrage": 5}') == Reading(
        mains=True, reason="unknown keys are ignored: chrage"
    )
    assert understand(b'{"mains": "on", "reason": "old", "x": 1}').reason == (
        "old · unknown keys are ignored: x"
    )


def test_what_it_says_forges_no_line_of_the_log() -> None:
    reading = understand(b'{"mains": "on", "reason": "a\\nb\\u001b[2J", "\\n": 1}')
    assert reading.reason.isprintable()


def test_a_long_explanation_is_cut() -> None:
    text = json.dumps({"mains": None, "reason": "x" * 1000}).encode()
    assert len(understand(text).reason) == 200


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"on", "what it wrote is wrong: no JSON"),
        (b"{", "what it wrote is wrong: no JSON"),
        (b'"on"', "what it wrote is wrong: no JSON object"),
        (b"true", "what it wrote is wrong: no JSON object"),
        (b"[" * 4000, "what it wrote is wrong: no JSON"),
        (b'{"mains": "on"} {"mains": "off"}', "what it wrote is wrong: no JSON"),
        (b'{"mains": "on"}\xff', "what it wrote is not UTF-8"),
        ('{"mains": "off"}'.encode("utf-16"), "what it wrote is not UTF-8"),
        (b'{"charge": 5}', "what it wrote is wrong: mains is missing"),
        (b'{"mains": "maybe"}', "what it wrote is wrong: mains is none of on, off"),
        (b'{"mains": 0}', "what it wrote is wrong: mains is none of on, off"),
        (b'{"mains": []}', "what it wrote is wrong: mains is none of on, off"),
        (b'{"mains": "off", "charge": 101}', "what it wrote is wrong: charge is not 0 to 100"),
        (b'{"mains": "off", "charge": -1}', "what it wrote is wrong: charge is not 0 to 100"),
        (b'{"mains": "off", "charge": NaN}', "what it wrote is wrong: charge is not a finite"),
        (b'{"mains": "off", "charge": "80"}', "what it wrote is wrong: charge is not a number"),
        (b'{"mains": "off", "charge": true}', "what it wrote is wrong: charge is not a number"),
        (b'{"mains": "off", "runtime": -1}', "what it wrote is wrong: runtime is not 0 or more"),
        (b'{"mains": "off", "runtime": 1e999}', "what it wrote is wrong: runtime is not a finite"),
        (b'{"mains": "off", "runtime": 1' + b"0" * 400 + b"}", "what it wrote is wrong: runtime"),
        (b'{"mains": "off", "voltage": -3}', "what it wrote is wrong: voltage is not 0 to 1000"),
        (b'{"mains": "off", "low_battery": "no"}', "what it wrote is wrong: low_battery is not"),
        (b'{"mains": "off", "reason": 5}', "what it wrote is wrong: reason is not of type str"),
    ],
)
def test_what_is_wrong_is_said(text: bytes, complaint: str) -> None:
    with pytest.raises(AnswerError) as error:
        understand(text)
    assert str(error.value).startswith(complaint)
    assert "\n" not in str(error.value)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
KEY = st.sampled_from(["mains", "charge", "runtime", "low_battery", "voltage", "reason", "x"])
MAINS = st.sampled_from(["on", "off", None, True, 1])


@given(
    st.binary(max_size=100)
    | st.dictionaries(KEY, ANYTHING | MAINS).map(lambda value: json.dumps(value).encode())
)
def test_no_bytes_can_do_more_than_be_refused(text: bytes) -> None:
    try:
        reading = understand(text)
    except AnswerError as error:
        assert len(str(error)) < 300  # noqa: PT017 - either outcome is right
        return
    assert reading.charge is None or 0 <= reading.charge <= 100
    assert reading.runtime is None or (reading.runtime >= 0 and math.isfinite(reading.runtime))
    assert reading.voltage is None or 0 <= reading.voltage <= 1000
    assert isinstance(reading.low_battery, bool)
    assert reading.reason.isprintable()
    assert len(reading.reason) < 500
