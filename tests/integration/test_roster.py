"""What the server knows of every host."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from powmonman.service.clock import boot_id

from .daemon import wait_for
from .stage import together

if TYPE_CHECKING:
    from .daemon import Daemon
    from .fleet import Fleet


@together
def test_it_follows_a_host_from_never_seen_to_gone(fleet: Fleet) -> None:
    server = fleet.server(clients=["nas"], policy__after=60)
    nas = fleet.client("nas", policy__after=30)
    server.start().says("listening on")
    row = fleet.row(server, "nas")
    assert (row["connected"], row["for"], row["phase"]) == (False, None, "never seen")

    nas.start().says("server found")
    row = wait_for("idle", lambda: phase(fleet, server, "idle"))
    assert row["connected"]
    assert row["for"] < 5
    assert row["address"] == "127.0.0.1"
    assert row["policy"]["after"] == 30
    assert row["boot_id"] == boot_id()
    assert row["left"] is None

    fleet.mains("off")
    row = wait_for("counting", lambda: phase(fleet, server, "counting"))
    outage = fleet.report(server)["upses"]["ups"]["outage"]
    assert row["outage"] == outage
    assert 25 < row["left"] <= 30
    time.sleep(1.3)
    assert fleet.row(server, "nas")["left"] <= row["left"] - 1

    nas.kill()
    gone = wait_for("gone", lambda: disconnected(fleet, server))
    assert (gone["phase"], gone["told"]) == ("counting", False)
    assert gone["for"] < 5
    assert gone["left"] < row["left"]


@together
def test_told_means_that_the_newest_state_was_understood(fleet: Fleet) -> None:
    server = fleet.server(policy__after=60, lease=5)
    nas, db = fleet.client("nas"), fleet.client("db")
    fleet.up(server, nas, db)
    before = len(server.said("told 2 clients"))
    with db.paused():
        fleet.mains("off")
        nas.says("on battery · outage")
        wait_for("nas is told", lambda: fleet.row(server, "nas")["told"])
        assert not fleet.row(server, "db")["told"]
        assert len(server.said("told 2 clients")) == before
        time.sleep(0.2)
    wait_for("db is told", lambda: fleet.row(server, "db")["told"])
    figure = r"told 2 clients, the last one after \d+\.\d ms"
    wait_for("both are told", lambda: len(server.said(figure)) == before + 1)
    push = fleet.report(server)["last_push"]
    assert push["clients"] == 2
    assert 0.1 < push["seconds"] < 10


@together
def test_who_leaves_untold_is_not_counted_as_told(fleet: Fleet) -> None:
    server = fleet.server(policy__after=60)
    nas, db = fleet.client("nas"), fleet.client("db")
    fleet.up(server, nas, db)
    # The mains may have settled when only one of them had come.
    before, alone = len(server.said("told 2 clients")), len(server.said("told 1 client"))
    with db.paused():
        fleet.mains("off")
        server.says("db said nothing for")
        wait_for("nas counts alone", lambda: len(server.said("told 1 client")) == alone + 1)
    assert len(server.said("told 2 clients")) == before


def phase(fleet: Fleet, server: Daemon, name: str) -> dict[str, Any]:
    row = fleet.row(server, "nas")
    return row if row["phase"] == name else {}


def disconnected(fleet: Fleet, server: Daemon) -> dict[str, Any]:
    row = fleet.row(server, "nas")
    return {} if row["connected"] else row
