"""The table of the safety rules (UPS status to power state), row by row, and any other words."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from powmonman.core.power import Reading
from powmonman.sensors.ups_status import Report, number, plain, reading

FLOOR = 20.0


def judge(words: str, **figures: float | str | None) -> Reading:
    report = Report(words=frozenset(words.split()), **figures)  # type: ignore[arg-type]
    return reading(report, FLOOR, "look at it")


@pytest.mark.parametrize(
    "words",
    ["OL", "OL CHRG", "OL DISCHRG", "OL TRIM", "OL BOOST", "OL ECO", "OL CHRG TRIM", "OL TEST"],
)
def test_ol_is_on_mains_whatever_else_is_said(words: str) -> None:
    assert judge(words, charge=50, runtime=600, voltage=27.2) == Reading(
        mains=True, charge=50, runtime=600, voltage=27.2
    )


@pytest.mark.parametrize("words", ["OB", "OB DISCHRG", "OB TEST", "OB BOOST"])
def test_ob_is_on_battery(words: str) -> None:
    assert judge(words, charge=50, runtime=600, voltage=24.1) == Reading(
        mains=False, charge=50, runtime=600, voltage=24.1
    )


@pytest.mark.parametrize(
    ("words", "mains", "low", "note"),
    [
        ("OL RB", True, False, "replace the battery"),
        ("OB RB", False, False, "replace the battery"),
        ("OB LB", False, True, ""),
        ("OB DISCHRG LB", False, True, ""),
        ("OL LB", True, False, "low battery (LB): ignored on mains"),
        ("OB FSD", False, True, "the UPS's own server shuts down (FSD)"),
        ("FSD OB LB", False, True, "the UPS's own server shuts down (FSD)"),
        ("FSD OL", True, False, "the UPS's own server shuts down (FSD): ignored on mains"),
        ("OB CAL", True, False, "calibration"),
        ("OL CAL", True, False, "calibration"),
        ("OB CAL LB", True, False, "calibration, low battery (LB): ignored on mains"),
        ("BYPASS", True, False, "bypass: the load is not protected"),
        ("OL BYPASS", True, False, "bypass: the load is not protected"),
        ("OB BYPASS", False, False, "bypass: the load is not protected"),
        ("OL OFF", True, False, "the UPS's output is off"),
        ("OL OVER", True, False, "overload"),
        ("OL NOBATT", True, False, "no battery: the load is not protected"),
        ("ALARM OL", True, False, "alarm"),
        ("ALARM OB LB", False, True, "alarm"),
    ],
)
def test_the_table(words: str, mains: bool, low: bool, note: str) -> None:
    assert judge(words) == Reading(mains=mains, low_battery=low, reason=note)


@pytest.mark.parametrize(
    "words",
    ["", "OFF", "OVER", "ALARM", "OFF ALARM", "LB", "FSD", "FSD LB", "CAL", "RB", "WAIT", "CHRG"],
)
def test_neither_ol_nor_ob_is_unknown(words: str) -> None:
    said = judge(words, charge=50)
    assert said.mains is None
    expected = "the UPS says neither OL (on mains) nor OB (on battery)"
    assert said.reason.startswith(expected)
    assert said.reason.endswith("; look at it")


@pytest.mark.parametrize("words", ["OL OB", "OL OB LB", "OL OB CAL"])
def test_both_ol_and_ob_contradict_each_other(words: str) -> None:
    said = judge(words)
    assert said.mains is None
    assert "both OL (on mains) and OB (on battery)" in said.reason


@pytest.mark.parametrize("words", ["COMMLOST", "OL COMMLOST", "OB LB COMMLOST", "OB NOCOMM"])
def test_what_is_said_after_contact_was_lost_is_old(words: str) -> None:
    said = judge(words)
    assert said.mains is None
    assert said.reason == "the UPS does not answer its driver; look at it"


@pytest.mark.parametrize(
    ("charge", "mains"), [(20.0, True), (19.9, False), (0.0, False), (100.0, True), (None, True)]
)
def test_a_calibration_below_its_floor_is_an_outage(charge: float | None, mains: bool) -> None:
    assert judge("OB CAL DISCHRG", charge=charge).mains is mains


@pytest.mark.parametrize("also", ["LB", "FSD"])
def test_below_its_floor_a_calibration_counts_like_any_outage(also: str) -> None:
    said = judge(f"OB CAL {also}", charge=19)
    assert (said.mains, said.low_battery) == (False, True)
    assert "calibration with too little charge left" in said.reason


def test_what_the_alarm_says_is_told_on_one_line() -> None:
    said = judge("ALARM OL", alarm="Replace\nbattery!  \x1b[31m Now ")
    assert said.reason == "alarm: Replace battery! [31m Now"


def test_a_long_alarm_is_cut() -> None:
    assert len(judge("OL", alarm="x" * 10_000).reason) < 200


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("97.0", 97.0),
        ("0", 0.0),
        ("100", 100.0),
        ("88.0 Percent", 88.0),
        ("101", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("", None),
        ("  ", None),
        ("N/A", None),
        (None, None),
    ],
)
def test_a_figure_is_a_number_within_its_bounds_or_none(
    text: str | None, value: float | None
) -> None:
    assert number(text, 100) == value


@given(st.text())
def test_any_text_is_a_figure_or_none(text: str) -> None:
    value = number(text, 100)
    assert value is None or 0 <= value <= 100


@given(st.text())
def test_any_text_is_made_plain(text: str) -> None:
    assert plain(text).isprintable()


KNOWN = [
    *("OL", "OB", "LB", "HB", "RB", "CHRG", "DISCHRG", "BYPASS", "CAL", "OFF", "OVER", "TRIM"),
    *("BOOST", "FSD", "ALARM", "WAIT", "ECO", "TEST", "NOBATT", "COMMLOST", "NOCOMM"),
]
reports = st.builds(
    Report,
    words=st.frozensets(st.sampled_from(KNOWN) | st.text(max_size=8), max_size=8),
    charge=st.none() | st.floats(0, 100),
    runtime=st.none() | st.floats(0, 1e6),
    voltage=st.none() | st.floats(0, 500),
    alarm=st.text(max_size=40),
)


@given(reports, st.floats(0, 100))
@example(Report(words=frozenset()), 0.0)
def test_whatever_a_ups_says_the_reading_keeps_the_rules(report: Report, floor: float) -> None:
    said = reading(report, floor, "look at it")
    words = report.words
    if said.mains is False:
        assert "OB" in words
        assert "OL" not in words
        assert "CAL" not in words or (report.charge is not None and report.charge < floor)
    if said.mains is True:
        assert words & {"OL", "BYPASS"} or {"OB", "CAL"} <= words
    if not words & {"OL", "OB", "BYPASS"} or {"OL", "OB"} <= words:
        assert said.mains is None
    if said.low_battery:
        assert said.mains is False
        assert words & {"LB", "FSD"}
    if said.mains is None:
        assert "; " in said.reason
        assert (said.charge, said.runtime, said.voltage) == (None, None, None)
    assert "\n" not in said.reason


@given(reports, st.floats(0, 100))
def test_a_calibration_flag_never_makes_an_outage(report: Report, floor: float) -> None:
    without = Report(words=report.words - {"CAL"}, charge=report.charge)
    if reading(without, floor, "").mains is not False:
        assert reading(report, floor, "").mains is not False
