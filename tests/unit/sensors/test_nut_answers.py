"""The sensor `nut` before servers that answer as they like."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reader import Reader
from scripted import Scripted

from powmonman.config.sources import Nut
from powmonman.core.power import Reading
from powmonman.net.peer import AnswerError
from powmonman.sensors.nut import NutSensor, RefusedError, parse


def nut(port: int, ups: str = "ups", **settings: Any) -> Reader:
    return Reader(lambda clock: NutSensor(Nut(port=port, ups=ups, **settings), clock))


def answer(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def listed(*items: str) -> bytes:
    return answer("BEGIN LIST VAR ups", *(f"VAR ups {item}" for item in items), "END LIST VAR ups")


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (b"ERR ACCESS-DENIED\n", "upsd refuses to tell this host"),
        (b"ERR FEATURE-NOT-CONFIGURED\n", "upsd says FEATURE-NOT-CONFIGURED; see its log"),
        (b"ERR\n", "not NUT's"),
        (b"ERR \n", "upsd says ERR; see its log"),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "not NUT's; is 127.0.0.1"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not NUT's"),
        (b"\xff\xfe\x00\n", "not NUT's"),
        (answer("BEGIN LIST VAR other", "END LIST VAR other"), "not NUT's"),
        (listed('ups.status "OL'), "not NUT's"),
        (listed("ups.status OL"), "not NUT's"),
        (listed('ups.status "OL" "OB"'), "not NUT's"),
        (answer("BEGIN LIST VAR ups", 'UPS ups "x"', "END LIST VAR ups"), None),
        (listed(), "the UPS says neither OL (on mains) nor OB (on battery): nothing"),
        (listed('battery.charge "100"'), "nothing; see what its driver says: upsc ups@127.0.0.1"),
        (listed('ups.status ""'), "neither OL"),
        (listed(*['x.y "z"'] * 10_000), "answers with more than 64 KiB"),
    ],
)
def test_what_is_no_answer_is_unknown(said: bytes, complaint: str | None) -> None:
    with Scripted(lambda _: [said]) as server, nut(server.port) as made:
        found = made.read()
    assert found.mains is None
    assert (complaint or "") in found.reason
    assert "; " in found.reason
    assert "\n" not in found.reason


@pytest.mark.parametrize(
    ("pieces", "complaint"),
    [
        ([b""], "closed the connection without an answer"),
        ([b"BEGIN LIST VAR ups\nVAR ups ups.status", b""], "closed the connection in mid-answer"),
        ([b"BEGIN LIST VAR u"], "no answer within"),
        ([listed('ups.status "OL"')[:-1]], "no answer within"),
    ],
)
def test_half_an_answer_is_none(
    monkeypatch: pytest.MonkeyPatch, pieces: list[bytes], complaint: str
) -> None:
    monkeypatch.setattr("powmonman.sensors.asked.TIME_LIMIT", 0.2)
    with Scripted(lambda _: pieces) as server, nut(server.port) as made:
        found = made.read()
    assert found.mains is None
    assert complaint in found.reason


def test_an_answer_in_single_bytes_is_read() -> None:
    whole = listed('battery.charge "71"', 'ups.status "OB LB"')
    with (
        Scripted(lambda _: [whole[n : n + 1] for n in range(len(whole))]) as server,
        nut(server.port) as made,
    ):
        assert made.read() == Reading(mains=False, charge=71, low_battery=True)


def test_letters_outside_of_ascii_and_quoted_quotes_are_read() -> None:
    said = listed('ups.mfr "Électronique"', r'ups.alarm "\"hot\" \\ C"', 'ups.status "OL"')
    with Scripted(lambda _: [said]) as server, nut(server.port) as made:
        assert made.read().reason == 'alarm: "hot" \\ C'


def test_a_server_that_knows_no_ups_at_all_says_so() -> None:
    def replies(question: bytes) -> list[bytes]:
        if question == b"LIST UPS\n":
            return [b"BEGIN LIST UPS\nEND LIST UPS\n"]
        return [b"ERR UNKNOWN-UPS\n"]

    with Scripted(replies) as server, nut(server.port) as made:
        assert made.read().reason.endswith("set nut.ups to one that it knows: none")


@pytest.mark.parametrize("second", [[b""], [b"ERR ACCESS-DENIED\n"], [b"rubbish\n"]])
def test_a_server_that_will_not_name_its_upses_is_unknown_too(second: list[bytes]) -> None:
    with (
        Scripted(lambda q: second if q == b"LIST UPS\n" else [b"ERR UNKNOWN-UPS\n"]) as server,
        nut(server.port) as made,
    ):
        assert made.read().mains is None


def test_only_lists_are_asked_for() -> None:
    with Scripted(lambda _: [b"ERR UNKNOWN-UPS\n"]) as server, nut(server.port) as made:
        made.read()
        assert server.questions == [b"LIST VAR ups\n", b"LIST UPS\n"]


@given(st.binary(max_size=200) | st.lists(st.text(max_size=30)).map(lambda each: listed(*each)))
def test_whatever_comes_is_variables_or_an_error(said: bytes) -> None:
    try:
        values = parse(said, "VAR ups")
    except (AnswerError, RefusedError):
        return
    assert all(isinstance(value, str) for value in values.values())
