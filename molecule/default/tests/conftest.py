"""The lab's hosts for testinfra, and the record of the outage."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

SCENARIO = Path(__file__).parents[1]
DIRECTORY = SCENARIO.parents[1] / ".cache" / "lab"
SERVER = "pi"
CLIENTS = ("database", "desktop", "hypervisor", "nas")

sys.path.insert(0, str(SCENARIO.parent / "lab"))

from engine import LabError  # noqa: E402 - the lab is a program beside the scenarios
from fleet import Fleet  # noqa: E402


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


@pytest.fixture(scope="session")
def fleet() -> Fleet:
    try:
        return Fleet.running(DIRECTORY)
    except LabError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def hosts(fleet: Fleet) -> dict[str, Host]:
    return {host.name: Host(Container(fleet, host.name)) for host in fleet.hosts}


@pytest.fixture(scope="session")
def record() -> dict[str, Any]:
    """What `outage.py` wrote down."""
    path = DIRECTORY / "outage.json"
    if not path.exists():
        pytest.skip("no outage was played: run `molecule side-effect`")
    return dict(json.loads(path.read_text("utf-8")))


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, hosts: dict[str, Host]) -> Host:
    return hosts[request.param]


@pytest.fixture
def server(hosts: dict[str, Host]) -> Host:
    return hosts[SERVER]


@pytest.fixture(params=(SERVER, *CLIENTS))
def host(request: pytest.FixtureRequest, hosts: dict[str, Host]) -> Host:
    return hosts[request.param]
