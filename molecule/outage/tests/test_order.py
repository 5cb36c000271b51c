"""Down in the order of who needs whom, and up in reverse; whether the server is killed or not."""

from __future__ import annotations

from typing import Any

import pytest

WEB = ("web1", "web2")
GOING = (*WEB, "hypervisor", "nas")
WAITS = {"hypervisor": WEB, "nas": ("hypervisor",)}
PAIRS = [(waits, awaited) for waits, whom in WAITS.items() for awaited in whom]
SPARE = "spare"
WAIT_TIMEOUT = {"hypervisor": 16.0, "nas": 60.0}
WAKE_AFTER = 3.0
RESTORE_CONFIRM = 2.0
REPEAT = 3.0
# On a machine that carries all of them at once.
LATE = 5.0


@pytest.fixture(params=["kills", "undisturbed"])
def outage(request: pytest.FixtureRequest, record: dict[str, Any]) -> dict[str, Any]:
    return record[request.param]


def packets(outage: dict[str, Any], host: str) -> list[dict[str, Any]]:
    return [packet for packet in outage["packets"] if packet["host"] == host]


def start(outage: dict[str, Any], host: str) -> dict[str, Any]:
    (found,) = [start for start in outage["starts"] if start["host"] == host]
    return found


@pytest.mark.parametrize("host", WEB)
def test_who_waits_for_nobody_goes_at_its_deadline(outage: dict[str, Any], host: str) -> None:
    first, last = outage["due"][host]
    assert first <= outage["committed"][host][0] <= last + LATE


@pytest.mark.parametrize(("waits", "awaited"), PAIRS)
def test_a_host_begins_to_go_when_those_that_it_waits_for_are_off(
    outage: dict[str, Any], waits: str, awaited: str
) -> None:
    """By podman's record of the one, and by the other's own of its decision and its commands."""
    assert outage["finished"][awaited] < outage["committed"][waits][0] < outage["went"][waits][0]


@pytest.mark.parametrize("host", WAITS)
def test_it_is_their_end_that_lets_it_go_and_no_timeout(outage: dict[str, Any], host: str) -> None:
    assert outage["committed"][host][0] < outage["due"][host][0] + WAIT_TIMEOUT[host]


@pytest.mark.parametrize("host", WAITS)
def test_the_server_shows_that_it_waits(outage: dict[str, Any], host: str) -> None:
    phases = list(dict.fromkeys(phase for _, _, phase, _ in outage["story"][host]))
    assert phases[phases.index("counting") :][:2] == ["counting", "waiting"]


def test_everybody_is_switched_on_once_and_by_nothing_but_its_magic_packet(
    outage: dict[str, Any],
) -> None:
    assert outage["faults"] == []
    assert sorted(start["host"] for start in outage["starts"]) == sorted(GOING)
    assert {outage["states"][host] for host in GOING} == {"running"}


def test_nobody_is_woken_before_the_mains_are_known_to_be_good(outage: dict[str, Any]) -> None:
    first = min(packet["at"] for packet in outage["packets"])
    assert first >= outage["returned"] + RESTORE_CONFIRM + WAKE_AFTER - 1.0


@pytest.mark.parametrize(("waited", "woken"), PAIRS)
def test_a_host_is_woken_when_the_one_that_waited_for_it_runs_again(
    outage: dict[str, Any], waited: str, woken: str
) -> None:
    assert start(outage, waited)["running"] < packets(outage, woken)[0]["at"]


@pytest.mark.parametrize("host", GOING)
def test_a_host_counts_as_back_when_it_has_booted_and_not_before(
    outage: dict[str, Any], host: str
) -> None:
    """Between its commit and its boot the server never says so, though it may be connected."""
    began = outage["committed"][host][0]
    backs = [at for at, _, _, recovery in outage["story"][host] if recovery == "back"]
    assert min(at for at in backs if at > began) > start(outage, host)["running"]


def test_a_lost_packet_is_sent_again(record: dict[str, Any]) -> None:
    outage = record["kills"]
    heard = packets(outage, "web1")
    lost = [packet["at"] for packet in heard if packet["lost"]]
    arrived = [packet["at"] for packet in heard if not packet["lost"]]
    assert lost
    assert arrived[0] - lost[0] > REPEAT - 0.5
    assert start(outage, "web1")["at"] == arrived[0]


def test_a_host_that_was_off_beforehand_gets_no_packet_and_stays_off(
    record: dict[str, Any],
) -> None:
    for outage in (record["kills"], record["undisturbed"], record["hangs"]):
        assert {packet["host"] for packet in outage["packets"]} <= set(GOING)
        assert outage["states"][SPARE] == "exited"


def test_the_server_was_killed_while_a_host_waited_and_in_the_midst_of_the_recovery(
    record: dict[str, Any],
) -> None:
    """What it knew of those that had gone was on its disk, and so was whom to wake."""
    outage = record["kills"]
    first, second = outage["killed"]
    assert max(outage["committed"][host][0] for host in WEB) < first
    assert first < outage["committed"]["hypervisor"][0]
    assert start(outage, "nas")["running"] < second
    assert second < min(start(outage, host)["running"] for host in WEB)


def test_each_host_came_back_with_a_boot_id_of_its_own(outage: dict[str, Any]) -> None:
    if not all(start["own_boot_id"] for start in outage["starts"]):
        pytest.skip("this podman can't give a container a boot id of its own")
    before, after = outage["boot_ids_before"], outage["boot_ids_after"]
    assert {host for host in before if before[host] != after[host]} == set(GOING)
