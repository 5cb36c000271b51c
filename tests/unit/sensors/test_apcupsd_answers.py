"""The sensor `apcupsd` before recorded answers, and servers that answer as they like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from apcupsd import framed
from hypothesis import given
from hypothesis import strategies as st
from reader import Reader
from scripted import Scripted

from powmonman.config.sources import Apcupsd
from powmonman.core.power import Reading
from powmonman.net.peer import AnswerError
from powmonman.sensors.apcupsd import ApcupsdSensor, age, parse, report

RECORDED = Path(__file__).parents[2] / "recorded" / "apcupsd"
ANSWERS = {
    path.stem: path.read_text("utf-8").splitlines() for path in sorted(RECORDED.glob("*.txt"))
}
LOST = "the UPS does not answer its driver; see what it says: apcaccess -h "


def apcupsd(port: int, **settings: Any) -> Reader:
    return Reader(lambda clock: ApcupsdSensor(Apcupsd(port=port, **settings), clock))


def answered(said: bytes) -> Reading:
    with Scripted(lambda _: [said]) as server, apcupsd(server.port) as made:
        return made.read()


EXPECTED = {
    "smart-ups-1000": Reading(mains=True, charge=98, runtime=2700, voltage=27.2),
    "smart-ups-1000-shutting-down": Reading(
        mains=False,
        charge=3,
        runtime=2700,
        voltage=27.2,
        low_battery=True,
        reason="the UPS's own server shuts down (FSD)",
    ),
    "smart-ups-1000-comm-lost": None,
    "back-ups-es-700": Reading(mains=False, charge=88, runtime=1446, voltage=12.8),
    "back-ups-3.10": Reading(mains=True, reason="low battery (LB): ignored on mains"),
    "slave": Reading(
        mains=True, charge=100, runtime=3660, voltage=27.5, reason="replace the battery"
    ),
}


def test_every_recorded_answer_is_tried() -> None:
    assert set(ANSWERS) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_recorded_answer_reads(name: str) -> None:
    said = answered(framed(ANSWERS[name]))
    if EXPECTED[name] is None:
        assert said.mains is None
        assert LOST in said.reason
    else:
        assert said == EXPECTED[name]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("ONLINE", {"OL"}),
        ("ONBATT LOWBATT", {"OB", "LB"}),
        ("CAL ONBATT", {"CAL", "OB"}),
        ("BOOST ONLINE OVERLOAD REPLACEBATT", {"BOOST", "OL", "OVER", "RB"}),
        ("ONLINE NOBATT", {"OL", "NOBATT"}),
        ("COMMLOST", {"COMMLOST"}),
        ("TRIM ONLINE SLAVE SLAVEDOWN", {"TRIM", "OL", "SLAVE", "SLAVEDOWN"}),
        ("SHUTTING DOWN", {"FSD", "DOWN"}),
        ("", set()),
    ],
)
def test_without_flags_the_words_tell(status: str, words: set[str]) -> None:
    assert report({"STATUS": status}).words == words


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("0x05000008", {"OL"}),
        ("0x05060050", {"OB", "LB"}),
        ("0x05040011", {"OB", "CAL"}),
        ("0x0500010C", {"OL", "BOOST", "COMMLOST"}),
        ("0x050E0210", {"OB", "FSD"}),
        ("0x020000AA Status Flag", {"OL", "TRIM", "OVER", "RB"}),
        ("none", set()),
    ],
)
def test_without_words_the_flags_tell(flags: str, words: set[str]) -> None:
    assert report({"STATUS": "", "STATFLAG": flags}).words == words


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("45.3 Minutes", 45.3 * 60),
        ("90.0 Seconds", 90),
        ("0.0 Minutes", 0),
        ("45.3", None),
        ("45 Fortnights", None),
        ("N/A", None),
    ],
)
def test_the_runtime_is_in_minutes_and_counts_in_seconds(text: str, seconds: float | None) -> None:
    assert report({"STATUS": "ONBATT", "TIMELEFT": text}).runtime == seconds


def aged(heard: str, now: str) -> bytes:
    return framed([f"DATE     : {heard}", "STATUS   : ONLINE", f"END APC  : {now}"])


def test_what_apcupsd_heard_long_ago_is_unknown() -> None:
    said = answered(aged("2026-03-02 18:20:00 +0100", "2026-03-02 18:23:01 +0100"))
    assert said.mains is None
    assert "it has heard nothing from the UPS for 181 s; check the cable" in said.reason


@pytest.mark.parametrize(
    ("heard", "now"),
    [
        ("2026-03-02 18:20:00 +0100", "2026-03-02 18:21:00 +0100"),
        # Its clock was set, or the summer began.
        ("2026-03-02 18:20:00 +0100", "2026-03-02 18:10:00 +0100"),
        ("2026-03-29 01:59:50 +0100", "2026-03-29 03:00:10 +0200"),
        ("Sat Feb 15 19:53:03 CET 2003", "Sat Feb 15 20:53:08 CET 2003"),
    ],
)
def test_what_it_heard_lately_is_known(heard: str, now: str) -> None:
    assert answered(aged(heard, now)).mains is True


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (b"\x00\x00", "not apcupsd's"),
        (framed(["HOSTNAME : pi"]), "not apcupsd's"),
        (framed(["Invalid command"]), "not apcupsd's"),
        (b"\x00\x40STATUS   : ONLINE\n\x00\x00", "not apcupsd's"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n\x00\x00", "not apcupsd's"),
        (framed(["STATUS : ONLINE"] * 9000), "answers with more than 64 KiB"),
        (framed(["STATUS   : "]), "neither OL"),
        (framed(["STATUS   : ONLINE ONBATT"]), "both OL"),
        (b"", "closed the connection without an answer"),
    ],
)
def test_what_is_no_answer_is_unknown(said: bytes, complaint: str) -> None:
    found = answered(said)
    assert found.mains is None
    assert complaint in found.reason
    assert "; " in found.reason
    assert "\n" not in found.reason


def test_who_is_kept_out_is_told_where_to_look() -> None:
    """libwrap closes the connection without a word."""
    assert answered(b"").reason.endswith("does /etc/hosts.allow there keep this host out?")


def test_an_answer_in_single_bytes_is_read() -> None:
    whole = framed(ANSWERS["back-ups-es-700"])
    pieces = [whole[n : n + 1] for n in range(len(whole))]
    with Scripted(lambda _: pieces) as server, apcupsd(server.port) as made:
        assert made.read() == EXPECTED["back-ups-es-700"]


def test_records_of_any_length_and_letters_of_any_kind_are_read() -> None:
    lines = [f"UPSNAME  : {'x' * 300}", "MODEL    : " + "y" * 245, "STATUS   : ONLINE"]
    foreign = b"\x00\x0fHOSTNAME : b\xfcro"
    assert answered(foreign + framed(lines)).mains is True


def test_only_the_status_is_asked_for() -> None:
    with Scripted(lambda _: [b"\x00\x00"]) as server, apcupsd(server.port) as made:
        made.read()
        assert server.questions == [b"\x00\x06status"]


@given(st.binary(max_size=200) | st.lists(st.text(max_size=30)).map(framed))
def test_whatever_comes_is_a_status_or_an_error(said: bytes) -> None:
    try:
        status = parse(said)
    except AnswerError:
        return
    report(status)
    age(status)
