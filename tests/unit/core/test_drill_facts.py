"""What of a drill goes on record."""

from __future__ import annotations

from powmonman.core import drill_stage
from powmonman.core.drill_facts import facts
from powmonman.core.drill_stage import Part, Stage
from powmonman.core.messages import DrillStatus
from powmonman.core.outage import Supply
from powmonman.core.timeline import Kind

NOW = 5000.0


def stage(*parts: Part, scale: float = 1.0) -> Stage:
    named = {part.name: part for part in parts}
    return drill_stage.begin("d1", {"ups": Supply(at=NOW)}, named, NOW, bound=700.0, scale=scale)


def told(one: Stage, seconds: float) -> list[tuple[Kind, str, str, float]]:
    return [tuple(fact) for fact in facts(one, NOW + seconds)]  # type: ignore[misc]


def test_a_drill_begins_with_its_loss_and_says_how_fast_it_runs() -> None:
    assert [(Kind.MAINS_LOST, "", "", 0.0)] == told(stage(), 0)
    assert "4 times as fast as an outage" == told(stage(scale=4), 0)[0][2]


def test_what_a_host_did_in_it() -> None:
    one = stage(Part("nas", connected=True, wait_for=("web",)), Part("web"))
    one = drill_stage.understood(one, "nas", 0.00284, NOW + 1)
    for phase, at, more in (
        ("counting", 2, {"left": 298.4}),
        ("waiting", 300, {}),
        ("committed", 310, {"reason": "in time", "checked": True, "wake_heard": True}),
    ):
        status = DrillStatus("d1", phase, **more)  # type: ignore[arg-type]
        if phase == "counting":
            counting = drill_stage.said(one, "nas", status, NOW + at)
            assert (Kind.COUNTING, "nas", "298 s left", 2.0) in told(counting, 2)
        one = drill_stage.said(one, "nas", status, NOW + at)
    assert [
        (Kind.MAINS_LOST, "", "", 0.0),
        (Kind.TOLD, "nas", "2.8 ms after the push", 1.0),
        (Kind.WAITING, "nas", "for web", 300.0),
        (Kind.REHEARSED, "nas", "in time", 310.0),
        (Kind.CHECKED, "nas", "all in order", 310.0),
        (Kind.WAKE_HEARD, "nas", "", 320.0),
    ] == told(one, 320)


def test_whom_it_waited_for_what_is_wrong_and_when_it_hung_up() -> None:
    web = Part("web", connected=True)
    one = stage(Part("nas", connected=True, wait_for=("web",)), web)
    one = drill_stage.said(one, "nas", DrillStatus("d1", "waiting"), NOW + 300)
    assert (Kind.WAITING, "nas", "for web", 300.0) in told(one, 300)
    bad = DrillStatus("d1", "committed", checked=True, faults=("no such program",))
    one = drill_stage.said(one, "nas", bad, NOW + 310)
    assert (Kind.CHECKED, "nas", "no such program", 310.0) in told(one, 311)
    one = drill_stage.changed(one, "nas", gone=312.0)
    assert (Kind.LEFT, "nas", "", 312.0) in told(one, 320)


def test_one_that_is_aborted_says_why() -> None:
    one = drill_stage.abort(stage(), "ups is really on battery")
    assert (Kind.NOTE, "", "aborted: ups is really on battery", 9.0) == told(one, 9)[-1]
