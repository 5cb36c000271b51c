"""The sensor does not know: nothing starts, and nothing ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .daemon import sleep_until, wait_for
from .fleet import LEASE
from .stage import together

if TYPE_CHECKING:
    from .fleet import Fleet


@together
def test_unknown_starts_nothing(fleet: Fleet) -> None:
    server, nas = fleet.server(policy__after=2), fleet.client("nas")
    fleet.up(server, nas)
    began = fleet.mains("unknown")
    nas.says("power unknown · ups: the file says unknown")
    fleet.garble(b"\x00\xff{{{ mains: off")
    nas.says("power unknown · ups: .* not")
    sleep_until(began + 2 + LEASE)
    row = fleet.row(server, "nas")
    assert (row["phase"], row["left"]) == ("idle", None)
    nas.says("the server does not know the power · last known on mains: nothing is shut")
    fleet.mains("on")
    nas.says("fresh news again")
    assert nas.said("on battery · outage") == []
    assert fleet.history == []


@together
def test_unknown_ends_no_countdown(fleet: Fleet) -> None:
    """From 1 s on nobody knows; nas has 4 s, db only 1.5 s and so waits a lease in vain."""
    server = fleet.server(policy__after=4)
    nas, db = fleet.client("nas"), fleet.client("db", policy__after=1.5)
    fleet.up(server, nas, db)
    lost_at = fleet.mains("off")
    nas.says("on battery · outage")
    sleep_until(lost_at + 1)
    fleet.garble(b"mains: perhaps\n")
    server.says("power unknown · outage")
    assert fleet.row(server, "nas")["power"] == "on_battery"
    assert 1.5 <= fleet.down("db") - lost_at <= 1.5 + LEASE + 2
    assert 4 - 0.05 <= fleet.down("nas") - lost_at <= 4 + 2.5
    assert nas.said("mains are back") == []


@together
def test_an_outage_outlasts_the_sensors_doubts(fleet: Fleet) -> None:
    server, nas = fleet.server(policy__after=30), fleet.client("nas")
    fleet.up(server, nas)
    fleet.mains("off")
    nas.says("on battery · outage")
    before = fleet.report(server)["upses"]["ups"]["outage"]
    fleet.mains("unknown")
    server.says("power unknown · outage")
    fleet.mains("off")
    wait_for("battery again", lambda: len(server.said("ups: on battery")) == 2)
    assert before == fleet.report(server)["upses"]["ups"]["outage"]
    fleet.mains("on")
    nas.says("mains are back")
    time.sleep(0.1)
    assert fleet.history == []


@together
def test_a_long_explanation_keeps_nobody_from_the_server(fleet: Fleet) -> None:
    """Two sensors whose faults together are longer than a text may be between the two sides."""
    server, nas = fleet.server(), fleet.client("nas")
    ups = server.settings["upses"].pop("ups")
    for name, letter in (("one", "x"), ("two", "y")):
        place = fleet.path("/".join([letter * 200] * 3))
        sensor = {**ups["simulated"], "file": str(place)}
        server.settings["upses"][name] = {**ups, "simulated": sensor}
    server.configure()
    server.start().says("listening on")
    nas.start().says("server found")
    wait_for("a reason", lambda: fleet.row(server, "nas").get("reason"))
    time.sleep(2 * LEASE / 3)
    assert nas.said("connection .* lost") == []
    assert server.said("refused") == []
