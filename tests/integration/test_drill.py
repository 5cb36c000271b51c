"""A drill over real processes: everything happens but the last command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from powmonman.client.shutdown import RESERVED
from powmonman.config.loader import load
from powmonman.config.schema import ServerConfig
from powmonman.core.messages import Query, StartDrill, StopDrill
from powmonman.status import StatusError, ask_locally

from .daemon import clean_environment, wait_for
from .stage import together

if TYPE_CHECKING:
    from .daemon import Daemon
    from .fleet import Fleet

# Also where these tests are run in the background, and so with SIGINT ignored.
INTERRUPTIBLE = ("env", "--default-signal=INT", sys.executable)


def drill(fleet: Fleet, server: Daemon, *options: str) -> tuple[int, dict[str, Any]]:
    """Run a drill to its end; return its exit code and what it has found, hosts by name."""
    said = fleet.run("drill", "--config", str(server.config), "--json", *options)
    assert said.stdout, said.stderr
    found = json.loads(said.stdout)
    return said.returncode, found | {"hosts": {host["name"]: host for host in found["hosts"]}}


def begin(server: Daemon, scale: float = 2.0) -> None:
    """Begin a drill, and do not wait for its end."""
    say(server, StartDrill("test", scale))


def say(server: Daemon, message: StartDrill | StopDrill | Query) -> dict[str, Any]:
    """Say something to the server on its own socket; return its report."""
    return ask_locally(load(server.config, ServerConfig), message)


def present(server: Daemon) -> dict[str, Any]:
    """Return the drill as the server has it now."""
    return dict(say(server, Query())["drill"])


def has_ended(server: Daemon) -> dict[str, Any]:
    """Wait for the end of the drill, and return what it has found."""
    wait_for("the drill is over", lambda: present(server)["over"])
    return present(server)


@together
def test_every_host_rehearses_and_no_command_is_run(fleet: Fleet) -> None:
    server = fleet.server(clients=["nas", "desk"])
    nas, desk = fleet.client("nas", "backup"), fleet.client("desk", policy__after=8)
    fleet.up(server, nas, desk)
    code, found = drill(fleet, server, "--scale", "4")
    assert (code, found["phase"], found["unprotected"]) == (0, "done", []), found
    for name, after in (("nas", 4), ("desk", 8)):
        host = found["hosts"][name]
        assert host["checked"]
        assert (host["faults"], host["verdict"]) == ([], "protected")
        assert host["told_ms"] > 0
        assert host["committed"] >= after
    nas.says("drill · dry run: would shut down now")
    assert not nas.said("shutdown requested")
    assert fleet.history == []
    assert all(row["committed"] is None for row in fleet.report(server)["clients"])
    nas.says("drill .* is over here")
    told = fleet.run("history", "--config", str(server.config))
    assert "drill" in told.stdout
    left = {file.name for file in nas.runtime.iterdir() if "shutdown" in file.name}
    assert left <= {RESERVED}


@together
def test_who_waits_for_another_goes_when_that_one_would_be_down(fleet: Fleet) -> None:
    """Nobody has measured web's shutdown: 60 s, and `settle`, all of it in the drill's time."""
    server, web = fleet.server(), fleet.client("web")
    nas = fleet.client("nas", wait_for=["web"])
    fleet.up(server, web, nas)
    code, found = drill(fleet, server, "--scale", "20")
    assert (code, found["unprotected"]) == (0, [])
    first, second = found["hosts"]["web"], found["hosts"]["nas"]
    assert (first["waited"], second["waited"]) == ([], ["web"])
    # In the drill's time: twenty times what a slow machine takes longer.
    assert 64 < second["committed"] - first["committed"] < 200
    assert fleet.history == []


@together
def test_a_real_outage_wins_at_once(fleet: Fleet) -> None:
    """The drill, in which nobody would go for minutes, ends; and the host goes in real time."""
    server, nas = fleet.server(policy__after=300), fleet.client("nas", policy__after=4)
    mail = fleet.client("mail")
    fleet.up(server, nas, mail)
    begin(server)
    wait_for("the drill has taken the mains", lambda: present(server)["phase"] == "on_battery")
    lost = fleet.mains("off")
    found = has_ended(server)
    assert (found["phase"], found["reason"]) == ("aborted", "ups is really on battery")
    went = fleet.down("nas")
    assert 4 <= went - lost < 15
    assert not server.said("drill .* waking")
    nas.says("drill .* is over here")


@together
def test_no_drill_begins_on_battery_or_while_the_power_is_unknown(fleet: Fleet) -> None:
    server, nas = fleet.server(policy__after=300), fleet.client("nas")
    fleet.up(server, nas)
    fleet.mains("off")
    nas.says("on battery · outage")
    said = fleet.run("drill", "--config", str(server.config))
    assert (said.returncode, said.stdout) == (3, "")
    assert "ups is really on battery" in said.stderr
    fleet.mains("unknown")
    server.says("power unknown · (?!the sensor)")
    said = fleet.run("drill", "--config", str(server.config))
    assert said.returncode == 3
    assert "the power of ups is really unknown" in said.stderr


@together
def test_a_host_with_a_missing_command_is_unprotected_and_named(fleet: Fleet) -> None:
    server, nas = fleet.server(), fleet.client("nas", {"command": ["no-such-program"]})
    fleet.up(server, nas)
    code, found = drill(fleet, server, "--scale", "4")
    reason = "shutdown command not found or not executable: no-such-program"
    assert (code, found["unprotected"]) == (1, ["nas"])
    assert found["hosts"]["nas"]["reason"] == reason
    said = fleet.run("drill", "--config", str(server.config), "--scale", "4")
    assert said.returncode == 1
    assert f"nas is UNPROTECTED: {reason}" in said.stdout


@together
def test_who_is_not_there_or_would_stay_up_is_unprotected(fleet: Fleet) -> None:
    server = fleet.server(clients=["nas", "desk", "never"])
    nas, desk = fleet.client("nas"), fleet.client("desk")
    mail = fleet.client("mail", dry_run=True)
    fleet.up(server, nas, desk, mail)
    desk.stop()
    server.says("desk has left")
    code, found = drill(fleet, server, "--scale", "4")
    assert (code, found["unprotected"]) == (1, ["desk", "mail", "never"])
    reasons = {name: host["reason"] for name, host in found["hosts"].items()}
    assert reasons == {
        "nas": "",
        "desk": "not connected",
        "never": "never connected",
        "mail": "dry run: it would not go down",
    }


@together
def test_a_host_that_stands_still_is_unprotected(fleet: Fleet) -> None:
    server, nas, desk = fleet.server(), fleet.client("nas"), fleet.client("desk", policy__after=8)
    fleet.up(server, nas, desk)
    begin(server, 1.0)
    wait_for("desk counts", lambda: desk.said("drill · on battery"))
    with desk.paused():
        found = has_ended(server)
    reasons = {host["name"]: host["reason"] for host in found["hosts"]}
    assert reasons == {"nas": "", "desk": "its connection ended in the drill"}


@together
def test_a_client_that_stops_or_loses_its_server_ends_the_drill_for_itself(fleet: Fleet) -> None:
    server, nas = fleet.server(policy__after=300), fleet.client("nas")
    fleet.up(server, nas)
    begin(server)
    nas.says("drill · on battery")
    with server.paused():
        nas.says("drill .* is over here · no contact with the server")
    assert has_ended(server)["unprotected"] == ["nas"]
    assert fleet.history == []


@together
def test_a_client_that_is_restarted_takes_part_again(fleet: Fleet) -> None:
    server, nas = fleet.server(policy__after=20), fleet.client("nas")
    mail = fleet.client("mail", policy__after=30)
    fleet.up(server, nas, mail)
    begin(server)
    nas.says("drill · on battery")
    nas.kill()
    server.says("nas has left")
    nas.start().says("drill · on battery")
    found = has_ended(server)
    assert (found["phase"], found["unprotected"]) == ("done", [])


@together
def test_a_server_that_is_restarted_has_no_drill(fleet: Fleet) -> None:
    server, nas = fleet.server(policy__after=300), fleet.client("nas")
    fleet.up(server, nas)
    begin(server)
    nas.says("drill · on battery")
    server.kill()
    server.start().says("listening on")
    nas.says("drill .* is over here")
    assert say(server, Query())["drill"] is None
    wait_for("nas is idle", lambda: fleet.row(server, "nas").get("phase") == "idle")
    assert fleet.history == []


@together
def test_it_is_stopped_by_a_word_by_ctrl_c_and_by_its_timeout(fleet: Fleet) -> None:
    server, nas = fleet.server(policy__after=300), fleet.client("nas")
    fleet.up(server, nas)
    command = [*INTERRUPTIBLE, "-m", "powmonman", "drill", "--config", str(server.config)]
    following = subprocess.Popen(command, stdout=subprocess.PIPE, env=clean_environment({}))
    nas.says("drill · on battery")
    # It follows the drill from its first line on.
    assert following.stdout is not None
    assert following.stdout.readline().startswith(b"drill ")
    following.send_signal(signal.SIGINT)
    output, _ = following.communicate(timeout=20)
    assert following.returncode == 3
    assert b"ended early: stopped by the user" in output
    nas.says("drill .* is over here")

    begin(server)
    with pytest.raises(StatusError, match="a drill is running"):
        begin(server)
    assert fleet.run("drill", "--config", str(server.config), "--stop").returncode == 0
    assert has_ended(server)["phase"] == "aborted"
    assert fleet.run("drill", "--config", str(server.config), "--stop").returncode == 3

    code, found = drill(fleet, server, "--timeout", "1")
    assert (code, found["phase"]) == (3, "aborted")


@together
def test_what_can_not_be_meant_is_refused(fleet: Fleet) -> None:
    server = fleet.server(policy__after=20000, upses__ups__runtime=100000)
    nas = fleet.client("nas")
    server.start().says("now:|on mains")
    with pytest.raises(StatusError, match="no host is connected"):
        begin(server)
    nas.start().says("on mains")
    with pytest.raises(StatusError, match="this is fleet test, not other"):
        say(server, StartDrill("other"))
    for scale in (0.5, -1.0, 1e6):
        with pytest.raises(StatusError, match="scale must be from 1 to 200"):
            begin(server, scale)
    with pytest.raises(StatusError, match="use a scale of 2 or more"):
        begin(server, 1.0)
    said = fleet.run("drill", "--live", "nas", "--confirm", "mail", "--config", str(server.config))
    assert (said.returncode, fleet.history) == (2, [])


@together
def test_a_reload_and_the_operators_order_end_it(fleet: Fleet) -> None:
    server, nas = fleet.server(policy__after=300), fleet.client("nas")
    fleet.up(server, nas)
    begin(server)
    server.reload()
    assert has_ended(server)["reason"] == "the configuration was reloaded"
    with nas.says_again("drill · on battery"):
        begin(server)
    fleet.run("shutdown-fleet", "--config", str(server.config), "--confirm", "test")
    fleet.down("nas")
    assert has_ended(server)["reason"] == "the operator shuts the fleet down"
    with pytest.raises(StatusError, match="the fleet is being shut down"):
        begin(server)


@together
def test_live_shuts_one_host_down_for_real_and_nobody_else(fleet: Fleet) -> None:
    """It waits for nobody either: none of the others goes."""
    server = fleet.server(order__settle=0.3, recovery__wake_after=0, recovery__reserve=0)
    nas, desk = fleet.client("nas", wait_for=["desk"]), fleet.client("desk")
    fleet.up(server, nas, desk)
    command = [*INTERRUPTIBLE, "-m", "powmonman", "drill", "--config", str(server.config)]
    following = subprocess.Popen(
        [*command, "--live", "nas", "--confirm", "nas", "--json"],
        stdout=subprocess.PIPE,
        env=clean_environment({}),
    )
    fleet.down("nas")
    nas.kill()
    with pytest.raises(StatusError, match="a host is being shut down and woken"):
        begin(server)
    wait_for("nas is down", lambda: say(server, Query())["drill_live"]["phase"] == "waking")
    server.says("nas: waking no. 1")
    left, *woken = server.said("nas has left|nas: waking")
    assert "nas has left" in left
    assert woken
    following.send_signal(signal.SIGINT)
    following.communicate(timeout=20)
    assert fleet.ran("desk") == []
    assert fleet.ran("nas") == ["poweroff"]
