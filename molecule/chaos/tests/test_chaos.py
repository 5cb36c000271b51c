"""What was seen when service managers, links and disks failed in mid-outage."""

from __future__ import annotations

from typing import Any

AFTER = 8.0
# A lease of silence, the way down, and a slow machine.
SLACK = 25.0


def test_a_watchdog_starts_what_stands_still_and_nobody_goes_down(record: dict[str, Any]) -> None:
    act = record["stand_still"]
    assert act["restarts"].keys() == {"pi", "nas", "web"}
    assert set(act["states"].values()) == {"running"}


def test_mains_two_seconds_before_the_deadline_keep_everybody_up(record: dict[str, Any]) -> None:
    act = record["just_in_time"]
    assert set(act["states"].values()) == {"running"}
    for told in act["told"].values():
        assert "shutdown cancelled" in told
        assert "shutting down now" not in told


def test_a_killed_client_and_a_dead_link_keep_nobody_up(record: dict[str, Any]) -> None:
    off = record["cut_off"]["off"]
    assert off.keys() == {"nas", "web"}
    assert all(AFTER <= at <= AFTER + SLACK for at in off.values())


def test_a_read_only_disk_keeps_nobody_up_and_is_told(record: dict[str, Any]) -> None:
    """The mains were back a second after the commit: who had committed went, and was woken."""
    act = record["read_only"]
    assert any("Read-only" in fault for fault in act["faults"])
    assert act["off"].keys() == {"nas", "web"}
