"""At the end of a run, what the scripts have tried and which rejected designs were caught."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import figures
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _without_a_word() -> Iterator[None]:
    """Millions of seconds of a fleet would be millions of lines."""
    log = logging.getLogger("powmonman")
    before = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(before)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if figures.ALL.scripts:
        terminalreporter.section("scripts of faults over a whole fleet")
        terminalreporter.write_line(figures.ALL.line())
        if terminalreporter.config.getoption("verbose") > 0:
            terminalreporter.write_line("\n".join(figures.ALL.table()))
    if figures.CAUGHT:
        terminalreporter.section("rejected designs, put back")
        for caught in figures.CAUGHT:
            terminalreporter.write_line(f"{caught.design:<60}{caught.after:<26}{caught.by}")
