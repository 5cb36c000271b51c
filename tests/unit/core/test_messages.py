"""Lines in, messages out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powmonman.core.messages import (
    LONGEST_LINE,
    Ack,
    Error,
    Hello,
    Lines,
    Ping,
    Policy,
    ProtocolError,
    Query,
    Report,
    State,
    Status,
    UpsNews,
    address,
    decode,
    encode,
    encode_for_all,
)
from powmonman.core.power import PowerState

STATE = State("ab", 15.0, Policy(), {"rack": UpsNews(PowerState.ON_BATTERY, "o1", 1.5)})
MESSAGES = [
    STATE,
    Hello(nonce=1, version="1", boot_id="b", macs=("m",), upses=("rack",), after=60.0),
    Ack(3, 4),
    Ping(5),
    Status("counting", PowerState.ON_BATTERY, 59.5, "o1", "why"),
    Query(),
    Report({"fleet": "home"}),
    Error("no"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_is_one_line_and_comes_back(message):
    line = encode(message)
    assert line.endswith(b"\n")
    assert 1 == line.count(b"\n")
    assert message == decode(line)


def test_a_state_that_is_encoded_once_is_addressed_to_each_client():
    line = address(encode_for_all(STATE), seq=7, echo=9)
    assert State(STATE.id, 15.0, STATE.policy, STATE.upses, seq=7, echo=9) == decode(line)


@given(st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"")), max_size=8), st.data())
def test_lines_come_out_whole_however_they_are_cut(lines, data):
    stream = b"".join(line + b"\n" for line in lines)
    cutter, found = Lines(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += cutter.feed(stream[:size])
        stream = stream[size:]
    assert lines == found


@pytest.mark.parametrize("data", [b"x" * (LONGEST_LINE + 1), b"x" * (LONGEST_LINE + 1) + b"\n"])
def test_a_line_that_is_too_long_ends_the_conversation(data):
    with pytest.raises(ProtocolError, match="longer than"):
        list(Lines().feed(data))


@given(st.binary(max_size=200))
def test_garbage_is_refused(line):
    with pytest.raises(ProtocolError):
        decode(line)


def test_an_unknown_type_is_refused():
    with pytest.raises(ProtocolError, match="unknown message type"):
        decode(b'{"type":"shutdown"}')
