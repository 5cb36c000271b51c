"""Who is down, by hosts that really stop answering; and whom the server tells. Nothing is faked."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from powmonman.service.clock import boot_id, boottime

from .cable import unavailable
from .daemon import wait_for
from .rack import GONE_AFTER, SETTLE, Rack, down

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .fleet import Fleet


@pytest.fixture
def rack(new_fleet: Callable[[], Fleet]) -> Iterator[Rack]:
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("sysctl") is None:
        unavailable("needs root, iproute2 and sysctl for network namespaces")
    rack = Rack(new_fleet())
    try:
        try:
            rack.lay()
        except subprocess.CalledProcessError as error:
            unavailable(f"no network namespaces here: {error.stderr}")
        rack.server.start().says("listening on")
        yield rack
    finally:
        rack.remove()


def test_a_host_is_down_when_it_has_committed_hung_up_and_stopped_answering(rack: Rack) -> None:
    """Not before: it may be at its last commands for minutes."""
    nas, web = rack.peer("nas", wait_for=["web"]), rack.peer("web")
    outage = rack.outage()
    nas.hears("web")
    web.says("committed", outage)
    rack.server.says("web is committed")
    assert down(rack.fleet, rack.server, "web") == ""
    web.kill()
    rack.server.says("web has left")
    time.sleep(SETTLE + 2)
    assert down(rack.fleet, rack.server, "web") == ""
    nas.hears("web")
    off = rack.off("web")
    told = nas.hears()
    assert SETTLE - 0.2 <= told - off < SETTLE + 20
    assert "committed, hung up, no answer to ping" in down(rack.fleet, rack.server, "web")
    took = rack.fleet.row(rack.server, "web")["takes"]
    assert SETTLE + 1 <= took < SETTLE + 30


def test_a_host_that_died_without_a_word_is_down_only_after_the_bound(rack: Rack) -> None:
    nas, web = rack.peer("nas", wait_for=["web"]), rack.peer("web")
    rack.outage()
    nas.hears("web")
    rack.server.says("web answered: ping")
    off = rack.off("web")
    web.kill()
    told = nas.hears(within=GONE_AFTER + 25)
    assert told - off >= GONE_AFTER
    assert "gone without a commit" in down(rack.fleet, rack.server, "web")
    assert rack.fleet.row(rack.server, "web")["takes"] is None
    rack.on("web")
    nas.hears("web")
    rack.server.says("web is not down any more")


def test_a_client_that_was_killed_on_a_living_host_is_not_down(rack: Rack) -> None:
    nas, web = rack.peer("nas", wait_for=["web"]), rack.peer("web")
    rack.outage()
    web.kill()
    rack.server.says("web has left")
    time.sleep(GONE_AFTER + 3)
    assert down(rack.fleet, rack.server, "web") == ""
    nas.hears("web")


def test_a_host_that_is_deaf_to_pings_is_asked_otherwise(rack: Rack) -> None:
    rack.set("web", "net.ipv4.icmp_echo_ignore_all", "1")
    nas, web = rack.peer("nas", wait_for=["web"]), rack.peer("web")
    web.says("committed", rack.outage())
    rack.server.says("web is committed")
    web.kill()
    rack.server.says("web answered: TCP port")
    nas.hears("web")
    rack.off("web")
    nas.hears()
    assert "no answer to TCP port" in down(rack.fleet, rack.server, "web")


def test_a_host_that_was_off_before_the_outage_is_down_after_the_bound(rack: Rack) -> None:
    nas, web = rack.peer("nas", wait_for=["web"]), rack.peer("web")
    rack.server.says("web answered: ping")
    rack.off("web")
    web.kill()
    rack.server.says("web has left")
    nas.hears("web")
    began = boottime()
    rack.outage()
    assert nas.hears(within=GONE_AFTER + 25) - began >= GONE_AFTER
    assert "no answer to" in down(rack.fleet, rack.server, "web")


def test_a_server_restarted_in_the_middle_knows_who_is_down(rack: Rack) -> None:
    nas, web = rack.peer("nas", wait_for=["web"]), rack.peer("web")
    web.says("committed", rack.outage())
    rack.server.says("web is committed")
    wait_for("it is known how web answers", lambda: '"way": 0' in kept(rack))
    rack.off("web")
    web.kill()
    nas.hears()
    known = down(rack.fleet, rack.server, "web")
    wait_for("it is kept", lambda: known in kept(rack))
    rack.server.kill()
    before = len(nas.heard)
    rack.server.start()
    wait_for("nas hears the new process", lambda: len(nas.heard) > before)
    assert nas.heard[before][2] == []
    assert down(rack.fleet, rack.server, "web") == known


def test_who_went_down_while_the_server_was_dead_is_found_to_be_down(rack: Rack) -> None:
    nas, web = rack.peer("nas", wait_for=["web"]), rack.peer("web")
    outage = rack.outage()
    web.says("committed", outage)
    rack.server.says("web is committed")
    wait_for("it is kept", lambda: '"committed"' in kept(rack) and '"way": 0' in kept(rack))
    rack.server.kill()
    rack.off("web")
    web.kill()
    before = len(nas.heard)
    rack.server.start()
    wait_for("nas hears the new process", lambda: len(nas.heard) > before)
    assert nas.heard[before][2] == ["web"]
    nas.hears()
    row = rack.fleet.row(rack.server, "web")
    assert "committed, hung up, no answer to" in row["down"]
    assert row["outage"] == outage


def test_a_power_cut_of_the_server_forgets_nobody_who_had_committed(rack: Rack) -> None:
    """Nothing of /run is left, and the clock begins anew: who is down must be seen anew."""
    web = rack.peer("web", macs=["02:00:00:00:00:01"])
    outage = rack.outage()
    web.says("committed", outage)
    file = rack.server.state / "server-hosts.json"
    wait_for("it is on the disk", lambda: file.exists() and '"committed"' in file.read_text())
    rack.server.kill()
    web.kill()
    rack.off("web")
    for volatile in rack.server.runtime.iterdir():
        volatile.unlink()
    text = file.read_text("utf-8")
    file.write_text(text.replace(boot_id(), "another-boot"), encoding="utf-8")
    rack.server.start().says("listening on")
    row = rack.fleet.row(rack.server, "web")
    assert (row["phase"], row["connected"], row["boot_id"]) == ("committed", False, "web-1")
    wait_for("web is found to be down", lambda: down(rack.fleet, rack.server, "web"), 70)


def kept(rack: Rack) -> str:
    file = rack.server.runtime / "server-hosts.json"
    return file.read_text("utf-8") if file.exists() else ""
