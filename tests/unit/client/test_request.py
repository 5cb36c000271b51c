"""What the client does about a request that it has made."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import pytest
from daemons import eventually

from powmonman.client import request as module
from powmonman.client import shutdown, stamp
from powmonman.client.request import Request
from powmonman.config.shutdown_keys import Command, Shutdown

if TYPE_CHECKING:
    from collections.abc import Callable
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
def request_in(tmp_path: Path) -> Callable[[], Request]:
    """Make what a client has that has just been started."""
    return lambda: Request(tmp_path, lambda: None)


def later(request: Request, via: Via = "unit", *, over: bool = False) -> None:
    """Let the time pass that root has."""
    commands = replace(COMMANDS, via=via)
    request.watch(commands, over=over)
    time.sleep(0.15)
    request.watch(commands, over=over)


@pytest.mark.usefixtures("started")
def test_the_decision_is_written_down_before_the_request_is_made(tmp_path: Path) -> None:
    """A client that is killed between the two sees the request through, and makes no second."""
    seen: list[tuple[bool, bool]] = []

    def save() -> None:
        seen.append(((tmp_path / shutdown.PREPARED).exists(), shutdown.requested(tmp_path)))

    Request(tmp_path, save).make(replace(COMMANDS, via="unit"), "why", "o1")
    assert seen == [(True, False)]
    assert shutdown.requested(tmp_path)


def test_what_root_takes_up_is_left_to_root(
    request_in: Callable[[], Request], started: list[Shutdown], tmp_path: Path
) -> None:
    request = request_in()
    request.make(replace(COMMANDS, via="unit"), "why", "o1")
    (tmp_path / "shutdown").unlink()
    later(request)
    assert started == []


def test_what_nobody_takes_up_is_withdrawn_and_run_directly(
    request_in: Callable[[], Request],
    started: list[Shutdown],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    request = request_in()
    with caplog.at_level(logging.INFO):
        request.make(replace(COMMANDS, via="unit"), "why", "o1")
        made = stamp.read(tmp_path / "shutdown")
        assert made
        assert made.reason == "why"
        assert started == []
        later(request)
        later(request)
    assert started == [replace(COMMANDS, via="unit")]
    assert not (tmp_path / "shutdown").exists()
    assert "powmonman-shutdown.path did not take the request up: is it active?" in caplog.text


def test_who_is_not_root_leaves_the_request_to_root_however_late_it_is(
    request_in: Callable[[], Request],
    started: list[Shutdown],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a host that hardly responds, the path unit would find it withdrawn."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    request = request_in()
    request.make(replace(COMMANDS, via="unit"), "why", "o1")
    for _ in range(3):
        later(request)
        assert (tmp_path / "shutdown").exists()
    assert started == []


def test_a_request_that_nobody_took_up_does_not_outlive_the_outage(
    request_in: Callable[[], Request],
    started: list[Shutdown],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else whoever starts the path unit at last would shut the host down."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    request = request_in()
    request.make(replace(COMMANDS, via="unit"), "why", "o1")
    later(request)
    later(request, over=True)
    assert not (tmp_path / "shutdown").exists()
    assert started == []


def test_commands_that_cannot_be_started_are_tried_again(
    request_in: Callable[[], Request], started: list[Shutdown], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process, no memory: for the moment."""
    tries = []

    def start(commands: Shutdown) -> None:
        tries.append(commands)
        if len(tries) < 3:
            raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(shutdown, "start_directly", start)
    request = request_in()
    request.make(replace(COMMANDS, via="direct"), "why", "o1")
    for _ in range(4):
        later(request, "direct")
    assert len(tries) == 3
    assert started == []


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("error", [OSError(2, "No such file or directory"), RuntimeError("?")])
def test_where_this_program_cannot_be_started_any_more_the_final_command_is_alone(
    request_in: Callable[[], Request],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    """Python was removed in an upgrade, and the mains fail."""

    def start(_: Shutdown) -> None:
        raise error

    monkeypatch.setattr(module, "TAKEN_WITHIN", 0.1)
    monkeypatch.setattr(shutdown, "start_directly", start)
    done = tmp_path / "done"
    commands = Shutdown((), Command(("sh", "-c", f"echo >> {done}")), via="direct")
    request = request_in()
    request.make(commands, "why", "o1")
    for _ in range(6):
        request.watch(commands, over=False)
        time.sleep(0.15)
    eventually("the final command", done.exists)
    assert done.read_text("utf-8") == "\n"


@pytest.mark.parametrize("via", ["unit", "direct"])
def test_a_client_that_is_restarted_meanwhile_sees_the_request_through(
    request_in: Callable[[], Request], started: list[Shutdown], tmp_path: Path, via: Via
) -> None:
    (tmp_path / "shutdown").write_text("why\n", encoding="utf-8")
    for request in (request_in(), request_in()):
        request.finish(replace(COMMANDS, via=via), "o1")
        later(request, via)
    assert len(started) == 1


def test_a_request_that_cannot_be_written_is_run_directly_and_once(
    request_in: Callable[[], Request],
    started: list[Shutdown],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutdown, "prepare", full)
    request = request_in()
    request.make(replace(COMMANDS, via="unit"), "why", "o1")
    later(request)
    assert len(started) == 1
    assert "No space left on device · starting the commands directly" in caplog.text


def test_something_else_in_the_requests_place_does_not_keep_the_host_up(
    request_in: Callable[[], Request], started: list[Shutdown], tmp_path: Path
) -> None:
    (tmp_path / "shutdown").mkdir()
    request = request_in()
    request.make(replace(COMMANDS, via="unit"), "why", "o1")
    later(request)
    assert len(started) == 1
