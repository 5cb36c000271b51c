"""What the roll-out leaves on hosts with real sources, and only on those."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from testinfra.host import Host

SERVERS = ("pi", "laptop")
PASSWORD = "s3cret/of&the lab"  # noqa: S105 - of the lab's own mail server


@pytest.mark.parametrize("name", SERVERS)
def test_targets_are_for_root_to_write_and_for_the_server_to_read(
    hosts: dict[str, Host], name: str
) -> None:
    found = hosts[name].check_output("stat -c '%U:%G %a' /etc/powmonman/notify.yml")
    assert found == "root:powmonman 640"


@pytest.mark.parametrize("name", ["nas", "database", "hypervisor"])
def test_a_host_that_senses_nothing_gets_nothing_for_it(hosts: dict[str, Host], name: str) -> None:
    host = hosts[name]
    assert not host.file("/etc/powmonman/notify.yml").exists
    assert not host.file("/etc/powmonman/server.yml").exists
    assert not host.package("apprise").is_installed
    assert not host.package("nut-server").is_installed


@pytest.mark.parametrize("name", SERVERS)
def test_the_password_of_a_target_stands_in_no_log_and_no_command_line(
    hosts: dict[str, Host], name: str
) -> None:
    host = hosts[name]
    log = host.check_output("journalctl --output=cat --no-pager")
    assert "powmonman" in log
    for form in (PASSWORD, "s3cret"):
        assert form not in log
        assert form not in host.check_output("cat /proc/[0-9]*/cmdline | tr '\\\\0' ' '")


def test_the_laptop_is_a_fleet_of_its_own(hosts: dict[str, Host]) -> None:
    status = json.loads(hosts["laptop"].check_output("powmonman status --json"))
    assert [row["name"] for row in status["clients"]] == ["laptop"]


def test_the_laptop_listens_to_nobody_but_itself(hosts: dict[str, Host]) -> None:
    listening = hosts["laptop"].check_output("ss -Hltnu 'sport = 7444'").splitlines()
    assert {line.split()[4] for line in listening} == {"127.0.0.1:7444"}


def test_the_laptop_knows_another_ca_than_the_fleet(hosts: dict[str, Host]) -> None:
    ends = {
        name: hosts[name].check_output("tail -n 3 /etc/powmonman/identity.pem")
        for name in ("laptop", "nas", "database")
    }
    assert ends["nas"] == ends["database"] != ends["laptop"]


@pytest.mark.parametrize("name", ["pi", "laptop", "nas", "database", "hypervisor"])
def test_nothing_has_failed(hosts: dict[str, Host], name: str) -> None:
    assert hosts[name].check_output("systemctl --failed --no-legend --plain") == ""


@pytest.mark.parametrize(
    ("name", "config"), [("pi", "server.yml"), ("laptop", "server.yml"), ("laptop", "client.yml")]
)
def test_the_roll_out_would_call_this_host_protected(
    hosts: dict[str, Host], name: str, config: str
) -> None:
    answer = json.loads(
        hosts[name].check_output("powmonman verify --config /etc/powmonman/%s --wait 10", config)
    )
    assert (answer["ok"], answer["faults"]) == (True, [])
