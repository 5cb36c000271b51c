from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from powmonman.config.order_keys import Order, Place
from powmonman.core.messages import Hello, Status
from powmonman.core.power import PowerState
from powmonman.core.presence import Answer
from powmonman.core.records import from_json, to_json
from powmonman.net.tls import Peer
from powmonman.server.prober import Asked
from powmonman.server.roster import HostRecord, Roster

HELLO = Hello(nonce=1, version="1.0", boot_id="b", after=300.0, dry_run=True)
COUNTING = Status("counting", PowerState.ON_BATTERY, 120.0, outage="o1", reason="why")


@pytest.fixture
def roster() -> Roster:
    return Roster(["nas", "db"])


COMMITTED = Status("committed", PowerState.ON_BATTERY, outage="o1")


def arrive(roster: Roster, name: str, now: float, **hello: Any) -> None:
    peer = Peer(name, "f" * 64, expired=False)
    roster.arrived(peer, "192.0.2.9", replace(HELLO, **hello), now)


def silent(roster: Roster, name: str, since: float, until: float) -> None:
    """Let a host be asked once a second, in vain."""
    for at in range(int(since), int(until)):
        roster.asked(name, Asked(Answer.SILENT, "no answer to ping", at, at + 1.0, 0))


def restarted(roster: Roster, now: float, *, same_boot: bool = True) -> Roster:
    """Return the roster of the next process."""
    kept = {name: to_json(record) for name, record in roster.records().items()}
    after = Roster(["nas", "db"])
    records = {name: from_json(HostRecord, value) for name, value in kept.items()}
    after.recall(records, now, same_boot=same_boot)
    return after


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
        "down": "",
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
        "wait_for": (),
        "wait_timeout": 300.0,
        "on_lost_contact": {"shutdown_after": None, "only_if": ()},
        "waits": (),
        "takes": None,
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
    roster.told("nas", "s1")
    assert [roster.rows(101.0, state)[1]["told"] for state in ("s1", "s2")] == [True, False]
    roster.left("nas", 102.0)
    assert not roster.rows(103.0, "s1")[1]["told"]


def test_a_host_that_comes_again_has_been_told_nothing(roster: Roster) -> None:
    arrive(roster, "nas", 100.0)
    roster.told("nas", "s1")
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


def test_a_new_boot_has_counted_nothing_and_committed_to_nothing(roster: Roster) -> None:
    arrive(roster, "nas", 100.0)
    roster.said("nas", COMMITTED, 110.0)
    roster.left("nas", 120.0)
    arrive(roster, "nas", 130.0)
    assert (roster.hosts["nas"].committed_at, roster.hosts["nas"].outage) == (110.0, "o1")
    assert roster.hosts["nas"].status == COMMITTED
    arrive(roster, "nas", 200.0, boot_id="c")
    assert (roster.hosts["nas"].committed_at, roster.hosts["nas"].outage) == (None, "")
    assert roster.rows(201.0, "s1")[1]["phase"] == "unknown"
    assert roster.hosts["nas"].time_left(201.0) is None


def test_the_first_word_of_a_commit_is_its_moment_and_halting_is_not_its_end(
    roster: Roster,
) -> None:
    arrive(roster, "nas", 100.0)
    for at, phase in ((110.0, "committed"), (120.0, "committed"), (130.0, "halting")):
        roster.said("nas", Status(phase, outage="o1"), at)
    assert (roster.hosts["nas"].committed_at, roster.hosts["nas"].outage) == (110.0, "o1")
    roster.said("nas", Status("idle"), 140.0)
    assert roster.hosts["nas"].committed_at is None


def test_who_waits_is_told_by_itself_or_else_by_the_configuration() -> None:
    places = {"nas": Place(wait_for=("web",)), "pi": Place(wait_for=("nas",), wait_timeout=9)}
    roster = Roster(["nas", "pi"], Order(hosts=places))
    assert roster.graph() == {"nas": ("web",), "pi": ("nas",)}
    arrive(roster, "nas", 100.0, wait_for=("db", "pi"))
    assert roster.graph() == {"nas": ("db", "pi"), "pi": ("nas",)}
    assert [roster.wait_timeout(name) for name in ("nas", "pi")] == [300.0, 9]
    arrive(roster, "pi", 100.0)
    assert roster.graph() == {"nas": ("db", "pi")}
    arrive(roster, "guest", 100.0, wait_for=("nas",))
    assert roster.graph() == {"nas": ("db", "pi"), "guest": ("nas",)}
    roster.expect(["nas"], Order(hosts={"db": Place(wait_for=("nas",))}))
    assert roster.graph() == {"nas": ("db", "pi"), "guest": ("nas",), "db": ("nas",)}
    told = HostRecord(Hello(nonce=1, wait_for=("pi",)), connected=True)
    roster.recall({"late": told}, 200.0, same_boot=True)
    assert roster.graph()["late"] == ("pi",)


def test_a_host_waits_for_those_that_are_not_known_to_be_down(roster: Roster) -> None:
    arrive(roster, "nas", 100.0, wait_for=("db", "nobody"), dry_run=False)
    arrive(roster, "db", 100.0, dry_run=False)
    roster.said("db", COMMITTED, 110.0)
    roster.left("db", 120.0)
    assert roster.still_up("nas") == ("db", "nobody")
    silent(roster, "db", 120, 126)
    assert roster.still_up("nas") == ("nobody",)
    assert roster.down == {"db": "committed, hung up, no answer to ping for 5 s"}
    assert roster.rows(126.0, "s1")[0]["down"] == roster.down["db"]
    arrive(roster, "db", 130.0, boot_id="c")
    assert roster.down == {}


def test_a_shutdown_is_measured_until_the_last_sign_of_life(roster: Roster) -> None:
    for start in (1000, 2000, 3000, 4000):
        arrive(roster, "db", start, dry_run=False, boot_id=f"b{start}")
        roster.said("db", COMMITTED, start + 10.0)
        roster.left("db", start + 20.0)
        roster.asked("db", Asked(Answer.ANSWERED, "ping", start + 40, start + 40 + start / 1000, 0))
        silent(roster, "db", start + 41, start + 60)
    assert roster.hosts["db"].took == (32.0, 33.0, 34.0)
    assert roster.hosts["db"].takes == 34.0
    arrive(roster, "db", 5000.0, boot_id="c", shutdown_takes=50.0)
    assert roster.hosts["db"].takes == 50.0
    arrive(roster, "db", 5001.0, boot_id="c", shutdown_takes=1e12)
    assert roster.hosts["db"].takes == 34.0


def test_a_new_address_may_answer_otherwise(roster: Roster) -> None:
    arrive(roster, "db", 100.0)
    roster.asked("db", Asked(Answer.ANSWERED, "ping", 101.0, 101.0, 22))
    assert roster.hosts["db"].way == 22
    arrive(roster, "db", 102.0)
    assert roster.hosts["db"].way == 22
    roster.arrived(Peer("db", "f" * 64, expired=False), "192.0.2.10", HELLO, 103.0)
    assert roster.hosts["db"].way is None


def test_a_restarted_server_knows_who_has_committed_and_who_is_down(roster: Roster) -> None:
    arrive(roster, "nas", 100.0, wait_for=("db", "guest"), dry_run=False)
    for name in ("db", "guest"):
        arrive(roster, name, 100.0, dry_run=False, macs=("02:00:00:00:00:01",))
        roster.said(name, COMMITTED, 110.0)
        roster.left(name, 120.0)
    silent(roster, "db", 120, 126)
    after = restarted(roster, 130.0)
    assert list(after.hosts) == ["db", "guest", "nas"]
    assert after.down == roster.down
    assert after.still_up("nas") == ("guest",)
    guest = after.hosts["guest"]
    assert (guest.committed_at, guest.outage, guest.since) == (110.0, "o1", 120.0)
    assert (guest.macs, guest.boot_id, guest.address) == (
        ("02:00:00:00:00:01",),
        "b",
        "192.0.2.9",
    )
    silent(after, "guest", 131, 137)
    assert after.still_up("nas") == ()
    assert guest.took == ()


def test_what_was_down_may_have_come_back_meanwhile(roster: Roster) -> None:
    arrive(roster, "db", 100.0, dry_run=False)
    roster.said("db", COMMITTED, 110.0)
    roster.left("db", 120.0)
    silent(roster, "db", 120, 126)
    after = restarted(roster, 130.0)
    after.asked("db", Asked(Answer.ANSWERED, "ping", 131.0, 131.1, 0))
    assert after.down == {}


def test_after_a_boot_of_the_server_who_is_down_must_be_seen_anew(roster: Roster) -> None:
    """Its clock has begun anew, and nobody knows for how long it was off."""
    arrive(roster, "db", 100_000.0, dry_run=False)
    roster.said("db", COMMITTED, 100_010.0)
    roster.left("db", 100_020.0)
    silent(roster, "db", 100_020, 100_026)
    after = restarted(roster, 30.0, same_boot=False)
    assert after.down == {}
    assert (after.hosts["db"].committed_at, after.hosts["db"].outage) == (30.0, "o1")
    silent(after, "db", 31, 37)
    assert list(after.down) == ["db"]


def test_who_was_neither_expected_nor_there_is_forgotten_by_a_restart(roster: Roster) -> None:
    for name in ("guest", "gone"):
        arrive(roster, name, 100.0)
    roster.left("gone", 110.0)
    assert list(restarted(roster, 130.0).hosts) == ["db", "guest", "nas"]


def test_a_reload_forgets_nobody_who_went_down(roster: Roster) -> None:
    arrive(roster, "guest", 100.0)
    roster.said("guest", COMMITTED, 110.0)
    roster.left("guest", 120.0)
    roster.expect(["nas"])
    assert "guest" in roster.hosts


def test_a_host_that_is_down_stays_so_while_it_cannot_be_asked(roster: Roster) -> None:
    """Our own cable is out; whoever went on because of it can't be called back anyway."""
    arrive(roster, "db", 100.0, dry_run=False)
    roster.said("db", COMMITTED, 110.0)
    roster.left("db", 120.0)
    silent(roster, "db", 120, 126)
    roster.asked("db", Asked(Answer.UNSURE, "the link of eth0 is down", 126.0, 127.0, 0))
    assert list(roster.down) == ["db"]
    roster.asked("db", Asked(Answer.ANSWERED, "ping", 128.0, 128.0, 0))
    assert roster.down == {}


def test_a_rehearsed_commit_that_is_over_is_still_told_of(roster: Roster) -> None:
    """Whoever gave the order asks only now and then."""
    arrive(roster, "nas", 100.0)
    roster.said("nas", COMMITTED, 110.0)
    roster.said("nas", Status("idle"), 110.1)
    assert roster.hosts["nas"].committed_at is None
    assert roster.rows(111.0, "s1")[1]["committed"] == 1.0
