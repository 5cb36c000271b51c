"""A client stands still over its deadline, and the mains are back when it goes on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .daemon import sleep_until
from .stage import together

if TYPE_CHECKING:
    from .fleet import Fleet


@together
def test_old_news_in_the_socket_are_no_ground_for_a_shutdown(fleet: Fleet) -> None:
    """The first thing that nas reads when it goes on is a state on battery, past its deadline."""
    server, nas = fleet.server(policy__after=3, lease=2), fleet.client("nas")
    fleet.up(server, nas)
    lost_at = fleet.mains("off")
    nas.says("on battery · outage")
    sleep_until(lost_at + 2)
    with nas.paused():
        sleep_until(lost_at + 2.8)
        fleet.mains("on")
        server.says("is over after")
        sleep_until(lost_at + 3.6)
    nas.says("mains are back")
    time.sleep(1)
    assert fleet.history == []
    assert nas.said("shutting down|connection .* lost") == []


@together
def test_after_a_long_stall_fresh_news_are_waited_for(fleet: Fleet) -> None:
    """The server has long hung up: the deadline waits a whole lease for news, and they are good."""
    server = fleet.server(policy__after=3, lease=3)
    nas = fleet.client("nas", policy__min_observe=0, policy__confirm=0)
    fleet.up(server, nas)
    lost_at = fleet.mains("off")
    nas.says("on battery · outage")
    with nas.paused():
        fleet.mains("on")
        server.says("nas said nothing for")
        sleep_until(lost_at + 5)
    nas.says("deadline reached · waiting for fresh news")
    nas.says("mains are back")
    assert fleet.history == []


@together
def test_after_a_long_stall_a_host_goes_when_the_outage_lasts(fleet: Fleet) -> None:
    server, nas = fleet.server(policy__after=3), fleet.client("nas")
    fleet.up(server, nas)
    lost_at = fleet.mains("off")
    nas.says("on battery · outage")
    with nas.paused():
        sleep_until(lost_at + 4)
    assert 4 <= fleet.down("nas") - lost_at <= 8
