"""`powmonman verify`: what the roll-out ends with on every host."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import powmonman
from powmonman import cli
from powmonman.service.program import place

from .stage import together

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from .daemon import Daemon
    from .fleet import Fleet


def verify(fleet: Fleet, daemon: Daemon, *options: str) -> tuple[int, dict[str, Any]]:
    ran = fleet.run("verify", "--config", str(daemon.config), *options)
    assert ran.stderr == ""
    return ran.returncode, json.loads(ran.stdout)


def own_identity(fleet: Fleet, daemon: Daemon) -> Path:
    """Give a daemon a copy of its certificate that a test may spoil."""
    copy = fleet.path(f"{daemon.directory.name}.pem")
    shutil.copy(daemon.settings["tls"]["identity"], copy)
    daemon.configure(tls__identity=str(copy))
    return copy


@together
def test_a_host_that_is_protected_has_no_faults(fleet: Fleet) -> None:
    server, nas = fleet.server(), fleet.client("nas")
    fleet.up(server, nas)
    code, found = verify(fleet, nas, "--wait", "3")
    assert (code, found["ok"], found["faults"]) == (0, True, [])
    assert found["facts"]["server"] == "127.0.0.1"
    assert found["facts"]["power"] == "on_mains"
    assert found["facts"]["on_lost_contact"] == "stays up"
    code, found = verify(fleet, server)
    assert (code, found["ok"], found["faults"]) == (0, True, [])
    assert found["facts"]["upses"]["ups"]["state"] == "on_mains"


@together
def test_the_connection_is_known_as_soon_as_it_stands_and_as_it_is_lost(fleet: Fleet) -> None:
    server, nas = fleet.server(), fleet.client("nas")
    nas.start()
    nas.says("no connection")
    assert verify(fleet, nas)[1]["faults"] == ["not connected to the server"]
    server.start()
    nas.says("server found")
    nas.says("on mains")
    assert verify(fleet, nas)[1]["faults"] == []
    server.kill()
    nas.says("connection .* lost")
    assert verify(fleet, nas)[1]["faults"] == ["not connected to the server"]


@together
def test_it_waits_as_long_as_it_is_told(fleet: Fleet) -> None:
    server, nas = fleet.server(), fleet.client("nas")
    nas.start()
    nas.says("no connection")
    server.start()
    assert verify(fleet, nas, "--wait", "20")[0] == 0


@together
def test_a_client_that_does_not_run_is_a_fault(fleet: Fleet) -> None:
    server, nas = fleet.server(), fleet.client("nas")
    assert verify(fleet, nas)[1]["faults"] == ["the client is not running"]
    fleet.up(server, nas)
    nas.kill()
    expected = {"ok": False, "faults": ["the client is not running"], "warnings": []}
    assert verify(fleet, nas) == (1, expected | {"facts": verify_facts(fleet, nas)})


def verify_facts(fleet: Fleet, daemon: Daemon) -> dict[str, Any]:
    return dict(verify(fleet, daemon)[1]["facts"])


def test_what_the_server_warns_of_is_passed_on_and_no_fault(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = ["nas goes down 40 s after the battery's end, if all waits are as long as they may be"]
    upses = {"ups": {"state": "on_mains", "reason": ""}}
    running = {"program": str(place()), "version": powmonman.__version__}
    report = running | {"upses": upses, "faults": [], "warnings": said}
    monkeypatch.setattr("powmonman.verify.fetch", lambda _: report)
    code = cli.main(["verify", "--config", str(fleet.server().config)])
    found = json.loads(capsys.readouterr().out)
    assert (code, found["faults"], found["warnings"]) == (0, [], said)


def test_a_preset_that_would_not_work_is_a_fault(fleet: Fleet) -> None:
    nas = fleet.client("nas", shutdown__presets=["podman_containers"])
    fault = "preset podman_containers: podman can't list root's containers"
    fleet.tool("podman", exit_code=1)
    assert fault in verify(fleet, nas)[1]["faults"]
    fleet.tool("podman")
    assert fault not in verify(fleet, nas)[1]["faults"]


@together
def test_commands_that_are_not_there_are_named(fleet: Fleet) -> None:
    nas = fleet.client(
        "nas",
        {"command": ["/nonexistent/stop-vms"]},
        {"command": ["no-such-program-anywhere", "now"]},
        {"command": ["sh", "-c", "true"]},
    )
    faults = verify(fleet, nas)[1]["faults"]
    assert faults == [
        "shutdown command not found or not executable: /nonexistent/stop-vms",
        "shutdown command not found or not executable: no-such-program-anywhere",
        "the client is not running",
    ]


@together
def test_an_identity_that_everybody_can_read_is_a_fault(fleet: Fleet) -> None:
    server, nas = fleet.server(), fleet.client("nas")
    keys = {daemon: own_identity(fleet, daemon) for daemon in (server, nas)}
    fleet.up(server, nas)
    for daemon, key in keys.items():
        key.chmod(0o644)
        code, found = verify(fleet, daemon, "--wait", "1")
        assert (code, found["faults"]) == (1, [f"{key}: the private key is readable by everybody"])
        key.chmod(0o640)
        assert verify(fleet, daemon, "--wait", "1")[0] == 0


@together
def test_an_identity_that_is_missing_is_a_fault(fleet: Fleet) -> None:
    nas = fleet.client("nas")
    own_identity(fleet, nas).unlink()
    assert "nas.pem: no such file" in verify(fleet, nas)[1]["faults"][0]


@together
def test_a_server_that_does_not_know_the_power_is_a_fault_on_every_host(fleet: Fleet) -> None:
    server, nas = fleet.server(), fleet.client("nas")
    fleet.mains("unknown")
    server.start().says("the file says unknown")
    nas.start().says("server found")
    assert verify(fleet, server)[1]["faults"] == ["UPS ups: power unknown: the file says unknown"]
    (fault,) = verify(fleet, nas)[1]["faults"]
    assert fault == "connected, but the power is unknown: ups: the file says unknown"


@together
def test_a_server_that_does_not_run_is_a_fault(fleet: Fleet) -> None:
    code, found = verify(fleet, fleet.server())
    assert code == 1
    assert "is powmonman-server running?" in found["faults"][0]


@together
def test_a_client_that_stands_still_is_a_fault(fleet: Fleet) -> None:
    """Its last word is laid back in time, as if it had hung since."""
    server, nas = fleet.server(), fleet.client("nas")
    fleet.up(server, nas)
    assert verify(fleet, nas, "--wait", "10")[0] == 0
    with nas.paused():
        view = nas.runtime / "client.json"
        said = json.loads(view.read_text("utf-8"))
        said["stamp"] -= 60
        view.write_text(json.dumps(said), encoding="utf-8")
        (fault,) = verify(fleet, nas)[1]["faults"]
    assert fault.startswith("the client's clock does not tick: its last word is 6")


@together
def test_a_configuration_with_mistakes_is_a_fault(fleet: Fleet) -> None:
    nas = fleet.client("nas")
    nas.config.write_text("polisy: {}\n", encoding="utf-8")
    code, found = verify(fleet, nas)
    assert code == 1
    assert "client.yml:1:1: polisy: unknown key" in found["faults"][0]


@together
def test_roots_unit_must_be_active_where_it_is_to_run_the_commands(fleet: Fleet) -> None:
    server, nas = fleet.server(), fleet.client("nas", shutdown__via="unit")
    fleet.up(server, nas)
    fleet.tool("systemctl", says="loaded")
    assert verify(fleet, nas, "--wait", "1")[1]["faults"] == []
    assert fleet.calls("systemctl") == [
        "is-active --quiet powmonman-shutdown.path",
        "is-active --quiet powmonman-shutdown-check.path",
        "show --property=LoadState --value powmonman-shutdown.service",
    ]
    fleet.tool("systemctl", exit_code=3)
    assert verify(fleet, nas, "--wait", "1")[1]["faults"] == [
        "powmonman-shutdown.path is not active: nothing would shut this host down",
        "powmonman-shutdown-check.path is not active: no drill could check the commands",
        "powmonman-shutdown.service is not known: nothing would run the commands",
    ]


@together
def test_a_ups_that_the_server_does_not_watch_is_a_fault_while_all_is_well(fleet: Fleet) -> None:
    """On mains by the other one; in an outage this host would wait for news for ever."""
    server, nas = fleet.server(), fleet.client("nas", upses=["ups", "usp"])
    fleet.up(server, nas)
    code, found = verify(fleet, nas, "--wait", "1")
    assert code == 1
    assert found["faults"] == [
        "connected, but the server watches no UPS 'usp'",
    ]
