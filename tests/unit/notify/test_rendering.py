"""From events to what people read."""

from __future__ import annotations

import time
from dataclasses import fields, replace
from typing import Any

import pytest

from powmonman.config.notify_keys import Events, Template
from powmonman.core.durations import duration
from powmonman.core.events import Event, HostLine, Kind
from powmonman.core.power import PowerState
from powmonman.notify.rendering import (
    LONGEST_BODY,
    LONGEST_TITLE,
    Circumstances,
    Text,
    faults_of,
    words,
)
from powmonman.notify.words import DEFAULTS, TYPES, WEIGHT, clock

# 03:12 here, whatever the time zone of who runs this.
NIGHT = time.mktime((2024, 2, 3, 3, 12, 0, 0, 0, -1))
AROUND = Circumstances("home", "pi", NIGHT)
LOST = Event(
    Kind.ON_BATTERY,
    at=NIGHT,
    ups="rack",
    outage="o1",
    state=PowerState.ON_BATTERY,
    since=NIGHT,
    length=2.0,
    charge=87.0,
    voltage=12.9,
    runtime=1500.0,
    hosts=(HostLine("nas", "counting", 600.0), HostLine("db", "idle", 900.0)),
)


def said(event: Event, own: dict[str, Template] | None = None, **around: Any) -> Text:
    return words((event,), own or {}, replace(AROUND, **around))


def test_what_is_read_at_three_in_the_morning() -> None:
    text = said(LOST)
    assert "Power lost: rack" == text.title
    assert (
        "rack is on battery since 03:12 (charge 87 %, 12.9 V, about 25 min). "
        "nas shuts down in 10 min, db in 15 min, unless the mains return."
    ) == text.body
    assert "warning" == text.type


@pytest.mark.parametrize("phase", ["committed", "halting"])
def test_who_goes_down_is_named_when_the_mains_are_back(phase: str) -> None:
    hosts = (HostLine("nas", phase, 5.0), HostLine("db", "idle"))
    assert said(Event(Kind.ON_MAINS, ups="rack", hosts=hosts)).body.endswith("Still down: nas.")
    assert "nas" not in said(replace(LOST, hosts=hosts)).body


def test_what_a_wire_does_not_know_is_not_said() -> None:
    bare = Event(Kind.ON_BATTERY, ups="rack", since=NIGHT, at=NIGHT)
    assert "rack is on battery since 03:12." == said(bare).body


def test_power_back_says_how_long_it_was_and_who_is_down() -> None:
    lines = (HostLine("nas", "committed"), HostLine("desk", "committed", dry_run=True))
    back = replace(LOST, kind=Kind.ON_MAINS, state=PowerState.ON_MAINS, length=642.0, hosts=lines)
    assert (
        "rack is on mains again after 10 min on battery (charge 87 %, 12.9 V). Still down: nas."
    ) == said(back).body
    unknown = said(replace(back, length=None, hosts=(), charge=None, voltage=None)).body
    expected = "rack is on mains again; the outage began 03:12."
    assert expected == unknown


@pytest.mark.parametrize("kind", Kind)
def test_every_event_has_words_with_all_and_with_nothing_known(kind: Kind) -> None:
    for event in (replace(LOST, kind=kind, host="nas", left=300.0), Event(kind, left=0.0)):
        text = said(event)
        assert text.title
        assert text.faults == ()
        assert "None" not in text.title + text.body


def test_every_switch_is_an_event_and_every_event_has_its_place() -> None:
    assert {part.name for part in fields(Events)} | {"test"} == {str(kind) for kind in Kind}
    assert set(Kind) == set(DEFAULTS) == set(WEIGHT)
    assert set(TYPES) < set(Kind)


@pytest.mark.parametrize("template", DEFAULTS.values())
def test_the_default_words_pass_the_check_for_own_ones(template: Template) -> None:
    assert [] == faults_of(template)


def test_own_words_replace_the_default_ones_each_for_itself() -> None:
    text = said(LOST, {"on_battery": Template(title="Strom weg: {{ ups }} ({{ outage[:2] }})")})
    assert "Strom weg: rack (o1)" == text.title
    assert text.body.startswith("rack is on battery")


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("{{ upps }}", "'upps' is undefined"),
        ("{% if ups %}", "line 1: "),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ charge.__class__.__mro__ }}", "SecurityError"),
        ("{{ 'x' * 10**9 }}", "is for numbers here"),
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "2 s"),
    ],
)
def test_a_faulty_template_gives_way_and_is_named(source: str, fault: str) -> None:
    text = said(LOST, {"on_battery": Template(body=source)})
    assert said(LOST).body == text.body
    (named,) = text.faults
    assert named.startswith("on_battery.body: ")
    assert fault in named
    assert fault in faults_of(Template(body=source))[0]


def test_texts_are_bounded_and_on_the_lines_they_are_given() -> None:
    own = Template("a\nb {{ reason }}", "{% for i in range(9999) %}{{ i }}\n{% endfor %}")
    text = said(replace(LOST, reason="\x1b[31m" + "long " * 99), {"on_battery": own})
    assert text.title.startswith("a b �[31mlong long")
    assert len(text.title) == LONGEST_TITLE
    assert len(text.body) <= LONGEST_BODY
    assert text.body.startswith("0\n1\n2\n")


def test_several_events_are_one_message_titled_by_the_weightiest() -> None:
    events = (
        Event(Kind.HOST_COMMITTED, host="nas", reason="600 s of battery spent"),
        LOST,
        Event(Kind.HOST_DOWN, host="db"),
    )
    text = words(events, {}, replace(AROUND, more=7))
    assert "Power lost: rack (and 9 more)" == text.title
    assert [
        "nas shuts down now: 600 s of battery spent.",
        said(LOST).body,
        "db has shut down, and is gone.",
        "… and 7 more events.",
    ] == text.body.splitlines()


def test_a_late_message_says_so() -> None:
    now = NIGHT + 2 * 3600
    assert "Power lost: rack (late: 03:12, 3 h ago)" == said(LOST, late=10800.0, now=now).title
    unknown = said(LOST, late=float("inf"), now=NIGHT + 40 * 86400)
    assert "Power lost: rack (late: 3 Feb 03:12)" == unknown.title


def test_what_was_dropped_is_told_with_the_next_message() -> None:
    assert said(LOST, dropped=3).body.endswith("were dropped: 3.")


def test_a_large_fleet_is_named_in_part() -> None:
    lines = tuple(HostLine(f"h{number}", "counting", 600.0 + number) for number in range(20))
    body = said(replace(LOST, hosts=lines, more_hosts=5)).body
    assert "h0 shuts down in 10 min, h1 in 10 min" in body
    assert ", 17 more later, unless" in body


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (-3, "0 s"),
        (179, "179 s"),
        (180, "3 min"),
        (239, "3 min"),
        (1500, "25 min"),
        (7200, "120 min"),
        (10800, "3 h"),
        (12000, "3 h 20 min"),
        (12 * 86400.0, "12 days"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert text == duration(seconds)


def test_a_time_of_another_year_has_its_date() -> None:
    assert "2024-02-03 03:12" == clock(NIGHT, NIGHT + 400 * 86400)


def test_what_is_of_a_drill_is_marked_in_every_words() -> None:
    own = {"on_battery": Template("Strom weg", "Seit eben.")}
    drilled = replace(LOST, drill=True)
    assert said(drilled).title == "DRILL · Power lost: rack"
    assert (said(drilled, own).title, said(drilled, own).body) == (
        "DRILL · Strom weg",
        "DRILL · Seit eben.",
    )
    result = Event(Kind.DRILL, reason="1 of 2 hosts UNPROTECTED: nas (not connected)", drill=True)
    assert said(result).title == "DRILL · 1 of 2 hosts UNPROTECTED"
    assert said(result).body == "DRILL · 1 of 2 hosts UNPROTECTED: nas (not connected)."


def test_beside_a_drill_what_is_real_gives_the_title() -> None:
    back = Event(Kind.HOST_BACK, host="nas")
    text = words((replace(LOST, drill=True), back), {}, Circumstances())
    assert text.title == "nas is back (and 1 more)"
    assert "DRILL · rack is on battery" in text.body
