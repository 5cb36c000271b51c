"""The record that each outage leaves on the server tells what happened, in its order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from testinfra.host import Host

ACTS = ("kills", "undisturbed", "hangs")
GOING = ("web1", "web2", "hypervisor", "nas")
SPARE = "spare"


@pytest.fixture(scope="session")
def listed(hosts: dict[str, Host]) -> list[dict[str, Any]]:
    return json.loads(hosts["pi"].check_output("powmonman history --json"))


def shown(hosts: dict[str, Host], outage: dict[str, Any]) -> dict[str, Any]:
    told = hosts["pi"].check_output("powmonman history show --json %s", outage["outage"])
    return json.loads(told)


def place(told: dict[str, Any], kind: str, host: str) -> int:
    """Return where in the story this is told of a host first; -1: nowhere."""
    found = [(moment["kind"], moment["host"]) for moment in told["timeline"]]
    return found.index((kind, host)) if (kind, host) in found else -1


def test_each_outage_and_the_drill_left_one_record(
    listed: list[dict[str, Any]], record: dict[str, Any]
) -> None:
    """The newest first."""
    assert [one["drill"] for one in listed] == [False, False, True, False]
    outages = [one["id"] for one in listed if not one["drill"]]
    assert outages == [record[act]["outage"] for act in reversed(ACTS)]


@pytest.mark.parametrize("act", ACTS)
def test_a_record_names_who_went_and_who_came_back(
    hosts: dict[str, Host], record: dict[str, Any], act: str
) -> None:
    told = shown(hosts, record[act])
    assert (sorted(told["went"]), sorted(told["back"])) == (sorted(GOING), sorted(GOING))
    assert told["given_up"] == []


@pytest.mark.parametrize("act", ["kills", "undisturbed"])
@pytest.mark.parametrize(
    "steps",
    [
        [
            *(("counting", "web1"), ("committed", "web1"), ("down", "web1")),
            *(("committed", "hypervisor"), ("down", "hypervisor")),
            *(("committed", "nas"), ("mains_back", "")),
            *(("woken", "nas"), ("back", "nas"), ("woken", "hypervisor"), ("back", "hypervisor")),
            *(("woken", "web1"), ("back", "web1")),
        ],
        [("waiting", "hypervisor"), ("down", "web2"), ("committed", "hypervisor")],
        [("waiting", "nas"), ("down", "hypervisor"), ("committed", "nas"), ("halting", "nas")],
    ],
    ids=["down and up", "hypervisor", "nas"],
)
def test_the_story_tells_it_in_the_order_in_which_it_happened(
    hosts: dict[str, Host], record: dict[str, Any], act: str, steps: list[tuple[str, str]]
) -> None:
    told = shown(hosts, record[act])
    places = [place(told, *step) for step in steps]
    assert -1 not in places, list(zip(steps, places, strict=True))
    assert places == sorted(places), list(zip(steps, places, strict=True))


def test_of_the_host_that_hung_nobody_says_that_it_was_down(
    hosts: dict[str, Host], record: dict[str, Any]
) -> None:
    told = shown(hosts, record["hangs"])
    assert -1 < place(told, "committed", "web2") < place(told, "mains_back", "")
    down = place(told, "down", "web2")
    assert down == -1 or down > place(told, "mains_back", "")


def test_people_can_read_it(hosts: dict[str, Host], record: dict[str, Any]) -> None:
    outage = record["undisturbed"]["outage"]
    said = hosts["pi"].check_output("powmonman history show %s", outage[:6])
    print(said)
    for words in ("mains lost", "hypervisor waits", "nas down", "mains back", "web1 back"):
        assert words in said
    assert SPARE not in said
