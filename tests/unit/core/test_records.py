"""What comes from the wire or a state file is checked, whatever it is."""

import contextlib
import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powmonman.config.shutdown_keys import Command, Shutdown
from powmonman.core.messages import Hello, State, UpsNews
from powmonman.core.plan import Now, Phase, Plan
from powmonman.core.power import PowerState
from powmonman.core.records import RecordError, from_json, parse, printable, to_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def there_and_back(record):
    return from_json(type(record), json.loads(json.dumps(to_json(record))))


@pytest.mark.parametrize(
    "record",
    [
        Plan(phase=Phase.COUNTING, last=Now(3.0, 4.0), pings=((1, 2.0), (3, 4.0))),
        UpsNews(PowerState.ON_BATTERY, charge=40.0),
        Shutdown(commands=(Command(command=("a", "b c"), on_failure="stop"),)),
        Hello(nonce=1, macs=("00:11:22:33:44:55",)),
    ],
)
def test_a_record_survives_the_way_to_disk_or_wire(record):
    assert record == there_and_back(record)


def test_every_field_is_written_since_the_reader_may_have_other_defaults():
    assert {field.name for field in dataclasses.fields(Plan)} == to_json(Plan()).keys()


@pytest.mark.parametrize(
    ("cls", "value", "fault"),
    [
        (UpsNews, {}, "state is missing"),
        (UpsNews, {"state": "off"}, "state is none of on_mains, on_battery, unknown"),
        (UpsNews, {"state": "unknown", "age": "3"}, "age is not a number"),
        (UpsNews, {"state": "unknown", "age": True}, "age is not a number"),
        (UpsNews, {"state": "unknown", "age": float("inf")}, "age is not a finite number"),
        (UpsNews, {"state": "unknown", "age": 10**400}, "age is not a finite number"),
        (UpsNews, {"state": "unknown", "low_battery": 1}, "low_battery is not of type bool"),
        (UpsNews, {"state": "unknown", "reason": "x" * 2000}, "reason is longer than"),
        (Hello, {"nonce": 1.5}, "nonce is not of type int"),
        (Hello, {"nonce": 1, "macs": "aa"}, "macs is not a list"),
        (Hello, {"nonce": 1, "macs": [1]}, "macs is not of type str"),
        (Command, {"on_failure": "perhaps"}, "on_failure is none of continue, stop"),
        (Plan, {"pings": [[1]]}, "pings does not have 2 items"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(cls, value, fault):
    with pytest.raises(RecordError, match=fault):
        from_json(cls, value)


def test_unknown_fields_are_ignored_since_the_writer_may_be_newer():
    assert Hello(nonce=7) == from_json(Hello, {"nonce": 7, "colour": "blue"})


def test_control_characters_can_not_forge_a_line_of_the_log():
    news = from_json(UpsNews, {"state": "unknown", "reason": "x\n12:00 all is well\x1b[2J"})
    assert "\n" not in news.reason
    assert "\x1b" not in news.reason


@given(st.text())
def test_printable_text_is_printable(text):
    assert printable(text).isprintable()


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff", b'{"a":' + b"[" * 100_000, b"1e999"])
def test_what_is_no_json_object_is_refused(text):
    with pytest.raises(RecordError):
        parse(text)


@given(JSON, st.sampled_from([State, Hello, Plan, UpsNews, Shutdown]))
def test_no_json_does_anything_but_fit_or_be_refused(value, cls):
    if isinstance(value, dict):
        with contextlib.suppress(RecordError):
            from_json(cls, value)
