"""A host that waits for another, and what the server hears of it until it is gone."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

from powmonman.service.clock import boottime

from .daemon import wait_for
from .stage import together
from .word import Word

if TYPE_CHECKING:
    from .fleet import Fleet

AFTER = 2.0


def word(fleet: Fleet, *waits: str) -> Word:
    return Word(fleet.authority.server, fleet.port, *waits, after=AFTER)


@together
def test_a_host_goes_as_soon_as_the_other_is_down(fleet: Fleet) -> None:
    nas = fleet.client("nas", wait_for=["web1"], wait_timeout=60)
    with word(fleet, "web1") as server:
        nas.start().says("on mains|now: on mains")
        server.mains(on=False)
        said = server.hears("status", phase="waiting")
        assert said["reason"] == "waiting for web1"
        assert 30 <= said["left"] <= 60
        assert fleet.history == []
        down_at = boottime()
        server.waits = ()
        assert fleet.down("nas") >= down_at
        assert nas.says("web1 is down")
        assert server.hears("status", phase="committed")["reason"].endswith("web1 is down")


@together
def test_a_wait_ends_though_the_server_is_gone(fleet: Fleet) -> None:
    nas = fleet.client("nas", wait_for=["web1"], wait_timeout=3)
    server = word(fleet, "web1")
    with server:
        nas.start().says("on mains|now: on mains")
        lost_at = server.mains(on=False)
        server.hears("status", phase="waiting")
    assert AFTER + 3 - 0.05 <= fleet.down("nas") - lost_at
    nas.says("waited 3 s for web1")


@together
def test_a_client_that_dies_in_the_wait_does_not_begin_it_anew(fleet: Fleet) -> None:
    nas = fleet.client("nas", wait_for=["web1"], wait_timeout=60)
    with word(fleet, "web1") as server:
        nas.start().says("on mains|now: on mains")
        server.mains(on=False)
        server.hears("status", phase="waiting")
        wait_for(
            "two seconds of the wait on the disk",
            lambda: (
                json.loads((nas.runtime / "plan.json").read_text("utf-8"))["plan"]["waited"] > 2
            ),
        )
        nas.kill()
        before = len(server.said("status", phase="waiting"))
        nas.start().says("resumed: waiting")
        again = wait_for("a word", lambda: server.said("status", phase="waiting")[before:])[0]
        assert again["left"] <= 58
        server.waits = ()
        fleet.down("nas")
        assert fleet.ran("nas") == ["poweroff"]


@together
def test_mains_that_return_end_the_wait(fleet: Fleet) -> None:
    nas = fleet.client("nas", wait_for=["web1"], wait_timeout=60)
    with word(fleet, "web1") as server:
        nas.start().says("on mains|now: on mains")
        server.mains(on=False)
        server.hears("status", phase="waiting")
        server.mains(on=True)
        nas.says("shutdown cancelled")
        assert nas.stop() == 0
        wait_for("it is heard", lambda: server.said("status")[-1]["phase"] == "idle")
    assert fleet.history == []


@together
def test_the_server_learns_for_whom_a_host_waits_and_how_long_it_takes(fleet: Fleet) -> None:
    nas = fleet.client("nas", wait_for=["web1", "web2"], wait_timeout=7)
    stamp = {"boot_id": "the boot before", "committed": 100.0, "seen": 141.5}
    (nas.state / "shutdown-stamp.json").write_text(json.dumps(stamp), encoding="utf-8")
    with word(fleet) as server:
        nas.start()
        hello = server.hears("hello")
        assert (hello["wait_for"], hello["wait_timeout"]) == (["web1", "web2"], 7)
        assert hello["shutdown_takes"] == 41.5


@together
def test_a_host_that_goes_down_says_so_last_and_measures_itself(fleet: Fleet) -> None:
    """The server talks on meanwhile: what lies unread must not take back what was said."""
    nas = fleet.client("nas")
    with word(fleet) as server:
        nas.start().says("on mains|now: on mains")
        server.mains(on=False)
        fleet.down("nas")
        server.hears("status", phase="committed")
        wait_for("a stamp", (nas.state / "shutdown-stamp.json").exists)
        assert nas.stop() == 0
        said = server.hears("status", phase="halting")
        assert said["outage"] == "f" * 32
        assert server.heard[-1] == said
    stamp = json.loads((nas.state / "shutdown-stamp.json").read_text("utf-8"))
    assert 0 <= stamp["seen"] - stamp["committed"] <= 60


@together
def test_a_client_that_is_restarted_does_not_say_that_its_host_goes(fleet: Fleet) -> None:
    """Nor one in a countdown: neither is a shutdown."""
    nas = fleet.client("nas", wait_for=["web1"], wait_timeout=60)
    with word(fleet, "web1") as server:
        nas.start().says("on mains|now: on mains")
        nas.stop()
        nas.start().says("server found")
        server.mains(on=False)
        server.hears("status", phase="waiting")
        nas.signal(signal.SIGTERM)
        nas.ended()
        # Whatever it said last has been heard when another has been.
        hellos = len(server.said("hello"))
        nas.start()
        wait_for("a hello", lambda: len(server.said("hello")) > hellos)
        assert server.said("status", phase="halting") == []


@together
def test_a_host_that_systemd_shuts_down_says_so_without_an_outage(fleet: Fleet) -> None:
    nas = fleet.client("nas")
    nas.environment["NOTIFY_SOCKET"] = str(fleet.path("nobody"))
    tool = fleet.path("tools") / "systemctl"
    tool.write_text("#!/bin/sh\necho stopping\nexit 1\n", encoding="utf-8")
    with word(fleet) as server:
        nas.start().says("on mains|now: on mains")
        nas.stop()
        assert server.hears("status", phase="halting")["outage"] == ""
