"""A short soak: some hundred outages in a row, and nothing grows. `make soak` plays a long one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.authority import Authority
from tests.integration.fleet import Fleet

from .course import Course, Pace
from .verdict import NOISY, judged, table

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(420)

PACE = Pace(
    outages=200, sample=20, rehearse=50, commit=100, restarts=2, keep=20, spool=4, settle=0.3
)


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    """Play it once; every test looks at what it has left."""
    authority = Authority(tmp_path_factory.mktemp("soak-ca"))
    fleet = Fleet(tmp_path_factory.mktemp("soak"), authority, authority)
    try:
        course = Course(fleet, PACE, progress=print)
        course.run()
        yield course
    finally:
        print(fleet.logs()[-20_000:])
        fleet.close()


def test_nothing_grows_over_hundreds_of_outages(course: Course) -> None:
    """Memory, descriptors, threads, tasks, objects, files, and what is logged of an outage."""
    found = judged(course.samples)
    print(table(found))
    assert [name for name, each in found.items() if each.grows and name not in NOISY] == []


def test_every_outage_was_told_to_every_client(course: Course) -> None:
    """The course waits for each: what is left to see is that nobody was counted out."""
    assert [sample.outages for sample in course.samples] == list(range(20, 201, 20))
    assert all(sample.told > 0 for sample in course.samples)


def test_a_server_that_is_started_anew_leaves_nothing_behind(course: Course) -> None:
    before, after = course.samples[-1].processes, course.restarted[-1].processes
    for name in ("nas", "db", "server"):
        assert after[name].descriptors <= before[name].descriptors + 2, name
        assert after[name].threads <= before[name].threads + 2, name
        assert after[name].tasks <= before[name].tasks + 2, name


def test_who_committed_went_once_each_time_and_came_back(course: Course) -> None:
    if not course.may_boot:
        pytest.skip("no boot ids of one's own here")
    assert course.fleet.ran("hv") == ["stop-guests", "poweroff"] * 2
    assert course.fleet.ran("nas") == course.fleet.ran("db") == []
    assert course.fleet.row(course.server, "hv")["connected"]
