"""What the mains did to the fleet, as recorded while it happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from testinfra.host import Host

CONFIRM = 2.0
# From the commit to a container that is off: the request, the root unit, the host's own commands,
# and systemd's way down, on a machine that carries all of them at once.
WAY_DOWN = {"nas": 10.0, "database": 10.0, "hypervisor": 16.0}
DRY_RUN = "desktop"
SERVER = "pi"


def test_the_blip_was_shorter_than_confirm_and_long_enough_to_be_seen(
    record: dict[str, Any],
) -> None:
    assert 0.5 < record["blip"]["lasted"] < CONFIRM


def test_during_a_blip_nobody_counts(record: dict[str, Any]) -> None:
    assert record["blip"]["phases"] == ["idle"]


def test_a_short_outage_starts_every_countdown_with_the_time_of_its_host(
    record: dict[str, Any],
) -> None:
    short = record["short"]
    told_within = short["counting"] - short["lost"]
    after = {"database": 20.0, "desktop": 20.0, "hypervisor": 20.0, "nas": 12.0}
    assert {
        name: after[name] - told_within - 2.0 < left <= after[name]
        for name, left in short["left"].items()
    } == dict.fromkeys(after, True)


def test_when_the_mains_return_in_time_nobody_powers_off(record: dict[str, Any]) -> None:
    short = record["short"]
    assert short["cancelled"] - short["lost"] < min(short["left"].values())
    assert set(short["states"].values()) == {"running"}


def test_users_at_a_terminal_are_told(record: dict[str, Any]) -> None:
    screen = " ".join(record["short"]["screen"].split())
    assert "The mains have failed. This host shuts down in" in screen
    assert "The mains are back. This host stays up." in screen


def test_every_host_powers_off_when_it_is_due_and_not_before(record: dict[str, Any]) -> None:
    due, off = record["real"]["due"], record["real"]["off"]
    in_time = {
        name: due[name][0] <= off[name] <= due[name][1] + way for name, way in WAY_DOWN.items()
    }
    assert in_time == dict.fromkeys(WAY_DOWN, True), (due, off)


def test_they_did_so_without_a_server(record: dict[str, Any]) -> None:
    real = record["real"]
    assert real["server_killed"] < min(real["off"].values())


def test_a_client_restarted_in_mid_countdown_keeps_its_deadline(record: dict[str, Any]) -> None:
    real = record["real"]
    assert real["client_restarted"] < real["due"]["database"][0]
    assert real["off"]["database"] <= real["due"]["database"][1] + WAY_DOWN["database"]


def test_the_dry_run_and_the_server_stay_up(record: dict[str, Any]) -> None:
    real = record["real"]
    assert set(real["off"]) == set(WAY_DOWN)
    assert (real["states"][DRY_RUN], real["states"][SERVER]) == ("running", "running")


def test_hosts_that_are_switched_on_again_stay_on(record: dict[str, Any]) -> None:
    assert record["recovery"]["power"] == ["on_mains"]
    assert set(record["recovery"]["states"].values()) == {"running"}


def test_the_hosts_ran_their_own_commands_before_they_went(hosts: dict[str, Host]) -> None:
    traces = {
        name: set(host.check_output("ls /srv").split())
        for name, host in hosts.items()
        if name != SERVER
    }
    assert traces == {
        "nas": {"exports-withdrawn", "pool-state"},
        "hypervisor": {"guests-saved", "reached-after-failures"},
        "database": set(),
        "desktop": set(),
    }


def test_commands_reach_the_host_as_they_were_written(hosts: dict[str, Host]) -> None:
    assert hosts["nas"].file("/srv/pool-state").content_string == "100 % of the pool is exported\n"


def journal(host: Host, outage: str) -> str:
    return host.check_output("journalctl --output=cat --no-pager POWMONMAN_OUTAGE=%s", outage)


def test_the_journal_tells_the_story_of_the_outage_by_its_id(
    hosts: dict[str, Host], record: dict[str, Any]
) -> None:
    outage = record["real"]["outage"]
    for name in WAY_DOWN:
        story = journal(hosts[name], outage)
        assert "on battery" in story, name
        assert "shutting down now" in story, name


def test_the_log_of_a_dry_run_says_what_it_would_have_run(
    hosts: dict[str, Host], record: dict[str, Any]
) -> None:
    assert "dry run: would shut down now" in journal(hosts[DRY_RUN], record["real"]["outage"])
    log = hosts[DRY_RUN].check_output("journalctl --output=cat --no-pager -u powmonman-client")
    assert "would run touch /srv/never-in-a-dry-run" in log
    assert "would run systemctl poweroff" in log


def test_a_hanging_command_is_killed_at_its_timeout(hosts: dict[str, Host]) -> None:
    log = hosts["hypervisor"].check_output(
        "journalctl --output=cat --no-pager -u powmonman-shutdown"
    )
    assert "sleep 600: killed after 2 s" in log


def test_each_boot_has_a_boot_id_of_its_own(record: dict[str, Any]) -> None:
    recovery = record["recovery"]
    if not recovery["own_boot_ids"]:
        pytest.skip("this podman can't give a container a boot id of its own")
    before, after = recovery["boot_ids_before"], recovery["boot_ids_after"]
    changed = {name for name in before if before[name] != after[name]}
    assert changed == set(WAY_DOWN)


def test_a_restarted_client_goes_on_with_its_plan(hosts: dict[str, Host]) -> None:
    log = hosts["database"].check_output("journalctl --output=cat --no-pager -u powmonman-client")
    assert "resumed: counting" in log
