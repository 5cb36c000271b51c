"""Every test here gets a fleet of its own; nothing of it is left running."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .authority import Authority
from .fleet import Fleet
from .stage import Stage, plays_below

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the CA that all fleets of this run share."""
    return Authority(tmp_path_factory.mktemp("fleet-ca"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the CA of somebody else's fleet, with the same names in it."""
    return Authority(tmp_path_factory.mktemp("other-ca"))


@pytest.fixture(scope="session")
def make_fleet(
    authority: Authority, stranger: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Fleet]:
    """Return a maker of fleets; whoever makes one closes it."""
    return lambda: Fleet(tmp_path_factory.mktemp("fleet"), authority, stranger)


@pytest.fixture(scope="module")
def new_fleet(make_fleet: Callable[[], Fleet]) -> Iterator[Callable[[], Fleet]]:
    """Make fleets that last as long as the tests of one file; their logs are shown on failure."""
    made: list[Fleet] = []

    def make() -> Fleet:
        made.append(make_fleet())
        return made[-1]

    yield make
    for fleet in made:
        print(fleet.logs())
        fleet.close()


@pytest.fixture
def fleet(new_fleet: Callable[[], Fleet]) -> Fleet:
    """Make one fleet for one test."""
    return new_fleet()


@pytest.fixture(scope="session")
def stage(request: pytest.FixtureRequest, make_fleet: Callable[[], Fleet]) -> Iterator[Stage]:
    """Play the tests that are marked `together`, at the same time."""
    stage = Stage(plays_below(Path(__file__).parent, request.session.items), make_fleet)
    yield stage
    stage.close()
