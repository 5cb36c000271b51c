"""What the client does about a request that it has made."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import pytest

from powmonman.client import agent as module
from powmonman.client import shutdown
from powmonman.client.agent import Agent
from powmonman.config.schema import ClientConfig, Command, Shutdown, Tls
from powmonman.core.plan import Phase
from powmonman.core.power import PowerState
from powmonman.service.logs import Logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Via = Literal["direct", "unit"]

COMMANDS = Shutdown((), Command(("true",)))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Shutdown]:
    """Return what is started directly, instead of starting it."""
    commands: list[Shutdown] = []
    monkeypatch.setattr(shutdown, "start_directly", commands.append)
    monkeypatch.setattr(module, "TAKEN_WITHIN", 0.1)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return commands


@pytest.fixture
def committed(identities: Path, tmp_path: Path) -> Iterator[Callable[[Via], Agent]]:
    """Make clients that have just committed."""
    made = []

    def make(via: Via) -> Agent:
        config = ClientConfig(
            shutdown=replace(COMMANDS, via=via),
            tls=Tls(identity=str(identities / "hosts" / "nas.pem")),
            runtime_dir=str(tmp_path),
            state_dir=str(tmp_path),
            warn_users=False,
        )
        agent = Agent(tmp_path / "client.yml", config, Logs("powmonman.test"))
        agent._plan = replace(agent._plan, phase=Phase.COMMITTED, outage="o1")
        made.append(agent)
        return agent

    yield make
    for agent in made:
        for part in (agent._wake, agent._woken, agent._selector):
            part.close()


def later(agent: Agent) -> None:
    """Let the time pass that root has."""
    agent._check_request()
    time.sleep(0.15)
    agent._check_request()


def test_what_root_takes_up_is_left_to_root(
    committed: Callable[[Via], Agent], started: list[Shutdown], tmp_path: Path
) -> None:
    agent = committed("unit")
    agent._shut_down("why")
    (tmp_path / "shutdown").unlink()
    later(agent)
    assert started == []


def test_what_nobody_takes_up_is_withdrawn_and_run_directly(
    committed: Callable[[Via], Agent],
    started: list[Shutdown],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    agent = committed("unit")
    with caplog.at_level(logging.INFO):
        agent._shut_down("why")
        assert (tmp_path / "shutdown").read_text("utf-8") == "why\n"
        assert started == []
        later(agent)
        later(agent)
    assert started == [replace(COMMANDS, via="unit")]
    assert not (tmp_path / "shutdown").exists()
    assert "powmonman-shutdown.path did not take the request up: is it active?" in caplog.text


def test_who_is_not_root_leaves_the_request_to_root_however_late_it_is(
    committed: Callable[[Via], Agent],
    started: list[Shutdown],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a host that hardly responds, the path unit would find it withdrawn."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    agent = committed("unit")
    agent._shut_down("why")
    for _ in range(3):
        later(agent)
        assert (tmp_path / "shutdown").exists()
    assert started == []


def test_a_request_that_nobody_took_up_does_not_outlive_the_outage(
    committed: Callable[[Via], Agent],
    started: list[Shutdown],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else whoever starts the path unit at last would shut the host down."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    agent = committed("unit")
    agent._shut_down("why")
    later(agent)
    agent._plan = replace(agent._plan, power=PowerState.ON_MAINS)
    later(agent)
    assert not (tmp_path / "shutdown").exists()
    assert started == []


def test_commands_that_cannot_be_started_are_tried_again(
    committed: Callable[[Via], Agent], started: list[Shutdown], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process, no memory: for the moment."""
    tries = []

    def start(commands: Shutdown) -> None:
        tries.append(commands)
        if len(tries) < 3:
            raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(shutdown, "start_directly", start)
    agent = committed("direct")
    agent._shut_down("why")
    for _ in range(4):
        later(agent)
    assert len(tries) == 3
    assert started == []


@pytest.mark.parametrize("via", ["unit", "direct"])
def test_a_client_that_is_restarted_meanwhile_sees_the_request_through(
    committed: Callable[[Via], Agent], started: list[Shutdown], tmp_path: Path, via: Via
) -> None:
    (tmp_path / "shutdown").write_text("why\n", encoding="utf-8")
    agent = committed(via)
    agent._finish_request()
    later(agent)
    assert len(started) == 1
    again = committed(via)
    again._finish_request()
    later(again)
    assert len(started) == 1


def test_a_request_that_cannot_be_written_is_run_directly_and_once(
    committed: Callable[[Via], Agent],
    started: list[Shutdown],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutdown, "prepare", full)
    agent = committed("unit")
    agent._shut_down("why")
    later(agent)
    assert len(started) == 1
    assert "No space left on device · starting the commands directly" in caplog.text


def test_something_else_in_the_requests_place_does_not_keep_the_host_up(
    committed: Callable[[Via], Agent], started: list[Shutdown], tmp_path: Path
) -> None:
    (tmp_path / "shutdown").mkdir()
    agent = committed("unit")
    agent._shut_down("why")
    later(agent)
    assert len(started) == 1
