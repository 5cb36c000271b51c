"""A request that was left behind: root and the next client tell that it is old."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from powmonman.client import root, shutdown, stamp
from powmonman.client.request import Request
from powmonman.config.shutdown_keys import Command, Shutdown
from powmonman.service.clock import boot_id, boottime

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Shutdown]:
    """Return what is run, instead of running it."""
    commands: list[Shutdown] = []

    def run(given: Shutdown) -> int:
        commands.append(given)
        return 0

    monkeypatch.setattr(shutdown, "run", run)
    monkeypatch.setattr(shutdown, "check_trusted", lambda path: path)
    monkeypatch.setattr(root, "Logs", lambda _: SimpleNamespace(apply=lambda _: None))
    return commands


def leave(place: Path, **changes: Any) -> Path:
    """Leave a request behind."""
    kept = {"boot_id": boot_id(), "at": boottime(), "reason": "why", **changes}
    (place / "shutdown").write_text(json.dumps(kept), encoding="utf-8")
    return place / "shutdown"


def take_up(request: Path, config: Path) -> int:
    return root.run_shutdown(config / "client.yml", request)


def test_a_request_of_a_moment_ago_is_carried_out(tmp_path: Path, ran: list[Shutdown]) -> None:
    shutdown.prepare(tmp_path, "why")
    shutdown.request(tmp_path)
    assert take_up(tmp_path / "shutdown", tmp_path) == 0
    assert len(ran) == 1


@pytest.mark.parametrize(
    "changes", [{"at": -stamp.STANDS_FOR - 1}, {"boot_id": "another"}], ids=["old", "other boot"]
)
def test_root_refuses_a_request_that_was_left_behind(
    tmp_path: Path,
    ran: list[Shutdown],
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, Any],
) -> None:
    """A killed client left it while the path unit was not there; it shows at that unit's start."""
    if "at" in changes:
        changes = {"at": boottime() + changes["at"]}
    assert take_up(leave(tmp_path, **changes), tmp_path) == 0
    assert ran == []
    assert "the request for a shutdown is refused" in caplog.text


def test_the_wall_clock_makes_no_request_old(tmp_path: Path, ran: list[Shutdown]) -> None:
    """A Pi whose clock was 1970 when the request was made."""
    request = leave(tmp_path)
    os.utime(request, (0, 0))
    take_up(request, tmp_path)
    assert len(ran) == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"reason\n", b"{", b"[]", b'{"boot_id": "x"}', b'{"boot_id": "x", "at": 1e999}'],
)
def test_a_request_that_says_nothing_counts(
    tmp_path: Path, ran: list[Shutdown], content: bytes
) -> None:
    """A full disk may have taken the words from it, and the mains are out all the same."""
    (tmp_path / "shutdown").write_bytes(content)
    take_up(tmp_path / "shutdown", tmp_path)
    assert len(ran) == 1


@pytest.mark.parametrize("what", ["nothing", "link", "fifo", "directory", "huge"])
def test_whatever_lies_in_its_place_holds_nothing_up(
    tmp_path: Path, ran: list[Shutdown], what: str
) -> None:
    request = tmp_path / "shutdown"
    if what == "link":
        request.symlink_to(leave(tmp_path / "..", boot_id="another"))
    elif what == "fifo":
        os.mkfifo(request)
    elif what == "directory":
        request.mkdir()
    elif what == "huge":
        request.write_bytes(json.dumps({"boot_id": "another", "at": 1}).encode() + b" " * 10**6)
    take_up(request, tmp_path)
    assert len(ran) == (0 if what == "huge" else 1)


def test_a_client_that_stands_behind_its_request_keeps_it_young(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ran: list[Shutdown]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    request = Request(tmp_path, lambda: None)
    request.make(Shutdown((), Command(("true",)), via="unit"), "why", "o1")
    leave(tmp_path, at=boottime() - 2 * stamp.STANDS_FOR)
    request._taken_by = 0.0  # The time that root has is over.
    request.watch(Shutdown((), Command(("true",)), via="unit"), over=False)
    take_up(tmp_path / "shutdown", tmp_path)
    assert len(ran) == 1


def test_a_request_that_is_renewed_after_root_took_it_up_is_not_made_again(tmp_path: Path) -> None:
    shutdown.renew(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_next_client_removes_what_it_does_not_stand_behind(tmp_path: Path) -> None:
    leave(tmp_path)
    (tmp_path / "shutdown.prepared").touch()
    request = Request(tmp_path, lambda: None)
    assert request.disown()
    assert list(tmp_path.iterdir()) == []
    assert not request.disown()
