"""The real `site.yml`, with the demo's inventory cut down to a server and a client."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
ANSIBLE = shutil.which("ansible-playbook", path=f"{Path(sys.executable).parent}:{os.defpath}") or ""
# stat and unarchive, link, config, certificate, service, proof; below systemd no prefix is made.
MODULES_ALLOWED = 10

pytestmark = [
    pytest.mark.skipif(not ANSIBLE, reason="ansible-playbook is missing"),
    pytest.mark.timeout(300),
]


@dataclass(frozen=True)
class Run:
    """What a playbook said."""

    code: int
    output: str

    def changed(self, host: str) -> int:
        found = re.search(rf"(?m)^{host} +: ok=\d+ +changed=(\d+)", self.output)
        assert found, self.output
        return int(found[1])

    def modules(self, address: str) -> int:
        """Return how many modules ran on a host, of a run with -vvv."""
        return len(re.findall(rf"(?m)^<{address}> EXEC .*python[\d.]* && sleep 0", self.output))

    @property
    def text(self) -> str:
        """The output without its line breaks, which fall anywhere."""
        return " ".join(self.output.split())


class Rollout:
    """An inventory of two hosts below a directory, and playbooks run with it."""

    def __init__(self, directory: Path) -> None:
        self.stage = directory / ".demo"
        self._inventory = directory / "inventory"
        shutil.copytree(REPOSITORY / "inventory.demo", self._inventory)
        (self._inventory / "hosts.yml").write_text(
            "powmonman_server: {hosts: {pi: {ansible_host: 127.0.0.11}}}\n"
            "powmonman_client: {hosts: {database: {ansible_host: 127.0.0.14}}}\n"
        )
        with socket.socket() as probe:
            probe.bind(("127.0.0.11", 0))
            self._port = probe.getsockname()[1]

    def run(self, *options: str, playbook: str = "site.yml", **variables: Any) -> Run:
        variables["powmonman_port"] = self._port
        done = subprocess.run(
            [ANSIBLE, "-i", self._inventory, "-e", json.dumps(variables), playbook, *options],
            cwd=REPOSITORY,
            env=os.environ | {"ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "NO_COLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return Run(done.returncode, done.stdout)

    def program(self, host: str, *arguments: str) -> Run:
        program = self.stage / host / "usr" / "local" / "bin" / "powmonman"
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        return Run(done.returncode, done.stdout)


@dataclass(frozen=True)
class Story:
    """One life of a small fleet, run by run."""

    check: Run
    first: Run
    second: Run
    status: Run
    rotation: Run
    removal: Run
    after_check: list[str]
    after_removal: list[str]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    rollout = Rollout(tmp_path_factory.mktemp("story"))

    def files() -> list[str]:
        """Return what is below the stage, the control node's cache left out."""
        found = (path for path in rollout.stage.rglob("*") if path.is_file())
        return sorted(str(path.relative_to(rollout.stage)) for path in found)

    try:
        return Story(
            check=rollout.run("--check"),
            after_check=[name for name in files() if not name.startswith("cache/")],
            first=rollout.run(),
            second=rollout.run("-vvv"),
            status=rollout.run(playbook="playbooks/status.yml"),
            rotation=rollout.run(playbook="playbooks/rotate.yml", powmonman_rotate="database"),
            removal=rollout.run(playbook="playbooks/uninstall.yml", powmonman_forget_ca=True),
            after_removal=files(),
        )
    finally:
        for pid_file in rollout.stage.glob("*/run/powmonman/*.pid"):
            rollout.program(pid_file.parts[-4], "process", "stop", "--pid-file", str(pid_file))


@pytest.fixture
def rollout(tmp_path: Path) -> Rollout:
    return Rollout(tmp_path)


def test_a_check_of_hosts_that_have_nothing_yet_passes_and_changes_nothing(story: Story) -> None:
    assert story.check.code == 0, story.check.output
    assert story.after_check == []


def test_a_roll_out_ends_with_a_fleet_that_works(story: Story) -> None:
    assert story.first.code == 0, story.first.output


def test_a_second_roll_out_changes_nothing(story: Story) -> None:
    assert story.second.code == 0, story.second.output
    assert [story.second.changed(host) for host in ("pi", "database")] == [0, 0]


def test_a_roll_out_that_changes_nothing_is_lean(story: Story) -> None:
    """Modules are what a roll-out costs; each one more is felt on a fleet of Pis."""
    assert 5 < story.second.modules("127.0.0.14") <= MODULES_ALLOWED


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
    done = subprocess.run(
        [ANSIBLE, "-i", nothing, "site.yml"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "cp -r inventory.example inventory" in done.stdout


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
