"""Commands and the request for them. Nothing here can switch a machine off."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powmonman.client import shutdown, stamp
from powmonman.client.presets import expand
from powmonman.config.shutdown_keys import Command, Shutdown
from powmonman.core.records import to_json
from powmonman.service.program import home

if TYPE_CHECKING:
    from pathlib import Path


def sh(script: str, timeout: float = 10.0, on_failure: str = "continue") -> Command:
    return Command(("sh", "-c", script), timeout, on_failure)  # type: ignore[arg-type]


def reason_of(request: Path) -> str:
    made = stamp.read(request)
    assert made is not None
    return made.reason


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutdown, "FINAL_PAUSE", 0.01)
    monkeypatch.setattr(shutdown, "KILL_PAUSE", 0.3)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "powmonman.shutdown")
    return caplog


def gone(pid: int) -> bool:
    for _ in range(1000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


class TestOneCommand:
    def test_exit_code_0_is_success(self, said: pytest.LogCaptureFixture) -> None:
        assert shutdown.run_command(sh("exit 0"))
        assert re.search(r"done in \d+\.\d", said.text)

    @pytest.mark.parametrize("script", ["exit 1", "exit 255", "kill -9 $$"])
    def test_any_other_end_is_a_failure(self, script: str) -> None:
        assert not shutdown.run_command(sh(script))

    @pytest.mark.parametrize(
        ("command", "reason"),
        [
            (("/nonexistent/program",), "No such file or directory"),
            (("/etc/passwd",), "Permission denied"),
            (("sh", "-c", "true", "a\0b"), "embedded null byte"),
        ],
    )
    def test_one_that_cannot_be_started_is_a_failure_with_its_reason(
        self, said: pytest.LogCaptureFixture, command: tuple[str, ...], reason: str
    ) -> None:
        assert not shutdown.run_command(Command(command))
        assert reason in said.text

    def test_no_shell_reads_the_arguments(self, tmp_path: Path) -> None:
        script = f"import sys; open({str(tmp_path / 'seen')!r}, 'w').write(sys.argv[1])"
        assert shutdown.run_command(Command((sys.executable, "-c", script, "$HOME; *")))
        assert (tmp_path / "seen").read_text("utf-8") == "$HOME; *"

    def test_it_reads_nothing_from_the_service(self) -> None:
        assert shutdown.run_command(sh("! read line"))

    def test_it_has_a_path_where_the_service_has_none(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("PATH")
        assert shutdown.run_command(Command(("/bin/sh", "-c", "command -v cat")))

    def test_one_that_hangs_is_killed_with_all_it_started(
        self, tmp_path: Path, said: pytest.LogCaptureFixture
    ) -> None:
        pids = tmp_path / "pids"
        began = time.monotonic()
        script = f"sleep 600 & echo $! $$ > {pids}; wait"
        # Long enough to get as far as to wait.
        assert not shutdown.run_command(sh(script, timeout=1.5))
        assert time.monotonic() - began < 30
        assert "killed after 1.5 s" in said.text
        child, shell = pids.read_text("utf-8").split()
        assert gone(int(child))
        assert gone(int(shell))

    def test_deaf_ones_are_killed_too(self, tmp_path: Path) -> None:
        """The command itself heeds SIGTERM, what it started does not."""
        pids = tmp_path / "pids"
        deaf = "trap '' TERM; while :; do sleep 0.1; done"
        script = f'sh -c "{deaf}" & echo $! > {pids}; trap "exit 1" TERM; wait'
        assert not shutdown.run_command(sh(script, timeout=1.5))
        assert gone(int(pids.read_text("utf-8")))

    def test_what_it_leaves_running_in_peace_is_not_waited_for(self) -> None:
        began = time.monotonic()
        assert shutdown.run_command(sh("sleep 5 >/dev/null 2>&1 &"))
        assert time.monotonic() - began < 4


class TestTheWholeRun:
    @pytest.fixture
    def trace(self, tmp_path: Path) -> Path:
        return tmp_path / "trace"

    def step(self, trace: Path, name: str, end: str = "", on_failure: str = "continue") -> Command:
        return sh(f"echo {name} >> {trace}; {end}", on_failure=on_failure)

    def test_the_final_command_comes_last_and_its_success_is_the_result(self, trace: Path) -> None:
        steps = (self.step(trace, "one"), self.step(trace, "two", "exit 1"))
        assert shutdown.run(Shutdown(steps, self.step(trace, "final"))) == 0
        assert trace.read_text("utf-8").split() == ["one", "two", "final"]

    def test_a_failure_that_says_stop_skips_to_the_final_command(self, trace: Path) -> None:
        steps = (self.step(trace, "one", "exit 1", "stop"), self.step(trace, "two"))
        assert shutdown.run(Shutdown(steps, self.step(trace, "final"))) == 0
        assert trace.read_text("utf-8").split() == ["one", "final"]

    def test_a_success_that_says_stop_skips_nothing(self, trace: Path) -> None:
        steps = (self.step(trace, "one", on_failure="stop"), self.step(trace, "two"))
        shutdown.run(Shutdown(steps, self.step(trace, "final")))
        assert trace.read_text("utf-8").split() == ["one", "two", "final"]

    def test_a_final_command_that_fails_is_tried_again(
        self, trace: Path, said: pytest.LogCaptureFixture
    ) -> None:
        assert shutdown.run(Shutdown((), self.step(trace, "final", "exit 1"))) == 1
        assert trace.read_text("utf-8").split() == ["final"] * 3
        assert "the final command failed 3 times: this host stays up" in said.text

    def test_a_final_command_that_succeeds_at_last_is_not_repeated(self, trace: Path) -> None:
        final = self.step(trace, "final", f"test $(wc -l < {trace}) = 2")
        assert shutdown.run(Shutdown((), final)) == 0
        assert trace.read_text("utf-8").split() == ["final"] * 2

    @pytest.mark.parametrize(("locked", "calls"), [(True, 2), (False, 1)])
    def test_a_lock_against_the_shutdown_is_walked_past(
        self, trace: Path, tmp_path: Path, calls: int, *, locked: bool
    ) -> None:
        """A package manager at work holds one, and systemd 257 refuses even root."""
        systemctl = tmp_path / "systemctl"
        refusal = "[ $1 != poweroff ]" if locked else "true"
        systemctl.write_text(f'#!/bin/sh\necho "$@" >> {trace}\n{refusal}\n', encoding="utf-8")
        systemctl.chmod(0o755)
        assert shutdown.run(Shutdown((), Command((str(systemctl), "poweroff")))) == 0
        target = "start --no-block --job-mode=replace-irreversibly poweroff.target"
        assert trace.read_text("utf-8").splitlines() == ["poweroff", target][:calls]

    def test_a_rehearsal_runs_nothing(self, trace: Path, said: pytest.LogCaptureFixture) -> None:
        shutdown.rehearse(Shutdown((self.step(trace, "one"),), self.step(trace, "final")))
        assert not trace.exists()
        assert [record.getMessage()[:22] for record in said.records] == [
            "dry run: would run sh "
        ] * 2


class TestTheRequest:
    def test_it_is_made_once(self, tmp_path: Path) -> None:
        shutdown.prepare(tmp_path, "the reason")
        assert [path.name for path in tmp_path.iterdir()] == ["shutdown.prepared"]
        assert shutdown.request(tmp_path)
        assert reason_of(tmp_path / "shutdown") == "the reason"
        assert not shutdown.request(tmp_path)

    def test_an_older_one_that_lies_ready_is_replaced(self, tmp_path: Path) -> None:
        shutdown.prepare(tmp_path, "old")
        shutdown.prepare(tmp_path, "new")
        shutdown.request(tmp_path)
        assert reason_of(tmp_path / "shutdown") == "new"

    def test_a_link_that_lies_there_is_replaced_and_not_followed(self, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_text("precious", encoding="utf-8")
        (tmp_path / "shutdown.prepared").symlink_to(victim)
        shutdown.prepare(tmp_path, "the reason")
        assert victim.read_text("utf-8") == "precious"

    def test_it_is_withdrawn_once(self, tmp_path: Path) -> None:
        shutdown.prepare(tmp_path, "the reason")
        shutdown.request(tmp_path)
        assert [shutdown.withdraw(tmp_path) for _ in range(2)] == [True, False]

    def test_a_full_disk_takes_the_reason_from_it_and_no_more(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As on a full /run: root's unit looks only whether it is there."""
        real = os.open

        def full(path: Path, flags: int, mode: int) -> int:
            os.close(real(path, flags, mode))
            return real("/dev/full", os.O_WRONLY)

        monkeypatch.setattr(os, "open", full)
        shutdown.prepare(tmp_path, "the reason")
        assert shutdown.request(tmp_path)
        assert (tmp_path / "shutdown").read_text("utf-8") == ""


texts = st.text(min_size=1)
commands = st.builds(
    Command,
    st.lists(texts, min_size=1).map(tuple),
    st.floats(0.1, 86400),
    st.sampled_from(["continue", "stop"]),
)


@given(st.builds(Shutdown, st.lists(commands).map(tuple), commands))
def test_commands_are_handed_over_to_the_letter(given_commands: Shutdown) -> None:
    import json

    assert shutdown.handed_over(json.dumps(to_json(given_commands))) == given_commands


def test_handing_over_needs_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even a temporary directory; and the program that is started is this one."""
    seen = []

    def popen(command: list[str], *, stdin: object, cwd: Path, start_new_session: bool) -> None:
        assert (cwd, start_new_session) == (home(), True)
        seen.append((command, stdin.read()))  # type: ignore[attr-defined]

    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.setenv("TMPDIR", "/nonexistent")
    shutdown.start_directly(Shutdown((), Command(("true",))))
    ((command, text),) = seen
    assert command[-2:] == ["run-shutdown", "--stdin"]
    assert shutdown.handed_over(text.decode()) == Shutdown((), Command(("true",)))


@pytest.fixture
def broken_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the module of the presets one that can't be loaded, as after half an upgrade."""
    monkeypatch.setitem(sys.modules, "powmonman.client.presets", None)


@pytest.mark.usefixtures("broken_presets")
def test_presets_that_cannot_be_loaded_keep_no_host_up(
    tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    trace = tmp_path / "trace"
    own, final = sh(f"echo own >> {trace}"), sh(f"echo final >> {trace}")
    assert shutdown.run(Shutdown((own,), final, presets=("postgresql",))) == 0
    assert trace.read_text("utf-8").split() == ["own", "final"]
    assert "the presets are left out: postgresql" in said.text


def test_an_error_that_nobody_thought_of_keeps_no_host_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace, run = tmp_path / "trace", shutdown.run_command
    final = sh(f"echo final >> {trace}")

    def fails(command: Command) -> bool:
        if command != final:
            raise RuntimeError("surprise")
        return run(command)

    monkeypatch.setattr(shutdown, "run_command", fails)
    assert shutdown.run(Shutdown((sh("true"),), final)) == 0
    assert trace.read_text("utf-8").split() == ["final"]


class TestWhomRootTrusts:
    @pytest.fixture(autouse=True)
    def _root(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 0)

    def test_a_file_of_root_in_directories_of_root(self) -> None:
        from pathlib import Path

        shutdown.check_trusted(Path("/etc/passwd"))

    def test_no_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            shutdown.check_trusted(tmp_path / "client.yml")

    @pytest.mark.skipif(os.getuid() != 0, reason="only root has such files")
    @pytest.mark.parametrize("place", ["file", "directory"])
    def test_nothing_that_others_can_write(self, tmp_path: Path, place: str) -> None:
        file = tmp_path / "client.yml"
        file.touch(mode=0o644)
        shutdown.check_trusted(file)
        (file if place == "file" else tmp_path).chmod(0o777)
        with pytest.raises(PermissionError, match="can be written by others than root"):
            shutdown.check_trusted(file)

    @pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
    def test_nothing_that_belongs_to_others_whatever_the_link_to_it_says(
        self, tmp_path: Path
    ) -> None:
        file = tmp_path / "client.yml"
        file.touch(mode=0o644)
        os.chown(file, 12345, -1)
        (tmp_path / "link.yml").symlink_to(file)
        with pytest.raises(PermissionError, match="does not belong to root"):
            shutdown.check_trusted(tmp_path / "link.yml")


def test_presets_are_handed_over_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def popen(_: object, *, stdin: object, **__: object) -> None:
        seen.append(stdin.read())  # type: ignore[attr-defined]

    monkeypatch.setattr(subprocess, "Popen", popen)
    own = Command(("sync",))
    shutdown.start_directly(Shutdown((own,), Command(("true",)), presets=("postgresql",)))
    commands = shutdown.handed_over(seen[0].decode()).commands
    assert (*expand(["postgresql"]), own) == commands


def test_presets_run_before_a_hosts_own_commands(
    monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    ran = []
    monkeypatch.setattr(shutdown, "run_command", lambda command: ran.append(command) or True)
    own, final = Command(("sync",)), Command(("true",))
    commands = Shutdown((own,), final, presets=("podman_containers",))
    assert shutdown.run(commands) == 0
    assert [*expand(["podman_containers"]), own, final] == ran
    shutdown.rehearse(commands)
    assert "would run podman stop --all" in said.text
