"""`powmonman status` and `powmonman watch`: what they say, where, and their exit codes."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from powmonman.service.files import socket_address

from .daemon import clean_environment, wait_for
from .stage import together

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from .daemon import Daemon
    from .fleet import Fleet


def status(fleet: Fleet, daemon: Daemon, *options: str) -> CompletedProcess[str]:
    return fleet.run("status", "--config", str(daemon.config), *options)


@together
def test_the_exit_code_is_for_monitoring(fleet: Fleet) -> None:
    """0 on mains, 1 for what is missing or unknown, 2 on battery, 3 when nobody answers."""
    server = fleet.server(clients=["nas", "db"], policy__after=600)
    nas, db = fleet.client("nas"), fleet.client("db")
    fleet.up(server, nas, db)
    for asker in (server, nas):
        fine = status(fleet, asker)
        assert (fine.returncode, fine.stderr) == (0, "")
        assert "OK · fleet test on " in fine.stdout
        assert "on mains, 2 hosts connected" in fine.stdout

    db.stop()
    wait_for("db is gone", lambda: not fleet.row(server, "db")["connected"])
    missing = status(fleet, nas)
    assert missing.returncode == 1
    assert "WARNING · " in missing.stdout
    assert "not connected: db" in missing.stdout

    fleet.mains("unknown")
    nas.says("power unknown")
    assert "power unknown: ups · not connected: db" in status(fleet, server).stdout

    fleet.mains("off")
    nas.says("on battery · outage")
    for asker in (server, nas):
        critical = status(fleet, asker)
        assert critical.returncode == 2
        assert "CRITICAL · fleet test on " in critical.stdout

    server.stop()
    for asker, reason in ((server, "is powmonman-server running?"), (nas, "Connection refused")):
        nobody = status(fleet, asker)
        assert (nobody.returncode, nobody.stdout) == (3, "")
        assert reason in nobody.stderr
        assert "Traceback" not in nobody.stderr


@together
def test_programs_get_json_and_people_a_table(fleet: Fleet) -> None:
    server = fleet.server(clients=["nas", "desk", "mail"], policy__after=600)
    nas = fleet.client("nas", policy__after=300)
    desk = fleet.client("desk", dry_run=True)
    fleet.up(server, nas, desk)
    fleet.mains("off")
    desk.says("on battery · outage")
    for name in ("nas", "desk"):
        wait_for("phases", lambda n=name: fleet.row(server, n)["phase"] == "counting")
    for asker in (server, nas):
        report = json.loads(status(fleet, asker, "--json").stdout)
        assert report["fleet"] == "test"
        assert report["upses"]["ups"]["state"] == "on_battery"
        rows = {row["name"]: row for row in report["clients"]}
        assert list(rows) == ["desk", "mail", "nas"]
        assert {name: row["connected"] for name, row in rows.items()} == {
            "desk": True,
            "mail": False,
            "nas": True,
        }
        assert 590 < rows["desk"]["left"] <= 600
        assert 290 < rows["nas"]["left"] <= 300
    lines = status(fleet, server).stdout.splitlines()
    (row,) = (line.split() for line in lines if line.startswith("desk"))
    assert row[:2] == ["desk", "yes"]
    assert "counting (dry run)" in " ".join(row)
    (row,) = (line.split() for line in lines if line.startswith("mail"))
    assert row == ["mail", "NO", "-", "never", "seen", "-", "10", "min", "no", "-"]


@together
def test_asking_does_not_take_a_hosts_place(fleet: Fleet) -> None:
    """The question comes with the certificate of the host, beside its client."""
    server, nas = fleet.server(), fleet.client("nas")
    fleet.up(server, nas)
    for _ in range(3):
        assert status(fleet, nas).returncode == 0
    assert fleet.row(server, "nas")["connected"]
    assert len(server.said("nas has joined")) == 1
    assert nas.said("connection .* lost") == []


@together
def test_a_revoked_host_may_not_ask(fleet: Fleet) -> None:
    server = fleet.server(tls__revoked=[fleet.authority.fingerprint("nas")])
    server.start().says("listening on")
    refused = status(fleet, fleet.client("nas"))
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "the certificate of nas is revoked" in refused.stderr


@together
def test_watch_shows_every_change_and_stops_in_time(fleet: Fleet) -> None:
    server, nas = fleet.server(policy__after=600), fleet.client("nas")
    fleet.up(server, nas)
    shown = fleet.path("shown")
    options = ("--config", str(server.config), "--every", "0.2", "--for", "8")
    with shown.open("w", encoding="utf-8") as output:
        watch = subprocess.Popen(
            [sys.executable, "-m", "powmonman", "watch", *options],
            stdout=output,
            env=clean_environment({}),
        )
    try:
        wait_for("a table", lambda: "OK · " in shown.read_text("utf-8"))
        fleet.mains("off")
        wait_for("the change", lambda: "CRITICAL · " in shown.read_text("utf-8"))
        assert watch.wait(20) == 2
    finally:
        watch.kill()
        watch.wait()
    assert "\033" not in shown.read_text("utf-8")


@together
def test_watch_goes_on_without_a_server(fleet: Fleet) -> None:
    server = fleet.server()
    watched = fleet.run("watch", "--config", str(server.config), "--every", "0.1", "--for", "0.5")
    assert watched.returncode == 3
    assert watched.stdout.count("is powmonman-server running?") == 1


@pytest.mark.parametrize("answer", [b"", b"no json\n", b'{"type":"state"}\n'])
def test_an_answer_that_is_none_is_an_error_and_not_a_crash(fleet: Fleet, answer: bytes) -> None:
    """As when the server is killed in the middle of its answer."""
    server = fleet.server()
    with socket.socket(socket.AF_UNIX) as listener:
        with socket_address(server.runtime / "server.sock") as address:
            listener.bind(address)
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        asked = status(fleet, server)
    assert (asked.returncode, asked.stdout) == (3, "")
    assert "Traceback" not in asked.stderr


def test_a_server_that_hangs_is_reported_after_its_time(fleet: Fleet) -> None:
    server = fleet.server()
    server.start().says("listening on")
    with server.paused():
        asked = status(fleet, server)
    assert asked.returncode == 3
    assert "timed out" in asked.stderr


def test_a_missing_or_broken_configuration_is_unknown(fleet: Fleet) -> None:
    missing = fleet.run("status", "--config", str(fleet.path("server.yml")))
    assert missing.returncode == 3
    assert "No such file" in missing.stderr
    assert "Traceback" not in missing.stderr
