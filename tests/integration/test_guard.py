"""A machine that guards itself: real processes from one file, and what may befall each of them."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from powmonman.guard.child import Child, _running
from powmonman.service.clock import boottime

from .daemon import sleep_until, wait_for
from .stage import together
from .test_service_manager import under

if TYPE_CHECKING:
    from powmonman.service.process import Process

    from .daemon import Daemon
    from .fleet import Fleet

AFTER = 10.0
# A countdown that had begun anew at RESTART would be later than LATE.
RESTART = 6.0
LATE = 5.5


def up(guard: Daemon) -> Daemon:
    """Start a guard, and wait until its client knows of the mains."""
    guard.start()
    guard.says("(now:|INFO   ) on mains")
    return guard


def parts(guard: Daemon, kind: str) -> list[Process]:
    """Return the processes of one kind that run for this guard's machine."""
    return list(_running((kind, "--config", str(guard.runtime / f"{kind}.yml"))))


def part(guard: Daemon, kind: str) -> int:
    """Return the id of the one process of its kind."""
    (process,) = parts(guard, kind)
    return process.pid


def counting(fleet: Fleet, guard: Daemon) -> float:
    """Pull the plug, and wait until the client counts; return when the plug was pulled."""
    lost = fleet.mains("off")
    guard.says("WARNING on battery · outage")
    return lost


def charge_of(fleet: Fleet, guard: Daemon) -> object:
    """Return the charge that the server part publishes."""
    (ups,) = fleet.report(guard)["upses"].values()
    return ups["charge"]


def in_time(fleet: Fleet, lost: float, after: float = AFTER) -> None:
    """Wait for the end; it must be neither early nor late, and come once."""
    took = fleet.down("laptop") - lost
    assert after - 0.5 <= took <= after + LATE
    sleep_until(boottime() + 1)
    assert fleet.ran("laptop") == ["poweroff"]


@together
def test_an_outage_that_lasts_shuts_the_machine_down_once(fleet: Fleet) -> None:
    guard = up(fleet.guard("save"))
    lost = fleet.mains("off")
    took = fleet.down("laptop") - lost
    assert 3.5 <= took <= 4 + LATE
    sleep_until(boottime() + 3)
    assert fleet.ran("laptop") == ["save", "poweroff"]
    assert guard.stop() == 0
    assert not parts(guard, "server")
    assert not parts(guard, "client")


@together
def test_only_the_client_is_root(fleet: Fleet) -> None:
    guard = up(fleet.guard())
    server, client = part(guard, "server"), part(guard, "client")
    assert Path(f"/proc/{client}").stat().st_uid == os.geteuid()
    if os.geteuid() == 0:
        status = Path(f"/proc/{server}/status").read_text("ascii")
        nobody = pwd.getpwnam("nobody")
        assert f"Uid:\t{nobody.pw_uid}\t{nobody.pw_uid}" in status
        assert f"Groups:\t{nobody.pw_gid} \n" in status
        guard.says("the server part runs as nobody")
    with contextlib.closing(socket.create_connection(("127.0.0.1", fleet.port), 5)) as sock:
        assert sock.getpeername()[0] == "127.0.0.1"


@together
def test_half_of_the_charge_shuts_it_down_and_no_time(fleet: Fleet) -> None:
    guard = fleet.guard(policy={"min_observe": 1, "confirm": 0.3, "charge_drop": 0.5})
    fleet.mains("on", charge=80)
    up(guard)
    fleet.mains("off", charge=80)
    guard.says("WARNING on battery · outage")
    fleet.mains("off", charge=72)
    wait_for("72 %", lambda: charge_of(fleet, guard) == 72)
    for charge in (63, 54, 45):
        fleet.mains("off", charge=charge)
        wait_for("it", lambda c=charge: charge_of(fleet, guard) == c)
    assert fleet.history == []
    fleet.mains("off", charge=39)
    fleet.down("laptop")
    guard.says("charge 39 %, down from 80 % when the outage began")


@together
def test_the_return_of_the_mains_cancels(fleet: Fleet) -> None:
    guard = up(fleet.guard(policy__after=5))
    lost = counting(fleet, guard)
    fleet.mains("on")
    guard.says("mains are back")
    sleep_until(lost + 5 + LATE)
    assert fleet.history == []


@together
def test_a_server_part_that_is_killed_costs_no_time(fleet: Fleet) -> None:
    guard = up(fleet.guard(policy__after=AFTER))
    lost = counting(fleet, guard)
    os.kill(part(guard, "server"), signal.SIGKILL)
    guard.says("the server was ended by SIGKILL · again in 2 s · the client counts on alone")
    guard.says("the server is back")
    in_time(fleet, lost)


@together
def test_a_server_part_that_stands_still_costs_a_lease_at_most(fleet: Fleet) -> None:
    guard = up(fleet.guard(policy__after=AFTER))
    lost = counting(fleet, guard)
    os.kill(part(guard, "server"), signal.SIGSTOP)
    took = fleet.down("laptop", within=4 * AFTER) - lost
    assert AFTER - 0.5 <= took <= 2 * AFTER + LATE


@together
def test_a_client_part_that_is_killed_goes_on_where_it_was(fleet: Fleet) -> None:
    guard = up(fleet.guard(policy__after=AFTER))
    lost = counting(fleet, guard)
    sleep_until(lost + RESTART)
    os.kill(part(guard, "client"), signal.SIGKILL)
    guard.says("the client was ended by SIGKILL · again in 2 s · the plan is kept")
    guard.says("resumed: counting")
    in_time(fleet, lost)


@together
def test_a_guard_restarted_in_mid_outage_neither_loses_nor_restarts_the_countdown(
    fleet: Fleet,
) -> None:
    guard = up(fleet.guard(policy__after=AFTER))
    lost = counting(fleet, guard)
    sleep_until(lost + RESTART)
    assert guard.stop() == 0
    guard.start().says("resumed: counting")
    in_time(fleet, lost)


@together
def test_a_guard_that_is_killed_leaves_the_countdown_running(fleet: Fleet) -> None:
    guard = up(fleet.guard(policy__after=AFTER))
    lost = counting(fleet, guard)
    guard.kill()
    in_time(fleet, lost)


@together
def test_a_guard_started_after_a_kill_replaces_what_the_other_left(fleet: Fleet) -> None:
    guard = up(fleet.guard(policy__after=AFTER))
    lost = counting(fleet, guard)
    before = {kind: part(guard, kind) for kind in ("server", "client")}
    sleep_until(lost + RESTART)
    guard.kill()
    guard.start().says("resumed: counting")
    for kind, pid in before.items():
        guard.says(rf"an earlier guard left its {kind} running \(process {pid}\): replaced")
        assert part(guard, kind) != pid
    in_time(fleet, lost)
    assert len(parts(guard, "server")) == len(parts(guard, "client")) == 1


@together
def test_a_second_guard_of_the_same_machine_is_refused(fleet: Fleet) -> None:
    guard = up(fleet.guard())
    before = part(guard, "server"), part(guard, "client")
    second = fleet.run("guard", "--config", str(guard.config))
    assert (second.returncode, second.stdout) == (1, "")
    assert "a guard is running already" in second.stderr
    assert before == (part(guard, "server"), part(guard, "client"))


@together
def test_a_bad_file_changes_nothing_on_reload_and_a_good_one_does(fleet: Fleet) -> None:
    guard = up(fleet.guard(policy__after=600))
    before = part(guard, "server"), part(guard, "client")
    derived = (guard.runtime / "client.yml").read_bytes()
    good = guard.config.read_bytes()
    guard.config.write_text("policy: {afer: 4}\n", encoding="utf-8")
    guard.reload()
    guard.says("reload refused, the running configuration stays:")
    guard.says("guard.yml:1:10: policy.afer: unknown key")
    assert derived == (guard.runtime / "client.yml").read_bytes()
    assert not guard.said(r"reloaded .*client\.yml")
    lost = counting(fleet, guard)

    guard.config.write_bytes(good)
    port = fleet.port
    guard.configure(policy__after=AFTER, port=port - 1)
    guard.reload()
    guard.says(r"reloaded .*client\.yml")
    guard.says(r"reloaded .*server\.yml")
    guard.says("port has changed: it takes effect with the next restart")
    in_time(fleet, lost)
    assert before == (part(guard, "server"), part(guard, "client"))


@together
def test_it_waits_for_a_port_that_somebody_else_has(fleet: Fleet) -> None:
    guard = fleet.guard()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", fleet.port))
        other.listen()
        guard.start().says("the server ended with exit code 1 · again in 2 s")
        guard.says("Address already in use")
        assert guard.running
    guard.says("(now:|INFO   ) on mains")


@together
def test_an_unprivileged_user_can_guard_too(fleet: Fleet) -> None:
    guard = fleet.guard(policy__after=3)
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        guard.prefix = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        for path in (guard.directory, guard.config):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
    up(guard)
    guard.says("the server part runs as this user too")
    guard.says("not root, and shutdown.via is direct")
    lost = counting(fleet, guard)
    in_time(fleet, lost, 3)


@together
def test_who_cannot_write_where_it_keeps_its_state_is_told_what_to_set(fleet: Fleet) -> None:
    guard = fleet.guard(state_dir="/proc/guard")
    refused = fleet.run("guard", "--config", str(guard.config))
    assert refused.returncode == 1
    assert "powmonman guard: /proc/guard: " in refused.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="there is nobody above this user")
def test_root_runs_no_commands_from_a_file_that_others_can_write(fleet: Fleet) -> None:
    guard = fleet.guard()
    guard.config.chmod(0o666)
    refused = fleet.run("guard", "--config", str(guard.config))
    assert refused.returncode == 1
    assert "names commands that root runs, but" in refused.stderr
    assert not guard.state.exists()


@together
def test_a_service_manager_hears_when_both_are_ready_and_of_a_reload(fleet: Fleet) -> None:
    guard = fleet.guard()
    with under(fleet.path("n"), guard) as manager:
        up(guard)
        wait_for("ready", lambda: manager.words("READY"))
        assert fleet.report(guard)["clients"][0]["name"] == socket.gethostname()
        assert manager.words("WATCHDOG") == []
        os.kill(part(guard, "server"), signal.SIGKILL)
        wait_for("word of it", lambda: "the server was ended" in " ".join(manager.words("STATUS")))
        wait_for("its return", lambda: manager.words("STATUS")[-1].startswith("guards"))
        guard.signal(signal.SIGHUP)
        wait_for("a reload", lambda: manager.words("RELOADING"))
        wait_for("ready again", lambda: len(manager.words("READY")) == 2)
        assert guard.stop() == 0


@together
def test_every_command_for_the_operator_takes_the_guards_file(fleet: Fleet) -> None:
    guard = up(fleet.guard(warn_users=True, policy__after=30))
    where = ("--config", str(guard.config))
    verified = fleet.run("verify", "--wait", "20", *where)
    assert (verified.returncode, json.loads(verified.stdout)["faults"]) == (0, [])
    assert fleet.run("status", *where).stdout.startswith("OK · fleet powmonman")
    assert fleet.run("watch", "--for", "0.1", *where).returncode == 0
    assert "shuts down 30 s after the loss" in fleet.run("plan", *where).stdout
    assert fleet.run("check-config", str(guard.config)).returncode == 0
    assert fleet.run("simulate", "off", *where).returncode == 0
    guard.says("WARNING on battery · outage")
    assert fleet.run("simulate", "on", *where).returncode == 0
    guard.says("mains are back")
    ordered = fleet.run("shutdown-fleet", "--confirm", "powmonman", *where)
    assert (ordered.returncode, ordered.stderr) == (0, "")
    fleet.down("laptop")


@together
def test_a_process_that_says_nothing_twice_in_a_row_hangs(fleet: Fleet) -> None:
    server, nas = fleet.server(), fleet.client("nas")
    server.start().says("listening on")
    child = Child("client", nas.config, None)
    child.start()
    try:

        def ready() -> bool:
            child.listen()
            return child.ready

        wait_for("it is ready", ready)
        assert not child.hangs()
        child.signal(signal.SIGSTOP)
        child.listen()
        assert child.hangs() or child.hangs()
        child.signal(signal.SIGCONT)
        wait_for("it lives again", lambda: not child.hangs())
    finally:
        child.signal(signal.SIGCONT)
        child.stop()
