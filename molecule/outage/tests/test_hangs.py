"""A host that never goes down: who waits for it goes all the same, and it is not called back."""

from __future__ import annotations

from typing import Any

import pytest

HANGS = "web2"
WAITS = "hypervisor"
LAST = "nas"
GOING = ("web1", HANGS, WAITS, LAST)
WAIT_TIMEOUT = 16.0
# On a machine that carries all of them at once.
LATE = 5.0


@pytest.fixture
def outage(record: dict[str, Any]) -> dict[str, Any]:
    return record["hangs"]


def test_the_host_that_hangs_has_gone_as_far_as_it_could(outage: dict[str, Any]) -> None:
    assert len(outage["went"][HANGS]) == 1
    assert outage["before_the_reset"][HANGS] == "running"
    assert HANGS not in outage["off"]


def test_whoever_waits_for_it_goes_when_its_wait_is_over(outage: dict[str, Any]) -> None:
    first, last = (moment + WAIT_TIMEOUT for moment in outage["due"][WAITS])
    assert first <= outage["committed"][WAITS][0] <= last + LATE


def test_whoever_waits_for_that_one_still_goes_after_it(outage: dict[str, Any]) -> None:
    assert outage["finished"][WAITS] < outage["committed"][LAST][0]


@pytest.mark.parametrize("host", GOING)
def test_no_host_runs_its_commands_more_than_once_in_an_outage(
    record: dict[str, Any], host: str
) -> None:
    """However long it hangs, and however often the server is killed."""
    ran = [len(record[act]["went"][host]) for act in ("kills", "undisturbed", "hangs")]
    assert ran == [1, 1, 1]


def test_a_host_that_had_committed_when_the_mains_came_back_is_brought_back(
    outage: dict[str, Any],
) -> None:
    assert outage["committed"][LAST][0] < outage["returned"]
    assert [start["host"] for start in outage["starts"]].count(LAST) == 1


def test_a_host_that_hangs_is_not_back_by_being_there(outage: dict[str, Any]) -> None:
    """It is connected all the while, with the boot id that it had."""
    assert outage["came"]["web1"] < outage["reset"]
    began = outage["committed"][HANGS][0]
    told = [(at, recovery) for at, _, _, recovery in outage["story"][HANGS] if at > began]
    assert min(at for at, recovery in told if recovery == "back") > outage["reset"]


def test_in_the_end_everybody_is_back(outage: dict[str, Any]) -> None:
    assert [start["host"] for start in outage["starts"]] == [LAST, WAITS, "web1"]
    assert {outage["states"][host] for host in GOING} == {"running"}


def test_each_host_came_back_with_a_boot_id_of_its_own(outage: dict[str, Any]) -> None:
    own = [start["own_boot_id"] for start in outage["starts"]]
    if not all([*own, outage["reset_own_boot_id"]]):
        pytest.skip("this podman can't give a container a boot id of its own")
    before, after = outage["boot_ids_before"], outage["boot_ids_after"]
    assert {host for host in before if before[host] != after[host]} == set(GOING)
