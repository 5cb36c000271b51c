"""What presets run, and how they find out beforehand that it would work. No real one is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from powmonman.client import presets
from powmonman.client.presets import PRESETS, expand, preflight
from powmonman.config import forms

PAGE = Path(__file__).parents[3] / "docs" / "presets.md"
# What changes nothing, by program.
READERS = {
    "systemctl": {"is-active"},
    "pvesh": {"get"},
    "docker": {"info"},
    "podman": {"ps"},
    "umount": {"--version"},
}


class Host:
    """Programs that a test puts in a directory, which is all that is found."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def has(self, program: str, script: str) -> None:
        path = self._directory / program
        path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
        path.chmod(0o755)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setenv("PATH", str(tmp_path))
    return Host(tmp_path)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_plain_commands_that_end_and_never_stop_the_rest(name: str) -> None:
    preset = PRESETS[name]
    assert forms.PRESET.canonical(name) == name
    assert preset.commands
    assert preset.checks
    for command in preset.commands:
        assert command.on_failure == "continue"
        assert 0 < command.timeout <= 600
        assert command.command[0] not in {"sh", "bash", "env"}


@pytest.mark.parametrize("name", PRESETS)
def test_a_check_only_reads(name: str) -> None:
    for check in PRESETS[name].checks:
        program, verb = check.command[:2]
        assert verb in READERS[program]


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.usefixtures("host")
def test_what_is_not_installed_is_said(name: str) -> None:
    program = PRESETS[name].checks[0].command[0]
    assert [f"preset {name}: {program} is not installed"] == preflight(name)


def test_the_order_is_that_of_the_table_however_a_host_names_them() -> None:
    assert expand(["network_mounts", "postgresql"]) == expand(["postgresql", "network_mounts"])
    commands = [command.command for command in expand(PRESETS)]
    assert commands[0] == ("systemctl", "stop", "libvirt-guests.service")
    assert [command[0] for command in commands[-2:]] == ["umount", "umount"]


def test_a_name_that_stands_for_none_runs_nothing() -> None:
    """A plan from before a downgrade must not keep a host up."""
    assert expand(["of_a_later_version"]) == ()


@pytest.mark.parametrize("name", ["libvirt_guests", "postgresql", "mariadb", "mysql"])
def test_a_unit_that_does_not_run_would_stop_nothing(name: str, host: Host) -> None:
    host.has("systemctl", '[ "$1" = is-active ] && exit 3')
    (fault,) = preflight(name)
    assert fault.startswith(f"preset {name}: ")
    host.has("systemctl", '[ "$1" = is-active ] && exit 0')
    assert preflight(name) == []


def test_containers_that_outlive_docker_are_no_preset(host: Host) -> None:
    host.has("systemctl", "exit 0")
    host.has("docker", "echo true")
    (fault,) = preflight("docker_containers")
    assert "live-restore" in fault
    host.has("docker", "echo false")
    assert preflight("docker_containers") == []


def test_a_check_that_hangs_is_a_fault(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "CHECK_TIMEOUT", 0.2)
    host.has("podman", "exec /bin/sleep 60")
    (fault,) = preflight("podman_containers")
    assert fault == "preset podman_containers: no answer within 0.2 s from: podman ps --quiet"


@pytest.mark.parametrize("name", PRESETS)
def test_the_page_shows_every_command_as_it_is_run(name: str) -> None:
    """To mend it: write it there."""
    _, _, section = PAGE.read_text("utf-8").partition(f"## {name}\n")
    shown = re.findall(r"(?m)^\| `([^`]+)` \| (\d+) s \|", section.partition("\n## ")[0])
    expected = [(" ".join(step.command), f"{step.timeout:g}") for step in PRESETS[name].commands]
    assert expected == shown
