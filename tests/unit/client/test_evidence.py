"""Evidence of lost contact: that what can't be told is none, and that a hung look harms nobody."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from powmonman.client import evidence
from powmonman.client.evidence import Evidence
from powmonman.config.lost_contact_keys import LostContact

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 20.0


def eyes_for(*kinds: str) -> Evidence:
    chosen = LostContact(300.0, kinds)  # type: ignore[arg-type]
    return Evidence(chosen, "", lambda: None)


def look(eyes: Evidence) -> dict[str, tuple[bool | None, str]]:
    """Return what the next look finds."""
    eyes.want(True)
    end = time.monotonic() + PATIENCE
    while not (found := list(eyes.found())):
        assert time.monotonic() < end
        time.sleep(0.01)
    eyes.want(False)
    return {fact.kind: (fact.holds, fact.text) for fact in found[-1][0]}


@pytest.fixture
def unrouted(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool | None]:
    """A host without any route, with cards whose carriers are in the dictionary."""
    carriers: dict[str, bool | None] = {}
    monkeypatch.setattr(evidence, "gateways", list)
    monkeypatch.setattr(evidence, "cards", lambda: sorted(carriers))
    monkeypatch.setattr(evidence, "carrier", lambda name: carriers[name])
    return carriers


@pytest.mark.parametrize(
    ("carriers", "holds", "text"),
    [
        ({"eth0": False}, True, "no carrier on eth0"),
        ({"eth0": False, "eth1": False}, True, "no carrier on eth0, eth1"),
        ({"eth0": False, "eth1": True}, False, "carrier on eth0, eth1"),
        ({"eth0": False, "eth1": None}, None, "the carrier of eth0, eth1 can't be read"),
        ({}, None, "the carrier of any network card can't be read"),
    ],
)
def test_where_no_way_to_the_server_is_known_all_cards_must_be_dead(
    unrouted: dict[str, bool | None], carriers: dict[str, bool | None], holds: bool, text: str
) -> None:
    unrouted.update(carriers)
    eyes = eyes_for("no_carrier", "gateway_silent")
    try:
        found = look(eyes)
    finally:
        eyes.stop()
    assert found["no_carrier"] == (holds, text)
    assert found["gateway_silent"] == (None, "no default gateway is known")


@pytest.mark.parametrize(
    ("supplies", "holds"),
    [
        ({"BAT0": {"type": "Battery", "status": "Discharging"}}, True),
        ({"BAT0": {"type": "Battery", "status": "Full"}}, False),
        ({"BAT0": {"type": "Battery", "status": "Unknown"}}, None),
        (
            {
                "AC": {"type": "Mains", "online": "1"},
                "BAT0": {"type": "Battery", "status": "Discharging"},
            },
            False,
        ),
        ({"AC": {"type": "Mains", "online": "0"}}, None),
        ({"mouse": {"type": "Battery", "scope": "Device", "status": "Discharging"}}, None),
        ({}, None),
    ],
    ids=[
        "discharging",
        "full",
        "does not say",
        "weak charger",
        "an adapter alone",
        "mouse",
        "none",
    ],
)
def test_only_a_battery_that_discharges_is_evidence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    supplies: dict[str, dict[str, str]],
    holds: bool | None,
) -> None:
    for name, attributes in supplies.items():
        (tmp_path / name).mkdir()
        for attribute, text in attributes.items():
            (tmp_path / name / attribute).write_text(f"{text}\n")
    monkeypatch.setattr(evidence, "SUPPLIES", tmp_path)
    eyes = eyes_for("own_battery")
    try:
        assert look(eyes)["own_battery"][0] is holds
    finally:
        eyes.stop()


def test_power_supplies_that_can_not_be_read_are_no_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "SUPPLIES", tmp_path / "missing")
    eyes = eyes_for("own_battery")
    try:
        holds, text = look(eyes)["own_battery"]
    finally:
        eyes.stop()
    assert holds is None
    assert text == "own battery: can't be told: no such file or directory"


def test_a_look_that_hangs_holds_nobody_up_and_finds_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hung, go = threading.Event(), threading.Event()

    def hangs() -> tuple[bool, str]:
        hung.set()
        go.wait(PATIENCE)
        return True, "too late"

    monkeypatch.setattr(evidence, "_own_battery", hangs)
    eyes = eyes_for("own_battery")
    try:
        began = time.monotonic()
        eyes.want(True)
        assert hung.wait(PATIENCE)
        eyes.want(True)
        eyes.met("192.0.2.7")
        eyes.want(False)
        assert list(eyes.found()) == []
        assert time.monotonic() - began < PATIENCE
    finally:
        go.set()
        eyes.stop()


def test_who_looks_before_the_one_who_asks_goes_on_looks_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The thread takes what it is asked while the other one has not come back from asking."""

    class Slow(queue.SimpleQueue[Any]):
        def put(self, item: Any, *_: Any) -> None:
            super().put(item)
            time.sleep(0.1)

    monkeypatch.setattr(queue, "SimpleQueue", Slow)
    monkeypatch.setattr(evidence, "_own_battery", lambda: (True, "own battery discharging"))
    eyes = eyes_for("own_battery")
    try:
        assert look(eyes) == {"own_battery": (True, "own battery discharging")}
    finally:
        eyes.stop()


def test_nothing_is_looked_for_until_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    monkeypatch.setattr(evidence, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(evidence, "_own_battery", lambda: (looks.append(1) or True, ""))
    eyes = eyes_for("own_battery")
    try:
        time.sleep(0.1)
        assert looks == []
        look(eyes)
        eyes.want(False)
        time.sleep(0.1)
        before = len(looks)
        time.sleep(0.2)
        assert len(looks) == before
    finally:
        eyes.stop()
