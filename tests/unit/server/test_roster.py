from __future__ import annotations

import pytest

from powmonman.core.messages import Hello, Status
from powmonman.core.power import PowerState
from powmonman.net.tls import Peer
from powmonman.server.roster import Roster

HELLO = Hello(nonce=1, version="1.0", boot_id="b", after=300.0, dry_run=True)
COUNTING = Status("counting", PowerState.ON_BATTERY, 120.0, outage="o1", reason="why")


@pytest.fixture
def roster() -> Roster:
    return Roster(["nas", "db"])


def arrive(roster: Roster, name: str, now: float) -> None:
    roster.arrived(Peer(name, "f" * 64, expired=False), "192.0.2.9", HELLO, now)


def test_expected_hosts_are_there_before_they_ever_come(roster: Roster) -> None:
    rows = roster.rows(100.0, "s1")
    assert [(row["name"], row["phase"], row["for"]) for row in rows] == [
        ("db", "never seen", None),
        ("nas", "never seen", None),
    ]


def test_a_row_says_who_is_there_since_when_and_what_it_said_of_itself(roster: Roster) -> None:
    arrive(roster, "nas", 100.0)
    roster.said("nas", COUNTING, 110.0)
    row = roster.rows(130.0, "s1")[1]
    assert row == {
        "name": "nas",
        "connected": True,
        "for": 30.0,
        "address": "192.0.2.9",
        "phase": "counting",
        "committed": None,
        "power": "on_battery",
        "left": 100.0,
        "outage": "o1",
        "reason": "why",
        "told": False,
        "policy": {
            "after": 300.0,
            "charge_below": None,
            "charge_drop": None,
            "runtime_below": None,
            "low_battery": None,
            "min_observe": 60.0,
            "confirm": 2.0,
        },
        "upses": (),
        "min_supplies": 1,
        "dry_run": True,
        "version": "1.0",
        "boot_id": "b",
        "certificate_expired": False,
    }


def test_the_seconds_left_end_at_zero(roster: Roster) -> None:
    arrive(roster, "nas", 100.0)
    roster.said("nas", COUNTING, 110.0)
    assert roster.rows(500.0, "s1")[1]["left"] == 0.0


def test_told_is_who_is_connected_and_understood_the_newest_state(roster: Roster) -> None:
    arrive(roster, "nas", 100.0)
    roster.hosts["nas"].told = "s1"
    assert [roster.rows(101.0, state)[1]["told"] for state in ("s1", "s2")] == [True, False]
    roster.left("nas", 102.0)
    assert not roster.rows(103.0, "s1")[1]["told"]


def test_a_host_that_comes_again_has_been_told_nothing(roster: Roster) -> None:
    arrive(roster, "nas", 100.0)
    roster.hosts["nas"].told = "s1"
    arrive(roster, "nas", 200.0)
    row = roster.rows(201.0, "s1")[1]
    assert (row["told"], row["for"]) == (False, 1.0)


def test_a_host_that_left_is_remembered_with_its_last_words(roster: Roster) -> None:
    arrive(roster, "nas", 100.0)
    roster.said("nas", COUNTING, 110.0)
    roster.left("nas", 120.0)
    row = roster.rows(125.0, "s1")[1]
    assert (row["connected"], row["for"], row["phase"]) == (False, 5.0, "counting")
    assert row["power"] == "unknown"


def test_a_new_list_keeps_who_is_connected_and_forgets_who_is_neither(roster: Roster) -> None:
    arrive(roster, "nas", 100.0)
    arrive(roster, "guest", 100.0)
    arrive(roster, "gone", 100.0)
    roster.left("gone", 110.0)
    roster.expect(["web"])
    assert list(roster.hosts) == ["guest", "nas", "web"]
    assert roster.hosts["nas"].hello == HELLO
