"""The drill on the server: its UPSes, its phases, who is down in it, and the verdicts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from powmonman.core import drill_report, drill_stage
from powmonman.core.drill_stage import Part, Phase
from powmonman.core.gauge import Gauge
from powmonman.core.messages import DrillStatus
from powmonman.core.outage import Supply
from powmonman.core.power import Debounce, PowerState, Reading

NOW = 5000.0


def supply(**values):
    debounce = Debounce(2.0, 5.0, 3.0, state=PowerState.ON_MAINS)
    return Supply(debounce=debounce, reading=Reading(mains=True), at=NOW, **values)


def stage(*parts, bound=700.0, scale=1.0, **supplies):
    return drill_stage.begin(
        "drill",
        supplies or {"ups": supply()},
        {part.name: part for part in parts},
        NOW,
        bound=bound,
        scale=scale,
    )


def at(one, seconds):
    """Look every tenth of a second until then."""
    step = round((one.looked - NOW) * 10)
    for tenth in range(step + 1, round(seconds * 10) + 1):
        one = drill_stage.advance(one, NOW + tenth / 10)
    return one


def says(one, name, phase, seconds, **values):
    status = DrillStatus("drill", phase, **values)
    return drill_stage.said(one, name, status, NOW + seconds)


NAS, WEB = Part("nas", connected=True, wait_for=("web", "off")), Part("web", connected=True)
OFF = Part("off", gone=-60.0)


def test_the_mains_are_lost_when_they_would_be():
    one = at(stage(NAS), 1.9)
    assert one.phase is Phase.LOSING
    assert drill_stage.told(one).upses["ups"].state is PowerState.ON_MAINS
    one = at(one, 2.5)
    news = drill_stage.told(one).upses["ups"]
    assert (one.phase, news.state) == (Phase.ON_BATTERY, PowerState.ON_BATTERY)
    assert news.age == pytest.approx(2.3, abs=0.3)


def test_the_real_ups_is_not_touched():
    real = supply()
    at(stage(NAS, ups=real), 60)
    assert real == supply()


def test_the_battery_empties_as_the_forecast_says():
    full = supply(gauge=Gauge(charge=80.0, last_runtime=1000.0, runtime=1000.0))
    one = at(stage(NAS, ups=full), 500)
    news = drill_stage.told(one).upses["ups"]
    assert news.charge == pytest.approx(40, abs=0.5)
    assert news.runtime == pytest.approx(500, abs=2)


def test_it_goes_on_until_everybody_has_committed_then_the_mains_are_back():
    one = at(stage(NAS, WEB, OFF), 100)
    one = at(says(one, "web", "committed", 100), 200)
    assert one.phase is Phase.ON_BATTERY
    one = at(says(one, "nas", "committed", 200), 201)
    assert one.phase is Phase.RETURNING
    one = at(one, 210)
    assert one.phase is Phase.WAKING
    assert drill_stage.told(one).upses["ups"].state is PowerState.ON_MAINS
    one = says(one, "web", "idle", 210, checked=True)
    one = at(says(one, "nas", "idle", 210, checked=True), 211)
    assert one.phase is Phase.DONE
    assert drill_stage.told(one) is None
    assert one.parts["web"].committed == 100


def test_at_its_bound_the_mains_are_back_whoever_is_missing():
    one = at(stage(NAS, bound=120.0), 119)
    assert one.phase is Phase.ON_BATTERY
    one = at(one, 121)
    assert one.phase is Phase.RETURNING
    one = at(one, 130 + drill_stage.WAKING)
    assert one.phase is Phase.DONE
    assert drill_report.report(one, NOW + 300)["unprotected"] == ["nas"]


def test_a_server_that_stood_still_does_not_go_on():
    one = at(stage(NAS), 50)
    one = drill_stage.advance(one, NOW + 50 + drill_stage.LONGEST_GAP + 1)
    assert (one.phase, one.reason) == (Phase.ABORTED, "the server stood still for 11 s")


def test_who_is_down_has_committed_and_had_its_time():
    """60 s where nobody has measured, and `settle`."""
    one = at(stage(NAS, WEB, OFF), 10)
    assert drill_stage.waits(one, "nas", NOW + 10) == ("web",)
    one = says(one, "web", "committed", 10)
    assert drill_stage.waits(one, "nas", NOW + 74) == ("web",)
    assert drill_stage.waits(one, "nas", NOW + 75) == ()
    quick = stage(NAS, replace(WEB, takes=7.0), OFF)
    quick = says(quick, "web", "committed", 10)
    assert drill_stage.waits(quick, "nas", NOW + 21) == ("web",)
    assert drill_stage.waits(quick, "nas", NOW + 22) == ()


def test_who_is_gone_without_a_commit_is_down_after_a_while():
    one = drill_stage.changed(at(stage(NAS, WEB), 10), "web", gone=10.0)
    assert drill_stage.waits(one, "nas", NOW + 69) == ("web", "off")
    assert drill_stage.waits(one, "nas", NOW + 70) == ("off",)


def test_who_is_off_is_down_once_it_was_asked_for_a_while_and_never_without_an_address():
    off, never = Part("web", gone=0.0), Part("off")
    one = stage(NAS, off, never)
    assert drill_stage.waits(one, "nas", NOW + 59) == ("web", "off")
    assert drill_stage.waits(one, "nas", NOW + 600) == ("off",)


def test_who_is_gone_has_a_moment_to_come_back():
    one = drill_stage.changed(at(stage(NAS), 20), "nas", gone=20.0)
    assert at(one, 29).phase is Phase.ON_BATTERY
    assert at(one, 31).phase is Phase.RETURNING
    back = says(at(one, 25), "nas", "counting", 25)
    assert at(back, 60).phase is Phase.ON_BATTERY


def test_for_whom_it_waited_is_kept():
    one = at(stage(NAS, WEB, OFF), 10)
    one = says(one, "nas", "waiting", 10)
    assert one.parts["nas"].waited == ("web",)
    assert one.parts["nas"].expected


@pytest.mark.parametrize("id_", ["", "other"])
def test_what_is_said_of_another_drill_is_not_listened_to(id_):
    one = stage(NAS)
    status = DrillStatus(id_, "committed")
    assert drill_stage.said(one, "nas", status, NOW) is one
    assert drill_stage.said(one, "nobody", replace(status, id="drill"), NOW) is one
    over = drill_stage.abort(one, "stopped")
    assert drill_stage.said(over, "nas", replace(status, id="drill"), NOW) is over
    assert drill_stage.abort(over, "again").reason == "stopped"


GOOD = Part(
    "nas",
    connected=True,
    known=True,
    macs=True,
    told_after=1.0,
    committed=600.0,
    status=DrillStatus("drill", "idle", checked=True, wake_heard=True, wake_armed=True),
)


def verdict(part):
    over = replace(stage(part), phase=Phase.DONE)
    return drill_report.report(over, NOW)["hosts"][0]


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (replace(GOOD, connected=False), "not connected"),
        (replace(GOOD, connected=False, known=False), "never connected"),
        (replace(GOOD, gone=4.0), "its connection ended in the drill"),
        (replace(GOOD, dry_run=True), "dry run: it would not go down"),
        (replace(GOOD, told_after=None), "did not understand the news of the loss"),
        (
            replace(GOOD, status=None),
            "says nothing of the drill: is its client older than the server?",
        ),
        (replace(GOOD, committed=None), "would not have committed in time"),
        (
            replace(GOOD, status=replace(GOOD.status, checked=False)),
            "its shutdown commands were not checked",
        ),
        (replace(GOOD, status=replace(GOOD.status, faults=("no x", "no y"))), "no x; no y"),
        (replace(GOOD, battery=640.0), "down after 660 s, but the battery ends after 640 s"),
        (
            replace(GOOD, committed=None, status=DrillStatus("drill", "idle", reason="no")),
            "takes no part: no",
        ),
    ],
)
def test_who_is_unprotected_and_why(part, reason):
    row = verdict(part)
    assert (row["verdict"], row["reason"]) == ("UNPROTECTED", reason)


def test_who_is_protected_may_still_be_hard_to_wake():
    row = verdict(GOOD)
    assert (row["verdict"], row["wake"]["doubts"]) == ("protected", [])
    deaf = replace(GOOD, status=replace(GOOD.status, wake_heard=False, wake_armed=False))
    assert verdict(deaf)["verdict"] == "protected"
    assert verdict(deaf)["wake"]["doubts"] == [
        "Wake-on-LAN is off on its network interfaces",
        "no magic packet has arrived",
    ]
    assert verdict(replace(GOOD, macs=False))["wake"]["doubts"] == ["no MAC address is known"]
    assert verdict(replace(GOOD, wakes="none"))["wake"]["doubts"] == ["nobody wakes it"]
    assert verdict(replace(GOOD, wakes="command"))["wake"]["doubts"] == []


def test_the_result_in_one_line():
    over = replace(stage(GOOD), phase=Phase.DONE)
    assert drill_report.result(over) == (
        "1 host protected: the last one would go 600 s after the loss"
    )
    bad = replace(stage(GOOD, OFF), phase=Phase.DONE)
    assert drill_report.result(bad) == "1 of 2 hosts UNPROTECTED: off (never connected)"
    assert drill_report.result(drill_stage.abort(over, "x")) != "aborted: x"
    assert drill_report.result(drill_stage.abort(stage(GOOD), "x")) == "aborted: x"


def test_a_drill_that_was_ended_early_convicts_nobody_who_was_there():
    row = drill_report.report(drill_stage.abort(stage(WEB), "x"), NOW)["hosts"][0]
    assert row["verdict"] == "open"
