"""Discovery's datagrams: small, strict, and no use to an attacker."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powmonman.net.locator import MAX_DATAGRAM, announced_port, announcement, asks_for, probe

patient = settings(deadline=None)  # the machine may be busy
FLEETS = st.from_regex(r"[A-Za-z0-9][\w.-]{0,62}", fullmatch=True)
PORTS = st.integers(1, 65535)


@patient
@given(FLEETS, PORTS)
def test_an_answer_is_never_longer_than_the_probe(fleet: str, port: int) -> None:
    assert len(announcement(fleet, port)) <= len(probe(fleet)) <= MAX_DATAGRAM


@patient
@given(FLEETS, PORTS)
def test_each_fleet_understands_its_own(fleet: str, port: int) -> None:
    assert announced_port(announcement(fleet, port), fleet) == port
    assert asks_for(probe(fleet), fleet)


@patient
@given(FLEETS, FLEETS, PORTS)
def test_another_fleet_is_not_heard(fleet: str, other: str, port: int) -> None:
    same = fleet == other
    assert (port if same else None) == announced_port(announcement(other, port), fleet)
    assert same == asks_for(probe(other), fleet)


@patient
@given(FLEETS)
def test_a_probe_is_no_announcement_nor_the_reverse(fleet: str) -> None:
    assert announced_port(probe(fleet), fleet) is None
    assert not asks_for(announcement(fleet, 7444), fleet)


@patient
@given(st.binary(max_size=600))
def test_garbage_says_nothing(garbage: bytes) -> None:
    assert announced_port(garbage, "home") is None
    assert not asks_for(garbage, "home")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)


@patient
@given(
    st.dictionaries(
        st.sampled_from(["powmonman", "kind", "fleet", "port"]),
        JSON | st.sampled_from([1, "server", "home", 7444]),
    )
)
def test_only_a_whole_announcement_names_a_port(message: dict[str, object]) -> None:
    whole = message | {"powmonman": 1, "kind": "server", "fleet": "home"} == message
    port = message.get("port")
    valid = whole and type(port) is int and 0 < port < 65536
    assert (port if valid else None) == announced_port(json.dumps(message).encode(), "home")


@pytest.mark.parametrize("port", ["0", "65536", "-1", "true", '"7444"', "7444.0", "1e9", "null"])
def test_an_impossible_port_is_no_announcement(port: str) -> None:
    datagram = f'{{"powmonman":1,"kind":"server","fleet":"home","port":{port}}}'
    assert announced_port(datagram.encode(), "home") is None


def test_a_datagram_that_is_too_long_is_not_read() -> None:
    padded = announcement("home", 7444)[:-1] + b',"x":"' + b"x" * MAX_DATAGRAM + b'"}'
    assert announced_port(padded, "home") is None


def test_nesting_does_no_harm() -> None:
    assert announced_port(b"[" * MAX_DATAGRAM, "home") is None
