"""The mains return in time: nobody goes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .daemon import sleep_until
from .stage import together

if TYPE_CHECKING:
    from .fleet import Fleet


@together
def test_a_blip_shorter_than_the_debounce_is_not_even_mentioned(fleet: Fleet) -> None:
    server = fleet.server(upses__ups__confirm=2, upses__ups__restore_confirm=2)
    nas = fleet.client("nas")
    fleet.up(server, nas)
    nas.says("on mains")
    for _ in range(2):
        fleet.mains("off")
        time.sleep(0.5)
        fleet.mains("on")
        time.sleep(0.3)
    time.sleep(2.5)
    assert server.said("on battery") == []
    assert nas.said("on battery · outage") == []
    assert fleet.row(server, "nas")["phase"] == "idle"


@together
def test_an_outage_shorter_than_the_deadline_powers_nothing_off(fleet: Fleet) -> None:
    server, nas = fleet.server(policy__after=5), fleet.client("nas")
    fleet.up(server, nas)
    lost_at = fleet.mains("off")
    nas.says("on battery · outage")
    fleet.mains("on")
    nas.says("mains are back")
    sleep_until(lost_at + 6)
    assert fleet.history == []
    assert {key: fleet.row(server, "nas")[key] for key in ("phase", "left", "power")} == {
        "phase": "idle",
        "left": None,
        "power": "on_mains",
    }


@together
def test_a_return_one_moment_before_the_deadline_cancels(fleet: Fleet) -> None:
    """1.5 s, of which the debounce takes 0.3, and the rest is for a slow machine.

    The very last moment that counts is found in virtual time: tests/properties.
    """
    server, nas = fleet.server(policy__after=4), fleet.client("nas")
    fleet.up(server, nas)
    lost_at = fleet.mains("off")
    sleep_until(lost_at + 2.5)
    fleet.mains("on")
    nas.says("mains are back .* cancelled with [01] s left")
    sleep_until(lost_at + 4.5)
    assert fleet.history == []
    assert nas.said("shutting down") == []


@together
def test_what_one_outage_has_spent_is_missing_in_the_next(fleet: Fleet) -> None:
    """3 s of 6 are spent; after a short return the second outage leaves only the rest."""
    server, nas = fleet.server(policy__after=6), fleet.client("nas")
    fleet.up(server, nas)
    lost_at = fleet.mains("off")
    sleep_until(lost_at + 3)
    returned_at = fleet.mains("on")
    nas.says("mains are back")
    second = fleet.mains("off")
    assert 6 - (second - lost_at) - 0.05 <= fleet.down("nas") - second
    assert fleet.down("nas") - second <= 6 - (returned_at - lost_at) + 2.5
    assert len(nas.said("on battery · outage")) == 2
