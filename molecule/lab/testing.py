"""The lab's hosts for testinfra, and the record of the outages: fixtures that each scenario has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from engine import LabError
from fleet import Fleet
from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

if TYPE_CHECKING:
    from pathlib import Path


class Container(BaseBackend):
    """testinfra's podman backend, with the podman that the lab has chosen."""

    NAME = "lab"

    def __init__(self, fleet: Fleet, name: str) -> None:
        self._command = fleet.engine.command("exec", fleet.container(name), plain=True)
        super().__init__(name)

    def run(self, command: str, *args: str, **_: Any) -> CommandResult:
        script = self.get_command(command, *args)
        words = " ".join(["%s"] * (len(self._command) + 3))
        return self.run_local(words, *self._command, "/bin/sh", "-c", script)


def directory_of(scenario: Path) -> Path:
    """Return where a scenario's lab keeps what it makes."""
    return scenario.parents[1] / ".cache" / "lab" / scenario.name


@pytest.fixture(scope="session")
def fleet(directory: Path) -> Fleet:
    try:
        return Fleet.running(directory)
    except LabError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def hosts(fleet: Fleet) -> dict[str, Host]:
    return {host.name: Host(Container(fleet, host.name)) for host in fleet.hosts}


@pytest.fixture(scope="session")
def record(directory: Path) -> dict[str, Any]:
    """What `outage.py` wrote down."""
    path = directory / "outage.json"
    if not path.exists():
        pytest.skip("no outage was played: run `molecule side-effect`")
    return dict(json.loads(path.read_text("utf-8")))
