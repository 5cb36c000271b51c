"""Scenarios are played at the same time, each on a LAN of its own; at the end, the table."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ..integration.authority import Authority
from ..integration.cable import unavailable
from ..integration.fleet import Fleet
from .lan import missing
from .ours import OurSite
from .scenario import Row, Scenario, play, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AT_ONCE = 8
ROWS = pytest.StashKey[list[Row]]()


class Chaos:
    """The scenarios of this run; they begin when the first is asked for."""

    def __init__(self, scenarios: list[Scenario], new_site: Callable[[], OurSite]) -> None:
        self._new_site = new_site
        self.logs: dict[str, str] = {}
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._playing: dict[str, Future[Row]] = {
            scenario.name: self._pool.submit(self._play, scenario) for scenario in scenarios
        }

    def _play(self, scenario: Scenario) -> Row:
        site = self._new_site()
        try:
            row = play(scenario, site)
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            row = Row(scenario, f"the script failed: {error}", fine=False)
        finally:
            # Read here: the test that asks may be far behind.
            self.logs[scenario.name] = site.fleet.logs()
            site.close()
        return row

    def row(self, scenario: Scenario) -> Row:
        return self._playing[scenario.name].result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="session")
def chaos(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Chaos]:
    if lack := missing():
        unavailable(lack)
    authority = Authority(tmp_path_factory.mktemp("chaos-ca"))
    chosen = [
        item.callspec.params["scenario"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and "chaos" in item.fixturenames
    ]
    numbers = iter(range(len(chosen)))

    def new_site() -> OurSite:
        root = tmp_path_factory.mktemp("chaos")
        return OurSite(Fleet(root, authority, authority), next(numbers))

    chaos = Chaos(chosen, new_site)
    yield chaos
    chaos.close()


@pytest.fixture(scope="session")
def rows(request: pytest.FixtureRequest) -> list[Row]:
    return request.config.stash.setdefault(ROWS, [])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    rows = config.stash.get(ROWS, [])
    if not rows:
        return
    text = table(rows, "seen")
    terminalreporter.section("chaos: seconds after the loss of the mains")
    terminalreporter.write_line(text)
    if file := os.environ.get("POWMONMAN_CHAOS_TABLE"):
        Path(file).write_text(f"{text}\n", "utf-8")
