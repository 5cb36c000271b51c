"""The second outage of the record: a host never goes down, and the server is killed twice."""

from __future__ import annotations

from typing import Any

import pytest

WEB = ("web1", "web2")
HANGS = "hypervisor"
NAS = "nas"
GOING = (*WEB, HANGS, NAS)
WAIT_TIMEOUT = {HANGS: 12.0, NAS: 16.0}
LATE = 2.0


@pytest.fixture
def outage(record: dict[str, Any]) -> dict[str, Any]:
    return record["broken"]


def first_packet(outage: dict[str, Any], host: str) -> float:
    return min(packet["at"] for packet in outage["packets"] if packet["host"] == host)


def test_a_server_killed_while_a_host_waits_still_tells_it_when_its_wait_is_over(
    outage: dict[str, Any],
) -> None:
    """What it knew of those that had gone was on its disk."""
    committed = outage["committed"][HANGS][1]
    assert outage["killed"][0] < committed
    assert max(outage["finished"][host] for host in WEB) < committed
    assert committed < outage["due"][HANGS][0] + WAIT_TIMEOUT[HANGS]


def test_whoever_waits_for_a_host_that_never_goes_down_goes_when_its_wait_is_over(
    outage: dict[str, Any],
) -> None:
    assert outage["before_the_reset"][HANGS] == "running"
    assert HANGS not in outage["off"]
    first, last = (moment + WAIT_TIMEOUT[NAS] for moment in outage["due"][NAS])
    assert first <= outage["committed"][NAS][1] <= last + LATE


@pytest.mark.parametrize("host", GOING)
def test_no_host_runs_its_commands_more_than_once_in_an_outage(
    outage: dict[str, Any], host: str
) -> None:
    assert len(outage["went"][host]) == 2


def test_a_host_that_had_committed_when_the_mains_came_back_is_brought_back(
    outage: dict[str, Any],
) -> None:
    assert outage["committed"][NAS][1] < outage["returned"]
    assert [start["host"] for start in outage["starts"]].count(NAS) == 1


def test_a_host_that_hangs_is_not_back_by_being_there(outage: dict[str, Any]) -> None:
    """It is connected, with the boot id that it had: those that it waited for are not woken."""
    assert {outage["before_the_reset"][host] for host in WEB} == {"exited"}
    for host in WEB:
        assert outage["reset"] - 1.0 < first_packet(outage, host)


def test_a_server_killed_during_the_recovery_goes_on_with_it(outage: dict[str, Any]) -> None:
    assert outage["nas_back"] <= outage["killed"][1] < outage["reset"]
    started = [start["host"] for start in outage["starts"]]
    assert (started[0], sorted(started[1:])) == (NAS, sorted(WEB))
    assert {outage["states"][host] for host in GOING} == {"running"}


def test_each_host_came_back_with_a_boot_id_of_its_own(outage: dict[str, Any]) -> None:
    own = [start["own_boot_id"] for start in outage["starts"]]
    if not all([*own, outage["reset_own_boot_id"]]):
        pytest.skip("this podman can't give a container a boot id of its own")
    before, after = outage["boot_ids_before"], outage["boot_ids_after"]
    assert {host for host in before if before[host] != after[host]} == set(GOING)
