"""The server's own host is short of something: it goes on, or says at once that it can't."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING

from powmonman.service.clock import boottime

from .daemon import wait_for
from .fleet import CONFIRM
from .peers import HELLO, Caller, half_open
from .stage import together

if TYPE_CHECKING:
    from .fleet import Fleet

BROKEN_PART = """
import powmonman.server.hub
def sweep(self, lease):
    raise RuntimeError("a part of the server broke")
powmonman.server.hub.Hub.sweep = sweep
"""

HANGING_CARD = """
import os, time
def fsync(file):
    if "server-upses" in os.readlink(f"/proc/self/fd/{file}"):
        time.sleep(600)
os.fsync = fsync
"""

SLOW_CARD = """
import os, time
real = os.fsync
def fsync(file):
    if "server-recovery" in os.readlink(f"/proc/self/fd/{file}"):
        time.sleep(1)
    real(file)
os.fsync = fsync
"""

HANGING_DISK = """
import time, powmonman.client.connector
def write_json(*arguments, **options):
    time.sleep(600)
powmonman.client.connector.write_json = write_json
"""
BROKEN_NEWS = """
import powmonman.core.policy
real = powmonman.core.policy.heard
states = []
def heard(plan, state, rules, now):
    states.extend(ups.outage for ups in state.upses.values() if ups.outage)
    if len(states) == 3:
        raise RuntimeError("a bug")
    return real(plan, state, rules, now)
powmonman.core.policy.heard = heard
"""


@together
def test_strangers_leave_enough_files_for_the_sensor_and_for_hosts(fleet: Fleet) -> None:
    """600 strangers, and room for 400 open files."""
    server, nas = fleet.server(), fleet.client("nas")
    server.prefix = ["sh", "-c", 'ulimit -n 400; exec "$@"', "sh"]
    fleet.up(server, nas)
    server.says("only 400 files can be open: 144 connections instead of 2048")
    with half_open(fleet.port, 600):
        fleet.mains("off")
        nas.says("on battery · outage")
        with Caller(fleet.authority.client("db"), fleet.port) as caller:
            caller.says(HELLO)
            assert caller.hears()["upses"]["ups"]["state"] == "on_battery"
        server.says("refused a stranger at 127.0.0.1: too many connections")
    assert server.said("power unknown · .*many open files|Traceback|Too many open") == []


@together
def test_a_port_that_is_taken_is_an_error_and_not_half_a_server(fleet: Fleet) -> None:
    """Only IPv4 has it: a server on IPv6 alone would look alive, and no host would find it."""
    server = fleet.server(listen__address="")
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        server.configure(listen__port=port)
        server.start()
        assert server.ended() == 1
    server.says(rf"0\.0\.0\.0 port {port}: Address already in use")


@together
def test_a_disk_that_hangs_delays_neither_the_news_nor_the_end(fleet: Fleet) -> None:
    server, nas = fleet.server(policy__after=60), fleet.client("nas")
    server.begins_with(HANGING_CARD)
    fleet.up(server, nas)
    fleet.mains("off")
    # Twice the bound for the card: it may still owe the return of the mains.
    nas.says("on battery · outage", within=12)
    server.says("not written within 2 s · an outage would be forgotten")
    assert wait_for("faults", lambda: fleet.report(server)["faults"])
    fleet.mains("on")
    nas.says("mains are back", within=12)
    ending = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - ending < 6


@together
def test_nobody_is_told_of_an_outage_before_it_is_on_disk_who_may_go_down(fleet: Fleet) -> None:
    """The power may go at any moment from then on; the card takes a second to write."""
    server, nas = fleet.server(policy__after=60), fleet.client("nas")
    server.begins_with(SLOW_CARD)
    fleet.up(server, nas)
    began = fleet.mains("off")
    nas.says("on battery · outage")
    assert boottime() - began >= CONFIRM + 1
    kept = json.loads((server.state / "server-recovery.json").read_text("utf-8"))
    assert "nas" in json.dumps(kept)


@together
def test_a_server_that_has_lost_a_part_ends_and_says_which(fleet: Fleet) -> None:
    """Whoever supervises it starts a whole one; clients that count go on counting."""
    server = fleet.server()
    server.begins_with(BROKEN_PART)
    server.start()
    assert server.ended() == 1
    server.says("CRITICAL the server ends: a part of the server broke")


@together
def test_a_countdown_outlives_an_error_that_nobody_thought_of(fleet: Fleet) -> None:
    """Nothing may supervise the client: it is not left dead, but connects again and counts on."""
    server, nas = fleet.server(policy__after=4), fleet.client("nas")
    nas.begins_with(BROKEN_NEWS)
    fleet.up(server, nas)
    with nas.says_again("server found"):
        lost_at = fleet.mains("off")
        nas.says("an error that nobody thought of; the countdown goes on")
    assert 4 - 0.05 <= fleet.down("nas") - lost_at <= 4 + 2.5


@together
def test_a_countdown_waits_for_no_disk(fleet: Fleet) -> None:
    """The one on which the server's address is kept hangs from the first connection on."""
    server, nas = fleet.server(policy__after=3), fleet.client("nas")
    nas.begins_with(HANGING_DISK)
    fleet.up(server, nas)
    lost_at = fleet.mains("off")
    assert 3 - 0.05 <= fleet.down("nas") - lost_at <= 3 + 2.5


@together
def test_a_changed_rate_of_repayment_is_applied_on_reload(fleet: Fleet) -> None:
    server = fleet.server(refill_ratio=1000)
    server.start().says("on mains")
    fleet.mains("off")
    server.says("on battery")
    time.sleep(0.5)
    fleet.mains("on")
    server.says("is over after")
    server.configure(refill_ratio=1)
    server.reload()
    wait_for("repayment", lambda: fleet.report(server)["upses"]["ups"]["spent"] == 0)
