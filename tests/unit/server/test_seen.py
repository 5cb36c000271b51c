"""What people are told of the hosts goes by what is known of them now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from powmonman.core.messages import Hello, Policy, Status
from powmonman.net.tls import Peer
from powmonman.server.roster import Roster
from powmonman.server.seen import LASTS, View

if TYPE_CHECKING:
    from powmonman.core.events import HostSeen

BEGAN = 1000.0


class Site:
    """One host, and who looks at it."""

    def __init__(self) -> None:
        self.roster = Roster(["nas"])
        self.view = View(self.roster)
        self.roster.arrived(Peer("nas", "f" * 64, expired=False), "at nas", Hello(nonce=1), BEGAN)
        self.says("idle")

    def says(self, phase: str, left: float | None = None) -> None:
        self.roster.said("nas", Status(phase, left=left), BEGAN)

    def looks(self, *, after: float = 1.0, policy: Policy | None = None) -> HostSeen:
        (host,) = self.view.seen({}, policy or Policy(), None, BEGAN + after).hosts
        return host


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_host_of_which_nothing_is_new_is_looked_at_once_a_minute(site: Site) -> None:
    first = site.looks()
    assert site.looks(after=LASTS) is first
    assert site.looks(after=LASTS + 1) is not first


def test_what_a_host_says_is_seen_at_once(site: Site) -> None:
    assert site.looks().phase == "idle"
    site.says("committed")
    assert site.looks().phase == "committed"
    site.roster.left("nas", BEGAN)
    assert not site.looks().connected


def test_a_countdown_is_seen_to_run(site: Site) -> None:
    site.says("counting", left=300.0)
    assert [site.looks(after=seconds).left for seconds in (1.0, 2.0)] == [299.0, 298.0]


def test_another_policy_is_seen_at_once(site: Site) -> None:
    assert site.looks().after == Policy().after
    assert site.looks(policy=Policy(after=60.0)).after == 60.0
