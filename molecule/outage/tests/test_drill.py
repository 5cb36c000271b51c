"""What the drill said beforehand, and how far from it the outage was that followed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from testinfra.host import Host

GOING = ("web1", "web2", "hypervisor", "nas")
WAITED = {"web1": [], "web2": [], "hypervisor": ["web1", "web2"], "nas": ["hypervisor"]}
# A host is down when it has been silent for `settle`, and on a machine that carries all of them one
# shutdown takes a second or two longer than another; so does each in the chain before it.
ERROR = {"web1": 3.0, "web2": 3.0, "hypervisor": 4.5, "nas": 6.0}


@pytest.fixture
def drilled(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in record["drill"]["found"]["hosts"]}


def test_the_playbook_says_that_every_host_is_protected(record: dict[str, Any]) -> None:
    assert record["drill"]["rc"] == 0, record["drill"]["told"]
    assert record["drill"]["found"]["unprotected"] == []


@pytest.mark.parametrize("host", GOING)
def test_each_host_takes_part_up_to_its_commands_and_hears_a_magic_packet(
    drilled: dict[str, dict[str, Any]], host: str
) -> None:
    row = drilled[host]
    assert (row["checked"], row["faults"], row["waited"]) == (True, [], WAITED[host])
    assert row["wake"]["heard"]


def test_the_drill_switched_nothing_off(record: dict[str, Any]) -> None:
    """Nobody ran its commands, and who is there after it is the host that was there before it."""
    assert list(record["drill"]["went"].values()) == [[]] * len(GOING)
    before, after = record["kills"]["boot_ids_after"], record["undisturbed"]["boot_ids_before"]
    assert before == after


@pytest.mark.parametrize("host", GOING)
def test_the_real_commit_came_when_the_drill_had_said(record: dict[str, Any], host: str) -> None:
    assert abs(record["measured"][host]["error"]) <= ERROR[host], record["measured"]


def test_the_real_order_is_the_one_that_was_drilled(record: dict[str, Any]) -> None:
    measured = record["measured"]
    for time in ("drilled", "real"):
        web = max(measured[host][time] for host in ("web1", "web2"))
        assert web < measured["hypervisor"][time] < measured["nas"][time]


def test_a_drill_leaves_a_record_of_its_own(hosts: dict[str, Host]) -> None:
    assert "drill" in hosts["pi"].check_output("powmonman history")
