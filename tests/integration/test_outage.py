"""The plug is pulled: what every host of a fleet does, from the loss to the end.

One outage, six unlike hosts. The fleet's time is 3 s; some hosts have their own.

| time  | what happens                                                     |
|-------|------------------------------------------------------------------|
| 0 s   | the mains fail                                                   |
| 1.5 s | hv goes: a command of its own fails, and says stop               |
| 2 s   | desk, in dry run, says what it would do                          |
| 3 s   | nas goes, by the fleet's time                                    |
| 5 s   | db goes: commands that fail, hang and are missing before the end |
| 7 s   | the mains return: web stays up                                   |
| 7.5 s | the mains fail again, for desk                                   |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from .daemon import sleep_until, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from .daemon import Daemon
    from .fleet import Fleet, Ran

EARLY, LATE = 0.05, 2.5


@dataclass
class Story:
    """What happened, to be judged by the tests."""

    fleet: Fleet
    hosts: dict[str, Daemon]
    server: Daemon
    lost_at: float
    returned_at: float
    ran_before_return: list[Ran]

    def took(self, host: str) -> float:
        """Seconds from the loss to the final command of `host`."""
        return self.fleet.down(host) - self.lost_at


@pytest.fixture(scope="module")
def story(new_fleet: Callable[[], Fleet]) -> Story:
    """Play the outage of the table above."""
    fleet = new_fleet()
    command = fleet.command
    hosts = {
        "nas": fleet.client("nas", "first", "second", "third"),
        "db": fleet.client(
            "db",
            command("db", "fails", "exit 3"),
            {"command": ["/nonexistent/program"]},
            command("db", "hangs", "sleep 600 & wait", timeout=0.5),
            "survivor",
            policy__after=5,
        ),
        "hv": fleet.client(
            "hv",
            command("hv", "fails", "exit 1", on_failure="stop"),
            "skipped",
            policy__after=1.5,
        ),
        "desk": fleet.client("desk", "backup", dry_run=True, policy__after=2),
        "web": fleet.client("web", "backup", policy__after=60),
        "mail": fleet.client("mail", "backup", policy__after=60, upses=["elsewhere"]),
    }
    server = fleet.server(policy__after=3)
    fleet.up(server, *(host for name, host in hosts.items() if name != "mail"))
    hosts["mail"].start().says("power unknown")
    lost_at = fleet.mains("off")
    for host in ("hv", "nas", "db"):
        fleet.down(host)
    sleep_until(lost_at + 7)
    before = fleet.history
    returned_at = fleet.mains("on")
    hosts["web"].says("mains are back")
    hosts["desk"].says("dry run over")
    fleet.mains("off")
    wait_for("a second dry run", lambda: len(hosts["desk"].said("dry run: would shut down")) == 2)
    return Story(fleet, hosts, server, lost_at, returned_at, before)


@pytest.mark.parametrize(("host", "after"), [("hv", 1.5), ("nas", 3), ("db", 5)])
def test_every_host_goes_at_its_own_deadline(story: Story, host: str, after: float) -> None:
    assert after - EARLY <= story.took(host) <= after + LATE


def test_the_commands_run_in_order_and_the_final_one_last(story: Story) -> None:
    assert story.fleet.ran("nas") == ["first", "second", "third", "poweroff"]


def test_commands_that_fail_hang_or_are_missing_do_not_prevent_the_final_one(story: Story) -> None:
    assert story.fleet.ran("db") == ["fails", "hangs", "survivor", "poweroff"]


def test_each_fault_of_a_command_is_named_in_the_log(story: Story) -> None:
    log = story.hosts["db"]
    log.says("ERROR .*exit code 3 after")
    log.says("ERROR .*/nonexistent/program: No such file or directory")
    log.says(r"ERROR .*killed after 0\.5 s")


def test_on_failure_stop_skips_to_the_final_command(story: Story) -> None:
    assert story.fleet.ran("hv") == ["fails", "poweroff"]
    story.hosts["hv"].says("the remaining commands are skipped")


def test_a_host_whose_deadline_is_later_than_the_return_stays_up(story: Story) -> None:
    assert story.fleet.ran("web") == []
    story.hosts["web"].says("mains are back .* shutdown cancelled with 5[0-9] s left")


def test_a_host_on_a_ups_that_the_server_does_not_watch_stays_up_and_says_why(
    story: Story,
) -> None:
    assert story.fleet.ran("mail") == []
    story.hosts["mail"].says("WARNING power unknown · the server watches no UPS 'elsewhere'")


def test_power_that_returns_after_the_commit_changes_nothing(story: Story) -> None:
    committed = {"hv", "nas", "db"}
    assert committed == {ran.host for ran in story.fleet.history}
    assert story.ran_before_return == story.fleet.history
    for host in committed:
        assert len(story.hosts[host].said("shutting down now")) == 1
        assert story.fleet.row(story.server, host)["phase"] == "committed"


def test_a_dry_run_runs_nothing_and_says_what_it_would_run(story: Story) -> None:
    assert story.fleet.ran("desk") == []
    said = story.hosts["desk"].said("dry run: would run")
    assert "desk backup" in said[0]
    assert "desk poweroff" in said[1]


def test_a_dry_run_counts_again_in_the_next_outage(story: Story) -> None:
    desk = story.hosts["desk"]
    assert len(desk.said("on battery · outage")) == 2
    assert len(desk.said("dry run: would shut down now")) == 2


def test_the_log_tells_one_outage_by_one_id_on_every_host(story: Story) -> None:
    (line, _) = story.server.said("ups: on battery")
    outage = line.partition("outage ")[2][:4]
    for host in ("hv", "nas", "db", "desk", "web"):
        story.hosts[host].says(f"on battery · outage {outage}")
    for host in ("hv", "nas", "db"):
        story.hosts[host].says(f"shutting down now · outage {outage}")
    line = story.server.says(f"on mains · outage {outage} is over after")
    lasted = story.returned_at - story.lost_at
    assert lasted - 1 <= float(line.rpartition("after ")[2].split()[0]) <= lasted + 2.5


def test_the_server_logs_how_soon_everybody_was_told(story: Story) -> None:
    story.server.says(r"told 6 clients, the last one after \d+\.\d ms")
