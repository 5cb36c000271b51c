from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

from powmonman.service import notify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """Return the socket of a service manager, at both kinds of addresses."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address if request.param == "path" else f"\0{address}")
        sock.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", address if request.param == "path" else f"@{address}")
        yield sock


def test_ready_carries_a_status(manager: socket.socket) -> None:
    notify.ready("fleet test")
    assert manager.recv(4096) == b"READY=1\nSTATUS=fleet test"


def test_a_reload_is_stamped_with_the_clock_that_systemd_compares(manager: socket.socket) -> None:
    before = time.monotonic_ns() // 1000
    notify.reloading()
    first, second = manager.recv(4096).decode().split("\n")
    assert first == "RELOADING=1"
    name, _, stamp = second.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(stamp) <= time.monotonic_ns() // 1000


def test_the_watchdog_is_petted(manager: socket.socket) -> None:
    notify.alive()
    assert manager.recv(4096) == b"WATCHDOG=1"


def test_one_that_does_not_listen_is_not_waited_for(manager: socket.socket) -> None:
    began = time.monotonic()
    for _ in range(2000):
        notify.alive()
    assert time.monotonic() - began < 10
    assert manager.recv(4096) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", ["", "/nonexistent/notify", "x" * 500])
def test_without_a_service_manager_nothing_happens(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify.alive()


def test_a_host_without_a_free_file_is_no_reason_to_stop(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_more(*_: object) -> None:
        raise OSError(23, "Too many open files in system")

    monkeypatch.setattr(socket, "socket", no_more)
    notify.alive()
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(4096)
