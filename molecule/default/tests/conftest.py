"""The hosts of this scenario."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from testinfra.host import Host

SCENARIO = Path(__file__).parents[1]
SERVER = "pi"
CLIENTS = ("database", "desktop", "hypervisor", "nas")

sys.path.insert(0, str(SCENARIO.parent / "lab"))

# The lab is a program beside the scenarios, and its fixtures are found by their names here.
from testing import directory_of, fleet, hosts, record  # noqa: E402, F401


@pytest.fixture(scope="session")
def directory() -> Path:
    return directory_of(SCENARIO)


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, hosts: dict[str, Host]) -> Host:  # noqa: F811
    return hosts[request.param]


@pytest.fixture
def server(hosts: dict[str, Host]) -> Host:  # noqa: F811
    return hosts[SERVER]


@pytest.fixture(params=(SERVER, *CLIENTS))
def host(request: pytest.FixtureRequest, hosts: dict[str, Host]) -> Host:  # noqa: F811
    return hosts[request.param]
