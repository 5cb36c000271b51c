"""A client stands still over its deadline, and the mains are back when it goes on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .daemon import sleep_until
from .fleet import LEASE
from .stage import together

if TYPE_CHECKING:
    from .fleet import Fleet


@together
def test_old_news_in_the_socket_are_no_ground_for_a_shutdown(fleet: Fleet) -> None:
    """The first thing that nas reads when it goes on is a state on battery, past its deadline."""
    server, nas = fleet.server(policy__after=6, lease=6), fleet.client("nas")
    fleet.up(server, nas)
    lost_at = fleet.mains("off")
    nas.says("on battery · outage")
    sleep_until(lost_at + 2.5)
    with nas.paused():
        sleep_until(lost_at + 5.6)
        fleet.mains("on")
        server.says("is over after")
        sleep_until(lost_at + 6.5)
    nas.says("mains are back")
    time.sleep(1)
    assert fleet.history == []
    assert nas.said("shutting down|connection .* lost") == []


@together
def test_after_a_long_stall_fresh_news_are_waited_for(fleet: Fleet) -> None:
    """The server has long hung up, and all that lies in the socket is an outage."""
    server = fleet.server(policy__after=3, lease=3)
    nas = fleet.client("nas", policy__min_observe=0, policy__confirm=0)
    fleet.up(server, nas)
    lost_at = fleet.mains("off")
    nas.says("on battery · outage")
    with nas.paused():
        server.says("nas said nothing for")
        fleet.mains("on")
        server.says("is over after")
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
    # Long dropped by the server, it has to find it again first.
    assert 4 <= fleet.down("nas") - lost_at <= 15


@together
def test_whoever_stood_still_himself_accuses_nobody_of_silence(fleet: Fleet) -> None:
    """First the host and then the server, each for long enough to be given up by the other."""
    server, nas = fleet.server(policy__after=60), fleet.client("nas")
    fleet.up(server, nas)
    with server.paused():
        with nas.paused():
            time.sleep(LEASE + 0.3)
        time.sleep(0.2)
    time.sleep(2)
    assert nas.said("connection .* lost") == []
    assert server.said("said nothing|has left") == []
