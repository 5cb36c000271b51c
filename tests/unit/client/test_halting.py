"""Whether a client that is told to stop goes with its host, or is restarted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from powmonman.client import halting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a script in the place of systemctl."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")

    def install(script: str) -> None:
        (tmp_path / "systemctl").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tmp_path / "systemctl").chmod(0o755)

    return install


@pytest.mark.parametrize("committed", [True, False])
def test_a_host_that_systemd_shuts_down_is_going_down(systemctl, committed: bool) -> None:
    """By whomever: the operator's poweroff too."""
    systemctl('test "$*" = is-system-running && echo stopping; exit 1')
    assert halting.is_going_down(committed=committed)


@pytest.mark.parametrize("state", ["running", "degraded", "starting", "maintenance"])
@pytest.mark.parametrize("committed", [True, False])
def test_a_restart_of_the_client_alone_is_none(systemctl, state: str, committed: bool) -> None:
    systemctl(f"echo {state}")
    assert not halting.is_going_down(committed=committed)


@pytest.mark.parametrize("script", ["exit 1", "echo offline; exit 1", "printf '\\377'", "sleep 30"])
@pytest.mark.parametrize("committed", [True, False])
def test_where_systemd_says_nothing_the_commit_counts(
    systemctl, monkeypatch: pytest.MonkeyPatch, script: str, committed: bool
) -> None:
    monkeypatch.setattr(halting, "ASK_TIMEOUT", 0.3)
    systemctl(f"exec {script}" if script.startswith("sleep") else script)
    began = time.monotonic()
    assert halting.is_going_down(committed=committed) is committed
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("committed", [True, False])
def test_without_systemd_the_commit_counts(
    systemctl, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    systemctl("echo stopping")
    monkeypatch.delenv("NOTIFY_SOCKET")
    assert halting.is_going_down(committed=committed) is committed
