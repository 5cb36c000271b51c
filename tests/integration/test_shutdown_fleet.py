"""`powmonman shutdown-fleet`: the operator's order, and who may not give it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from powmonman.config.loader import load
from powmonman.config.schema import ServerConfig
from powmonman.core.messages import ShutdownFleet, encode
from powmonman.status import StatusError, ask_locally

from .daemon import clean_environment, wait_for
from .peers import Caller
from .stage import together

if TYPE_CHECKING:
    from .fleet import Fleet


@together
def test_every_host_goes_down_though_the_mains_are_on(fleet: Fleet) -> None:
    server = fleet.server(clients=["nas", "desk", "mail"])
    nas, desk = fleet.client("nas", "backup"), fleet.client("desk", dry_run=True)
    fleet.up(server, nas, desk)
    said = fleet.run("shutdown-fleet", "--config", str(server.config), "--confirm", "test")
    assert (said.returncode, said.stderr) == (0, "")
    assert "mail  not connected: does not hear of it" in said.stdout
    fleet.down("nas")
    assert fleet.ran("nas") == ["backup", "poweroff"]
    assert fleet.ran("desk") == []
    desk.says("dry run: would shut down now · ordered by the operator")
    server.says("CRITICAL the whole fleet is shut down, as ordered by the user with uid")
    server.says("nas is committed · ordered by the operator")


@together
def test_a_host_that_waits_for_another_obeys_by_waiting(fleet: Fleet) -> None:
    server = fleet.server(clients=["nas", "web"], order={"settle": 0.5, "gone_after": 3})
    nas, web = fleet.client("nas", wait_for=["web"], wait_timeout=60), fleet.client("web")
    fleet.up(server, nas, web)
    said = fleet.run("shutdown-fleet", "--config", str(server.config), "--confirm", "test")
    assert (said.returncode, said.stderr) == (0, "")
    assert "nas   shuts down after web\n" in said.stdout
    assert "nas: waits for web, then shuts down\n" in said.stdout
    assert fleet.ran("nas") == []
    fleet.down("web")
    web.kill()
    fleet.down("nas")


@together
def test_a_host_that_comes_back_within_minutes_stays_up(fleet: Fleet) -> None:
    server, nas = fleet.server(), fleet.client("nas")
    fleet.up(server, nas)
    fleet.run("shutdown-fleet", "--config", str(server.config), "--confirm", "test")
    fleet.down("nas")
    nas.kill()
    for kept in nas.runtime.iterdir():
        kept.unlink()  # as a boot does
    nas.start().says("server found")
    wait_for("nas is idle", lambda: fleet.row(server, "nas")["phase"] == "idle")
    assert fleet.ran("nas") == ["poweroff"]


@together
def test_without_the_fleets_name_nothing_happens(fleet: Fleet) -> None:
    server, nas = fleet.server(), fleet.client("nas")
    fleet.up(server, nas)
    for answer in ("", "yes\n", "Test\n"):
        said = subprocess.run(
            [sys.executable, "-m", "powmonman", "shutdown-fleet", "--config", str(server.config)],
            input=answer,
            capture_output=True,
            text=True,
            check=False,
            env=clean_environment({}),
        )
        assert said.returncode == 2
        assert "not confirmed: the fleet's name is test" in said.stderr
    assert not server.said("shut down, as ordered")
    assert fleet.history == []


@together
def test_no_client_can_give_the_order(fleet: Fleet) -> None:
    server, nas = fleet.server(), fleet.client("nas")
    fleet.up(server, nas)
    said = fleet.run("shutdown-fleet", "--config", str(nas.config), "--confirm", "test")
    assert said.returncode == 2
    with Caller(fleet.authority.client("db"), fleet.port) as caller:
        caller.says(encode(ShutdownFleet("test")))
        assert caller.hears_the_end() == "the first message must be hello or query"
    assert fleet.history == []


@together
def test_another_fleets_name_is_refused_by_the_server_too(fleet: Fleet) -> None:
    server, nas = fleet.server(), fleet.client("nas")
    fleet.up(server, nas)
    with pytest.raises(StatusError, match="this is fleet test, not other"):
        ask_locally(load(server.config, ServerConfig), ShutdownFleet("other"))
    assert fleet.history == []
