"""What a light client reads is what was said, however little of it is read anew."""

from __future__ import annotations

import pytest

from benchmarks.state_reader import heard
from powmonman.core.messages import (
    Error,
    Order,
    Own,
    Policy,
    ProtocolError,
    State,
    UpsNews,
    address,
    decode,
    encode,
    encode_for_all,
    encode_own,
)
from powmonman.core.power import PowerState

# A reason may hold whatever a sensor says, the mark that ends the shared part too.
NEWS = UpsNews(PowerState.ON_BATTERY, outage="o", age=1.5, reason='","own":{"x"')
SHARED = encode_for_all(State("id", 15.0, Policy(), {"ups": NEWS}))


@pytest.mark.parametrize("own", [Own(), Own(waits=("nas",), noted=3, order=Order("o", 2.0))])
def test_a_state_is_read_as_the_product_reads_it(own: Own) -> None:
    for seq in (1, 2):
        line = address(SHARED, seq, 7, b"{}" if own == Own() else encode_own(own).rstrip(b"\n"))
        assert heard(line) == decode(line)


def test_what_is_no_state_is_not_taken_for_one() -> None:
    with pytest.raises(ProtocolError, match="not a state"):
        heard(encode(Error("no")))
