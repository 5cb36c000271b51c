"""docs/performance.md is what the results say, and every goal that is missed has its reason."""

from __future__ import annotations

import re

from benchmarks.page import PAGE, PICTURES, RESULTS, page
from benchmarks.result import load_all
from benchmarks.sections import HEADINGS, PLOTS


def test_the_page_says_what_the_results_hold() -> None:
    assert page(load_all(RESULTS)) == PAGE.read_text("utf-8"), "python -m benchmarks.page"


def test_every_benchmark_has_a_result() -> None:
    assert set(HEADINGS) == set(load_all(RESULTS))


def test_every_picture_is_there() -> None:
    shown = set(re.findall(r"\]\(performance/([^)]+)\)", PAGE.read_text("utf-8")))
    assert shown == {plot.file for plot in PLOTS} == {path.name for path in PICTURES.glob("*.svg")}


def test_a_goal_that_is_missed_says_why() -> None:
    goals = [goal for result in load_all(RESULTS).values() for goal in result.goals]
    assert not [goal.text for goal in goals if not goal.met and not goal.why]
