"""Attackers get the same fleets of real processes as the tests of integration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.conftest import authority, fleet, make_fleet, new_fleet, stranger
from tests.integration.stage import Stage, plays_below

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.fleet import Fleet

__all__ = ["authority", "fleet", "make_fleet", "new_fleet", "stage", "stranger"]


@pytest.fixture(scope="session")
def stage(request: pytest.FixtureRequest, make_fleet: Callable[[], Fleet]) -> Iterator[Stage]:
    """Play the tests of this directory that are marked `together`, at the same time."""
    stage = Stage(plays_below(Path(__file__).parent, request.session.items), make_fleet)
    yield stage
    stage.close()
