"""A client dies and comes back in the middle of an outage: one deadline, one run.

One outage for all, the fleet's time is 10 s: a countdown that began anew would be seen.

| host | what happens to its client                                       |
|------|------------------------------------------------------------------|
| db   | goes after 1.5 s; killed then, back at once                      |
| nas  | killed 4 s after the loss, back at once                          |
| mail | killed 4 s after the loss, back 1 s after its deadline           |
| hv   | has 40 s; killed when all is ready for the request, not yet made |
| desk | started 9 s after the loss, and must see 4 s of battery itself   |
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from powmonman.service.clock import boottime

from .daemon import sleep_until, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from .daemon import Daemon
    from .fleet import Fleet

AFTER, KILLED = 10.0, 4.0
HV_AFTER = 40.0
# A process that starts, and finds its server, may take this long on a slow machine.
STARTING = 6.0


@dataclass
class Story:
    """The outage of the table above, when it is over."""

    fleet: Fleet
    hosts: dict[str, Daemon]
    lost_at: float
    started_late_at: float


@pytest.fixture(scope="module")
def story(new_fleet: Callable[[], Fleet]) -> Story:
    fleet = new_fleet()
    hosts = {name: fleet.client(name, "backup") for name in ("nas", "mail")}
    hosts["hv"] = fleet.client("hv", "backup", policy__after=HV_AFTER)
    hosts["db"] = fleet.client("db", "backup", policy__after=1.5)
    hosts["desk"] = fleet.client("desk", "backup", policy__min_observe=4)
    server = fleet.server(policy__after=AFTER)
    fleet.up(server, *(host for name, host in hosts.items() if name != "desk"))
    lost_at = fleet.mains("off")
    for name in ("nas", "mail", "hv"):
        hosts[name].says("on battery · outage")
        wait_for("its plan is kept", lambda n=name: kept(hosts[n])["plan"]["phase"] == "counting")
    fleet.down("db")
    hosts["db"].kill()
    hosts["db"].start().says("server found")
    sleep_until(lost_at + KILLED)
    for name in ("nas", "mail", "hv"):
        hosts[name].kill()
    lay_ready(hosts["hv"])
    for name in ("nas", "hv"):
        hosts[name].start()
    sleep_until(lost_at + AFTER - 1)
    started_late_at = boottime()
    hosts["desk"].start()
    sleep_until(lost_at + AFTER + 1)
    hosts["mail"].start()
    for name in hosts:
        fleet.down(name)
    return Story(fleet, hosts, lost_at, started_late_at)


def kept(client: Daemon) -> dict[str, Any]:
    return dict(json.loads((client.runtime / "plan.json").read_text("utf-8")))


def lay_ready(client: Daemon) -> None:
    """Leave what a client leaves that dies between deciding and asking."""
    plan = kept(client)
    plan["plan"]["phase"] = "committed"
    (client.runtime / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    (client.runtime / "shutdown.prepared").write_text("outage\n", encoding="utf-8")


@pytest.mark.parametrize("host", ["nas", "mail", "db", "hv", "desk"])
def test_the_commands_run_once(story: Story, host: str) -> None:
    assert story.fleet.ran(host) == ["backup", "poweroff"]


def test_a_client_that_is_back_in_time_keeps_its_deadline(story: Story) -> None:
    assert AFTER - 0.05 <= story.fleet.down("nas") - story.lost_at < AFTER + KILLED
    story.hosts["nas"].says("resumed: counting")


def test_a_client_that_missed_its_deadline_goes_as_soon_as_it_may(story: Story) -> None:
    went = story.fleet.down("mail") - story.lost_at
    assert AFTER + 1 <= went <= AFTER + 1 + 1 + STARTING


def test_a_client_that_has_committed_does_not_do_so_again(story: Story) -> None:
    db = story.hosts["db"]
    db.says("resumed: committed")
    assert len(db.said("shutting down now")) == 1


def test_a_request_that_lies_ready_is_made_on_the_restart(story: Story) -> None:
    hv = story.hosts["hv"]
    hv.says("shutdown requested")
    assert hv.said("shutting down now") == []
    assert story.fleet.down("hv") - story.lost_at < HV_AFTER


def test_a_client_that_starts_in_an_outage_must_see_it_for_itself_first(story: Story) -> None:
    assert 4 <= story.fleet.down("desk") - story.started_late_at <= 4 + STARTING
