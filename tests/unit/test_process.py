"""`powmonman process`: real processes, started detached and ended for sure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from powmonman import bundle
from powmonman.service.process import Process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Stands for the program: `process` is the real one, the services are of every temper.
CLI = """
import argparse, os, signal, sys, time
from powmonman.service import notify, process

def main():
    if sys.argv[1] == "process":
        parser = argparse.ArgumentParser()
        process.add_arguments(parser)
        return process.run(parser.parse_args(sys.argv[2:]))
    print("starting", *sys.argv[1:], flush=True)
    if sys.argv[1] == "dies":
        return 2
    if sys.argv[1] == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, lambda *_: print("reloaded", flush=True))
    if sys.argv[1] != "silent":
        notify.ready("here")
    while True:
        time.sleep(0.05)
"""


class Service:
    """One service under `powmonman process`, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.pid_file = directory / "run" / "service.pid"
        self.log = directory / "service.log"
        self._program = directory / "powmonman.pyz"
        whole = directory / "whole"
        whole.write_bytes(bundle.program())
        with zipfile.ZipFile(whole) as source, zipfile.ZipFile(self._program, "w") as target:
            for name in source.namelist():
                if name != "powmonman/cli.py":
                    target.writestr(name, source.read(name))
            target.writestr("powmonman/cli.py", CLI)

    def run(self, action: str, *options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(self._program), "process", action]
        return subprocess.run(
            [*command, "--pid-file", str(self.pid_file), *options],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def start(self, *arguments: str, wait: float = 10) -> subprocess.CompletedProcess[str]:
        return self.run("start", "--log", str(self.log), "--wait", str(wait), "--", *arguments)

    def answer(self, action: str, *options: str) -> dict[str, Any]:
        ran = self.run(action, *options)
        assert ran.stdout, ran.stderr
        return dict(json.loads(ran.stdout))

    def process(self) -> Process | None:
        return Process.recorded(self.pid_file)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path)
    yield service
    if process := service.process():
        process.signal(signal.SIGKILL, 5)


def test_it_returns_when_the_service_is_ready_and_the_service_goes_on(service: Service) -> None:
    answer = json.loads(service.start("ready", "--config", "x y.yml").stdout)
    process = service.process()
    assert process is not None
    assert answer == {"changed": True, "running": True, "pid": process.pid}
    assert service.log.read_text() == "starting ready --config x y.yml\n"


def test_the_service_is_in_a_session_of_its_own(service: Service) -> None:
    """Ctrl-C in the terminal of whoever started it doesn't end it."""
    pid = json.loads(service.start("ready").stdout)["pid"]
    assert os.getsid(pid) == pid


def test_started_twice_it_runs_once(service: Service) -> None:
    first = json.loads(service.start("ready").stdout)
    second = json.loads(service.start("ready").stdout)
    assert second == {**first, "changed": False}


def test_two_that_start_it_at_the_same_time_start_it_once(service: Service) -> None:
    command = [sys.executable, str(service._program), "process", "start"]
    command += ["--pid-file", str(service.pid_file), "--log", str(service.log), "--", "ready"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [json.loads(each.communicate(timeout=30)[0]) for each in both]
    assert sorted(answer["changed"] for answer in answers) == [False, True]
    assert answers[0]["pid"] == answers[1]["pid"]


def test_a_service_that_ends_at_once_is_an_error_with_its_last_words(service: Service) -> None:
    ran = service.start("dies")
    assert ran.returncode == 1
    assert ran.stderr == (
        "powmonman process: powmonman dies ended at once with exit code 2\n  starting dies\n"
    )
    assert not service.pid_file.exists()


def test_a_service_that_never_becomes_ready_is_an_error_and_is_not_left_behind(
    service: Service,
) -> None:
    ran = service.start("silent", wait=0.5)
    assert ran.returncode == 1
    assert "powmonman silent was not ready after 0.5 s" in ran.stderr
    assert service.process() is None


def test_stop_ends_it(service: Service) -> None:
    service.start("ready")
    assert service.answer("stop") == {"changed": True, "running": False}
    assert service.answer("stop") == {"changed": False, "running": False}
    assert not service.pid_file.exists()


def test_stop_kills_what_does_not_end_when_asked(service: Service) -> None:
    service.start("stubborn")
    began = time.monotonic()
    assert service.answer("stop", "--wait", "0.3") == {"changed": True, "running": False}
    assert 0.3 <= time.monotonic() - began < 20


def test_a_pid_that_was_given_to_another_process_is_never_signalled(service: Service) -> None:
    """A process file from an earlier life names a pid that now belongs to somebody else."""
    service.pid_file.parent.mkdir()
    with subprocess.Popen(["sleep", "30"]) as other:
        theirs = Process.observe(other.pid)
        assert theirs is not None
        for stale in (
            {**asdict(theirs), "started": theirs.started - 1},
            {**asdict(theirs), "boot": "another boot"},
        ):
            service.pid_file.write_text(json.dumps(stale))
            assert service.answer("status") == {"changed": False, "running": False}
            assert service.answer("stop") == {"changed": False, "running": False}
        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize("content", ["", "{}", "[1]", "12345\n", '{"pid": "x"}'])
def test_a_process_file_that_says_nothing_is_no_process(service: Service, content: str) -> None:
    service.pid_file.parent.mkdir()
    service.pid_file.write_text(content)
    assert service.answer("status") == {"changed": False, "running": False}


def test_restart_replaces_it(service: Service) -> None:
    first = json.loads(service.start("ready").stdout)["pid"]
    second = service.answer("restart", "--log", str(service.log), "--", "ready")
    assert second["changed"]
    assert second["pid"] != first
    assert Process.observe(first) is None


def test_reload_asks_it_to_read_its_configuration_anew(service: Service) -> None:
    service.start("ready")
    assert service.answer("reload")["changed"]
    for _ in range(1000):
        if "reloaded" in service.log.read_text():
            break
        time.sleep(0.02)
    assert service.log.read_text() == "starting ready\nreloaded\n"


def test_reload_of_nothing_is_an_error(service: Service) -> None:
    assert service.run("reload").returncode == 1


def test_status_says_by_its_exit_code_whether_it_runs(service: Service) -> None:
    assert service.run("status").returncode == 1
    service.start("ready")
    assert service.run("status").returncode == 0


def test_a_process_name_with_brackets_and_spaces_is_read_right(tmp_path: Path) -> None:
    program = tmp_path / "a) S (b"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "30"]) as running:
        process = Process.observe(running.pid)
        assert process is not None
        assert process.signal(signal.SIGKILL, 5)
