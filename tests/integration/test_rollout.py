"""The real `site.yml`, with the demo's inventory cut down to a server and a client."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from powmonman.config.loader import load
from powmonman.config.schema import ServerConfig

from .rollout import Rollout, Run, needs_ansible, play

if TYPE_CHECKING:
    from pathlib import Path

# The prefix, the process and the proof; with systemd the proof alone.
MODULES_ALLOWED = 3

pytestmark = [needs_ansible, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Story:
    """One life of a small fleet, run by run."""

    check: Run
    first: Run
    second: Run
    mended: Run
    status: Run
    rotation: Run
    removal: Run
    after_check: list[str]
    after_removal: list[str]
    before_spoiling: dict[str, tuple[int, bytes]]
    after_mending: dict[str, tuple[int, bytes]]


# What somebody has done to the files of `database`.
SPOILT = {
    "usr/local/lib/powmonman/record": lambda path: path.chmod(0o777),
    "etc/powmonman/client.yml": lambda path: path.write_text(path.read_text() + "dry_run: true\n"),
    "etc/powmonman/identity.pem": lambda path: path.chmod(0o644),
}


def held(rollout: Rollout) -> dict[str, tuple[int, bytes]]:
    """Return rights and content of what is spoilt."""
    paths = {name: rollout.stage / "database" / name for name in SPOILT}
    return {name: (path.stat().st_mode, path.read_bytes()) for name, path in paths.items()}


def spoil(rollout: Rollout) -> dict[str, tuple[int, bytes]]:
    """Spoil it, and return what it was before."""
    before = held(rollout)
    for name, change in SPOILT.items():
        change(rollout.stage / "database" / name)
    assert [name for name, was in held(rollout).items() if was == before[name]] == []
    return before


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    rollout = Rollout(tmp_path_factory.mktemp("story"))
    try:
        return Story(
            check=rollout.run("--check", powmonman_network_on_ups=False),
            after_check=[name for name in rollout.files() if not name.startswith("cache/")],
            first=rollout.run(),
            second=rollout.run("-vvv"),
            before_spoiling=spoil(rollout),
            mended=rollout.run(),
            after_mending=held(rollout),
            status=rollout.run(playbook="playbooks/status.yml"),
            rotation=rollout.run(playbook="playbooks/rotate.yml", powmonman_rotate="database"),
            removal=rollout.run(playbook="playbooks/uninstall.yml", powmonman_forget_ca=True),
            after_removal=rollout.files(),
        )
    finally:
        rollout.stop()


@pytest.fixture
def rollout(tmp_path: Path) -> Rollout:
    return Rollout(tmp_path)


def test_a_check_of_hosts_that_have_nothing_yet_passes_and_changes_nothing(story: Story) -> None:
    assert story.check.code == 0, story.check.output
    assert story.after_check == []


def test_it_warns_once_of_hosts_that_a_dark_network_cuts_off_and_names_what_can_be_done(
    story: Story,
) -> None:
    warning = "WARNING: powmonman_network_on_ups is false: the switches lose power with the mains."
    assert story.check.text.count(warning) == 1
    assert story.check.text.count("Choose one of three: put the switches on the UPS") == 1
    assert "let these hosts go by evidence of their own" in story.check.text
    assert "accept the risk knowingly, powmonman_client_on_lost_contact: {}" in story.check.text
    assert "does not shut down: database." in story.check.text


def test_it_is_quiet_where_the_network_is_on_the_ups(story: Story) -> None:
    assert "powmonman_network_on_ups" not in story.first.text


def test_a_roll_out_ends_with_a_fleet_that_works(story: Story) -> None:
    assert story.first.code == 0, story.first.output


def test_a_second_roll_out_changes_nothing(story: Story) -> None:
    assert story.second.code == 0, story.second.output
    assert [story.second.changed(host) for host in ("pi", "database")] == [0, 0]


def test_a_roll_out_that_changes_nothing_is_lean(story: Story) -> None:
    """Modules are what a roll-out costs; each one more is felt on a fleet of Pis."""
    assert 0 < story.second.modules("127.0.0.14") <= MODULES_ALLOWED


def test_what_somebody_has_changed_on_a_host_is_set_right(story: Story) -> None:
    """Contents and rights, of what came with the program, configuration and certificate."""
    assert story.mended.code == 0, story.mended.output
    assert story.mended.changed("database") >= len(SPOILT)
    assert story.after_mending == story.before_spoiling


def test_the_status_is_shown_from_the_control_node(story: Story) -> None:
    assert story.status.code == 0, story.status.output
    assert "on mains, 1 host" in story.status.text


def test_a_key_is_rotated_by_one_command_and_the_fleet_works_on(story: Story) -> None:
    assert story.rotation.code == 0, story.rotation.output


def test_uninstall_leaves_nothing_and_nothing_running(story: Story) -> None:
    assert story.removal.code == 0, story.removal.output
    assert story.after_removal == []


def test_without_an_inventory_it_says_what_to_do(tmp_path: Path) -> None:
    nothing = tmp_path / "hosts.yml"
    nothing.write_text("all: {hosts: {}}\n")
    done = play("site.yml", "-i", str(nothing))
    assert done.code != 0
    assert "cp -r inventory.example inventory" in done.output


RECORD = "{{ powmonman_prefix }}/usr/local/lib/powmonman/record"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        pytest.param(
            {"powmonman_client_shutdwn_commands": []},
            "powmonman_client_shutdwn_commands: no such variable "
            "(did you mean powmonman_client_shutdown_commands?)",
            id="a misspelt variable",
        ),
        pytest.param(
            {"powmonman_client_shutdown_final": {"command": "systemctl poweroff"}},
            "A command is a list of program and arguments",
            id="a command that is no list",
        ),
        pytest.param(
            {"powmonman_client_shutdown_final": {"command": ["/bin/sh", "-c", "true"]}},
            'Refused: ["/bin/sh", "-c", "true"]',
            id="a program outside the prefix",
        ),
        pytest.param(
            {"powmonman_client_shutdown_final": {"command": [f"{RECORD}/../../../bin/x"]}},
            "A rehearsal (powmonman_service_manager: process) runs programs below",
            id="a program that only seems to be inside",
        ),
        pytest.param(
            {"powmonman_client_shutdown_commands": [{"command": [RECORD, "systemctl", "x"]}]},
            "runs nothing that sounds like the end of a machine",
            id="an argument that could switch a machine off",
        ),
        pytest.param(
            {"powmonman_client_config": {"shutdown": {"final": {"command": ["poweroff"]}}}},
            'Refused: ["poweroff"]',
            id="a command that comes in by powmonman_client_config",
        ),
        pytest.param(
            {"powmonman_client_upses": ["rakc"]},
            "pi watches no UPS 'rakc' (did you mean rack?). It watches rack",
            id="a UPS that the server doesn't watch",
        ),
        pytest.param(
            {"powmonman_client_min_supplies": 2},
            "powmonman_client_min_supplies: is 2, but pi watches only rack",
            id="more supplies than there are",
        ),
        pytest.param(
            {"powmonman_server_notify_targets": {"mail": {"url": "json://u:hunter2@x", "evnt": 1}}},
            "powmonman_server_notify_targets: mail may have url, and events",
            id="a target with a misspelt key",
        ),
        pytest.param(
            {"powmonman_server_notify_targets": {"mail": "hunter2@example.org"}},
            "powmonman_server_notify_targets: mail must be an Apprise URL",
            id="a target that is no URL",
        ),
        pytest.param(
            {"powmonman_server_nut_drivers": {"desk": {"driver": "usbhid-ups"}}},
            "powmonman_server_nut_drivers: desk needs driver and port",
            id="a driver without a port",
        ),
        pytest.param(
            {
                "powmonman_server_upses": {"rack": {"sensor": "nut", "nut": {"ups": "dsek"}}},
                "powmonman_server_nut_drivers": {"desk": {"driver": "dummy-ups", "port": "x"}},
            },
            "NUT on this host knows no UPS 'dsek' (did you mean desk?)",
            id="a UPS that NUT doesn't drive",
        ),
        pytest.param(
            {
                "powmonman_server_upses": {
                    "rack": {"witnesses": [{"sensor": "command", "command": {"command": ["id"]}}]}
                }
            },
            'Refused as sensor: ["id"]',
            id="a sensor's program outside the prefix",
        ),
        pytest.param(
            {"powmonman_client_wait_for": ["webb", "powmonman_server"]},
            "database: powmonman_client_wait_for: no host of powmonman_client and no group is "
            "called 'webb'",
            id="a wait for nobody that there is",
        ),
        pytest.param(
            {"powmonman_client_wait_for": ["powmonman_server"]},
            "database: powmonman_client_wait_for: the group 'powmonman_server' holds no host of "
            "powmonman_client: nobody to wait for",
            id="a wait for a group without clients",
        ),
        pytest.param(
            {"powmonman_client_wait_for": "database"},
            "database: powmonman_client_wait_for: the host waits for itself",
            id="a wait for oneself",
        ),
        pytest.param(
            {"powmonman_client_wait_for": ["pi"]},
            "database: powmonman_client_wait_for: pi senses the mains and stays up",
            id="a wait for the server that stays up",
        ),
        pytest.param(
            {"powmonman_client_macs": ["02:00:5e:10:00"]},
            "database: powmonman_client_macs[0]: '02:00:5e:10:00': expected 12",
            id="a MAC address that is too short",
        ),
        pytest.param(
            {"powmonman_server_recovery": {"give_up": 0}},
            "powmonman_server_recovery.give_up: ",
            id="a host that is given up at once",
        ),
        pytest.param(
            {"powmonman_client_wake": {"method": "command", "command": ["/usr/bin/ipmitool"]}},
            'Refused as powmonman_client_wake: ["/usr/bin/ipmitool"]',
            id="a command outside the prefix that wakes",
        ),
        pytest.param(
            {"powmonman_client_on_lost_contact": {"shutdown_after": 60, "only_if": ["no_carrier"]}},
            "powmonman_client_on_lost_contact: shutdown_after is 60, but must be at least 300",
            id="lost contact that is taken for an outage too soon",
        ),
        pytest.param(
            {"powmonman_client_on_lost_contact": {"shutdown_after": 600}},
            "powmonman_client_on_lost_contact: needs both shutdown_after and only_if",
            id="lost contact without evidence",
        ),
        pytest.param(
            {"powmonman_client_outlives": ["docker.service", "docker.socket"]},
            "powmonman_client_outlives: 'docker.socket' is there before any service starts",
            id="a unit that the client can't be started before",
        ),
        pytest.param(
            {"powmonman_client_shutdown_presets": ["docker"]},
            "no such preset 'docker' (did you mean docker_containers?)",
            id="a preset that there is not",
        ),
        pytest.param(
            {"powmonman_client_shutdown_presets": ["docker_containers"]},
            'runs no presets: they touch the machine. Refused: ["docker_containers"]',
            id="a preset in a rehearsal",
        ),
        pytest.param(
            {"powmonman_prefix": "/"},
            "powmonman_prefix: must be an absolute path",
            id="a bad prefix",
        ),
        pytest.param(
            {"powmonman_service_manager": "auto"},
            "powmonman_prefix: only with powmonman_service_manager: process",
            id="a prefix with systemd",
        ),
        pytest.param(
            {"powmonman_python": "/no/such/python3"},
            "pi: no Python 3.11 or newer (no Python 3 at all)",
            id="no Python",
        ),
    ],
)
def test_it_is_refused_before_anything_is_changed(
    rollout: Rollout, variables: dict[str, Any], said: str
) -> None:
    refused = rollout.run(**variables)
    assert refused.code != 0
    assert said in refused.text
    assert "hunter2" not in refused.text
    assert not rollout.stage.exists()


def test_all_hosts_without_python_are_named_at_once(rollout: Rollout) -> None:
    refused = rollout.run(powmonman_python="/no/such/python3").text
    assert "pi: no Python 3.11" in refused
    assert "database: no Python 3.11" in refused


def test_a_fleet_has_exactly_one_server(rollout: Rollout, tmp_path: Path) -> None:
    (tmp_path / "inventory" / "more.yml").write_text("powmonman_server: {hosts: {second: {}}}\n")
    refused = rollout.run()
    assert "powmonman_server holds pi, second: a fleet has exactly one server" in refused.text
    assert not rollout.stage.exists()


CHAIN = (
    "powmonman_server: {hosts: {pi: {ansible_host: 127.0.0.11}}}\n"
    "powmonman_client: {hosts: {nas: , web: }}\n"
)


@pytest.mark.parametrize(
    ("nas", "web", "options", "said"),
    [
        pytest.param(
            {"powmonman_client_wait_for": ["web"]},
            {"powmonman_client_wait_for": ["nas"]},
            (),
            ["powmonman_client_wait_for: a circle: ", "nas -> web -> nas"],
            id="a circle",
        ),
        pytest.param(
            {"powmonman_client_wait_for": ["web"]},
            {"powmonman_client_config": {"wait_for": ["nas"]}},
            ("--limit", "web"),
            ["powmonman_client_wait_for: a circle: ", "nas -> web -> nas"],
            id="a circle in the part of a fleet that is rolled out, written another way",
        ),
        pytest.param(
            {"powmonman_client_wait_for": ["web"], "powmonman_client_wait_timeout": 5},
            {"powmonman_client_after": 200},
            (),
            ["nas: powmonman_client_wait_for: is in vain: web goes 200 s after the loss"],
            id="a wait for who goes later",
        ),
        pytest.param(
            {"powmonman_client_wait_for": ["web"], "powmonman_client_wait_timeout": 900},
            {},
            (),
            ["nas: powmonman_client_wait_timeout: is 900: ", "but rack lasts 600 s"],
            id="a wait that outlasts the battery",
        ),
    ],
)
def test_an_order_that_can_not_be_is_refused_before_anything_is_changed(
    tmp_path: Path,
    nas: dict[str, Any],
    web: dict[str, Any],
    options: tuple[str, ...],
    said: list[str],
) -> None:
    rollout = Rollout(tmp_path, CHAIN)
    for host, variables in (("nas", nas), ("web", web)):
        (rollout.inventory / "host_vars" / f"{host}.yml").write_text(json.dumps(variables))
    server = rollout.inventory / "group_vars" / "powmonman_server.yml"
    server.write_text(server.read_text().replace("runtime: 240", "runtime: 600"))
    try:
        refused = rollout.run(*options)
    finally:
        rollout.stop()
    assert refused.code != 0
    for text in said:
        assert text in refused.text
    assert not rollout.stage.exists()


def test_of_a_server_that_goes_down_too_it_is_said_what_is_lost(tmp_path: Path) -> None:
    """And nothing is refused: it may be meant so."""
    hosts = (
        "powmonman_server: {hosts: {pi: {ansible_host: 127.0.0.11}}}\n"
        "powmonman_client: {hosts: {pi: , database: {powmonman_client_dry_run: true}}}\n"
    )
    checked = Rollout(tmp_path, hosts).run("--check")
    assert checked.code == 0, checked.output
    assert "WARNING: pi is the server and goes down too" in checked.text
    assert "On a UPS that never runs dry it stays off for ever." in checked.text
    assert "WARNING: pi: powmonman_client_wait_for: database only rehearses" in checked.text


def test_the_server_is_told_of_hosts_that_a_play_leaves_out(tmp_path: Path) -> None:
    """The addresses that an earlier play found stay, and so does the order of all."""
    rollout = Rollout(tmp_path, CHAIN)
    (rollout.inventory / "host_vars" / "nas.yml").write_text(
        json.dumps(
            {"powmonman_client_wait_for": ["web"], "powmonman_client_macs": ["02:00:5e:00:53:01"]}
        )
    )
    config = rollout.stage / "pi" / "etc" / "powmonman" / "server.yml"
    try:
        first = rollout.run()
        assert first.code == 0, first.output
        before = config.read_text("utf-8")
        again = rollout.run("--limit", "pi")
    finally:
        rollout.stop()
    assert again.code == 0, again.output
    assert again.changed("pi") == 0
    assert config.read_text("utf-8") == before
    read = load(config, ServerConfig)
    assert read.order.hosts["nas"].wait_for == ("web",)
    assert read.recovery.hosts["nas"].macs == ("02:00:5e:00:53:01",)
    assert read.recovery.hosts["web"].method == "none"
