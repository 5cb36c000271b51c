"""The hosts of this scenario."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

SCENARIO = Path(__file__).parents[1]

sys.path.insert(0, str(SCENARIO.parent / "lab"))

# The lab is a program beside the scenarios, and its fixtures are found by their names here.
from testing import directory_of, fleet, hosts, record  # noqa: E402, F401


@pytest.fixture(scope="session")
def directory() -> Path:
    return directory_of(SCENARIO)
