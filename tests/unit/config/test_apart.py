"""A configuration that a process of its own has read."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from powmonman.config import apart, loader
from powmonman.config.apart import read_apart
from powmonman.config.loader import ConfigError
from powmonman.config.schema import ClientConfig, ServerConfig

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
upses:
  rack: {sensor: gpio, quorum: 1, witnesses: [{sensor: ping, ping: {hosts: [192.0.2.1]}}]}
  loft: {sensor: nut, runtime: 900}
order: {hosts: {nas: {wait_for: [web, db], after: 700}}}
recovery: {hosts: {nas: {macs: ['02:00:5e:00:53:01']}}}
notify: {milestones: [600, 60], templates: {on_battery: {body: "It is dark.\\nWrap up warm — 🕯"}}}
"""
TEXTS = {
    "good": GOOD,
    "warned": "upses: {rack: {sensor: simulated}}\n",
    "empty": "",
    "long": f"notify: {{templates: {{drill: {{body: {'long ' * 1000}}}}}}}\n",
    "faulty": "leese: 15\nlisten: {port: 0}\nclients: [nas, nas]\n",
    "broken": "upses: [\n",
    "unprintable": 'fleet: "a\\u202eb"\n',
}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever threads the tests have: a daemon that starts has one."""
    monkeypatch.setattr(threading, "active_count", lambda: 1)


def outcome(path: Path, cls: type) -> object:
    try:
        return repr(read_apart(path, cls))
    except ConfigError as error:
        return error.faults, str(error)


def expected(path: Path, cls: type) -> object:
    try:
        loaded = loader.read(path, cls)
    except ConfigError as error:
        return error.faults, str(error)
    return repr((loaded.config, loaded.warnings))


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("cls", [ServerConfig, ClientConfig])
def test_a_child_reads_what_this_process_would(cls: type, text: str, tmp_path: Path) -> None:
    path = tmp_path / "some.yml"
    path.write_text(TEXTS[text], "utf-8")
    wanted = expected(path, cls)
    with pytest.MonkeyPatch.context() as patch:
        ours, read = os.getpid(), loader.read
        patch.setattr(loader, "read", lambda *a: read(*a) if os.getpid() != ours else None)
        assert wanted == outcome(path, cls)


def test_a_file_that_is_not_there_is_the_same_fault(tmp_path: Path) -> None:
    path = tmp_path / "none.yml"
    assert expected(path, ServerConfig) == outcome(path, ServerConfig)


@pytest.mark.parametrize("fails", ["killed", "raises"])
def test_where_the_child_fails_the_file_is_read_all_the_same(
    fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "server.yml"
    path.write_text(GOOD, "utf-8")
    ours = os.getpid()

    def fail(*arguments: object) -> object:
        assert os.getpid() != ours
        if fails == "killed":
            os.kill(os.getpid(), 9)
        raise RuntimeError(arguments)

    monkeypatch.setattr(apart, "_told", fail)
    assert expected(path, ServerConfig) == outcome(path, ServerConfig)


def test_where_no_child_can_be_had_the_file_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fork() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    path = tmp_path / "server.yml"
    path.write_text(GOOD, "utf-8")
    monkeypatch.setattr(os, "fork", fork)
    assert expected(path, ServerConfig) == outcome(path, ServerConfig)


def test_a_process_with_threads_has_no_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "server.yml"
    path.write_text(GOOD, "utf-8")
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("a lock of another thread stays locked"))
    assert expected(path, ServerConfig) == outcome(path, ServerConfig)


def test_a_reload_without_what_reads_the_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk with the program is gone, or holds another version: a daemon goes on as it is."""
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    monkeypatch.setitem(sys.modules, "powmonman.config.loader", None)
    with pytest.raises(ConfigError, match=r"server\.yml: what reads it can't be loaded"):
        read_apart(tmp_path / "server.yml", ServerConfig)
