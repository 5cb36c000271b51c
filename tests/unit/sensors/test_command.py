"""Real programs, well and badly behaved, and what is left of them: nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from powmonman.config.sources import Program, Ups
from powmonman.core.power import Reading
from powmonman.sensors import create
from powmonman.sensors.command import CommandSensor
from powmonman.sensors.program import GRACE, MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator


def sensor(*command: str, timeout: float = 20.0) -> CommandSensor:
    return CommandSensor(Program(command=command, timeout=timeout))


def read(*command: str, timeout: float = 20.0) -> Reading:
    return asyncio.run(sensor(*command, timeout=timeout).read())


def shell(script: str, timeout: float = 20.0) -> Reading:
    return read("sh", "-c", script, timeout=timeout)


def processes(mark: str) -> list[int]:
    """Return the processes, zombies too, that were started with `mark` in their environment."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"MARK={mark}".encode() in (place / "environ").read_bytes():
                found.append(int(place.name))
    return [pid for pid in found if pid != os.getpid()]


def children() -> list[str]:
    """Return the processes, zombies too, whose parent is this one."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            stat = (place / "stat").read_text()
            if stat.rpartition(")")[2].split()[1] == str(os.getpid()):
                found.append(stat)
    return found


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def none_left(mark: str) -> bool:
    """Whether they are all gone: what was killed takes a moment to be dead."""
    end = time.monotonic() + 10
    while processes(mark) and time.monotonic() < end:
        time.sleep(0.01)
    return processes(mark) == []


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """What marks the processes of one test; none may outlive it."""
    monkeypatch.setenv("MARK", str(tmp_path))
    yield str(tmp_path)
    assert none_left(str(tmp_path))


@pytest.fixture(autouse=True)
def no_zombie() -> Iterator[None]:
    before = children()
    yield
    end = time.monotonic() + 10
    while left := [child for child in children() if child not in before]:
        assert time.monotonic() < end, left
        time.sleep(0.01)


@pytest.mark.parametrize(("code", "mains"), [(0, True), (1, False)])
def test_silent_0_is_on_and_silent_1_is_off(code: int, mains: bool) -> None:
    assert shell(f"exit {code}") == Reading(mains=mains)


def test_any_other_exit_code_is_unknown() -> None:
    assert shell("exit 3") == Reading(
        mains=None, reason="sh: exit code 3; run it by hand as the service's user to see why"
    )


def test_a_program_that_fails_and_says_so_is_no_outage() -> None:
    """Its exit code is 1 too, and the last line says what is wrong."""
    reading = read(sys.executable, "-c", "raise ValueError('no such port')")
    assert reading.mains is None
    assert "exit code 1 (ValueError: no such port)" in reading.reason
    assert shell("cat /nowhere/mains").mains is None


def test_a_warning_on_stderr_does_not_hide_the_mains() -> None:
    assert shell("echo deprecated >&2").mains is True


def test_blank_lines_are_no_output() -> None:
    assert shell("echo; echo ' '; exit 1").mains is False


def test_json_is_taken_from_standard_output() -> None:
    reading = shell("""echo note >&2; echo '{"mains": "off", "charge": 50}'""")
    assert reading == Reading(mains=False, charge=50.0)


def test_json_counts_only_with_exit_code_0() -> None:
    reading = shell("""echo '{"mains": "off"}'; exit 1""")
    assert reading.mains is None
    assert "exit code 1 after an answer" in reading.reason


@pytest.mark.parametrize("text", ["on", "1", "{", r"{\"mains\": \"on\"} \377", "on battery"])
def test_garbage_is_unknown_and_says_what_was_expected(text: str) -> None:
    reading = shell(f'printf "{text}"')
    assert reading.mains is None
    assert reading.reason.startswith("sh: what it wrote is ")
    assert reading.reason.endswith('; let it write {"mains": "on"}, or "off", or nothing')


def test_a_missing_program_is_unknown_with_a_remedy() -> None:
    assert read("/nowhere/mains-on").reason == (
        "/nowhere/mains-on: no such file or directory; "
        "install it, or mend `command` (and the first line of a script)"
    )


def test_a_program_that_may_not_be_run_is_unknown_with_a_remedy(tmp_path: Path) -> None:
    script = tmp_path / "mains-on"
    script.write_text("#!/bin/sh\n")
    assert "permission denied; it needs chmod +x" in read(str(script)).reason
    script.chmod(0o755)
    assert read(str(script)).mains is True
    script.write_text("exit 0\n")
    assert "a script begins with a line such as #!/bin/sh" in read(str(script)).reason
    script.write_text("#!/nowhere/python\n")
    assert "the first line of a script" in read(str(script)).reason


def test_a_program_that_was_killed_is_unknown() -> None:
    assert "killed by SIGSEGV" in shell("kill -SEGV $$").reason
    assert "killed by SIGKILL" in shell("kill -KILL $$").reason


def test_no_shell_reads_the_arguments(tmp_path: Path) -> None:
    read("echo", f"$(touch {tmp_path}/touched)", ";", "touch", f"{tmp_path}/touched")
    assert list(tmp_path.iterdir()) == []


def test_standard_input_is_empty() -> None:
    assert shell("read line && exit 3; exit 0").mains is True


def test_a_nul_in_an_argument_is_unknown() -> None:
    assert "embedded null byte" in read("echo", "a\0b").reason


def test_no_program_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="names no program"):
        CommandSensor(Program())
    with pytest.raises(ValueError, match="names no program"):
        create(Ups(sensor="command"))


def test_what_takes_too_long_is_killed_with_its_children(mark: str) -> None:
    began = time.monotonic()
    reading = shell("sleep 60 & sleep 60 | cat & sleep 60", timeout=0.3)
    assert time.monotonic() - began < 10
    assert reading.reason == "sh: killed after 0.3 s; raise `timeout`, or see what it waits for"
    assert none_left(mark)


def test_a_deaf_program_is_killed_too(mark: str) -> None:
    reading = shell("trap '' TERM INT HUP; while :; do sleep 1; done", timeout=0.3)
    assert "killed after 0.3 s" in reading.reason
    assert none_left(mark)


def test_one_that_closes_its_output_is_still_waited_for() -> None:
    assert "killed after 0.3 s" in shell("exec >&- 2>&-; sleep 60", timeout=0.3).reason
    assert shell("exec >&- 2>&-; sleep 0.1; exit 1").mains is False


def test_what_it_leaves_running_is_killed_with_its_end(mark: str) -> None:
    assert shell("sleep 60 & exit 1").mains is False
    assert none_left(mark)


def test_one_that_escapes_with_the_output_is_named_as_the_cause(tmp_path: Path) -> None:
    """A process that left the group can't be killed, but it can't hold the sensor either."""
    escape = (
        "import os, time\n"
        "if os.fork(): time.sleep(0.3); os._exit(0)\n"
        "os.setsid()\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    try:
        reading = read(sys.executable, "-c", escape, timeout=3)
        assert "it left a process that holds its output; let it leave none" in reading.reason
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


@pytest.mark.parametrize("stream", ["", " >&2"])
def test_endless_output_ends_the_program_at_once(mark: str, stream: str) -> None:
    began = time.monotonic()
    reading = shell(f"yes{stream}")
    assert time.monotonic() - began < 10
    assert reading.mains is None
    assert f"killed, it wrote more than {MAX_BYTES} bytes" in reading.reason
    assert none_left(mark)


def test_a_long_answer_within_the_bound_is_read_whole() -> None:
    text = f"printf '%{MAX_BYTES - 15}s' ''; printf '{{\"mains\": \"on\"}}'"
    assert shell(text).mains is True
    assert shell(f"printf x; {text}").mains is None


@pytest.mark.parametrize("steps", range(6))
def test_a_read_that_is_cut_short_leaves_nothing_running(mark: str, steps: int) -> None:
    async def hurried() -> None:
        look = asyncio.ensure_future(sensor("sh", "-c", "sleep 60 & sleep 60").read())
        for _ in range(steps):
            await asyncio.sleep(0)
        look.cancel()
        with pytest.raises(asyncio.CancelledError):
            await look

    before = descriptors()
    asyncio.run(hurried())
    assert none_left(mark)
    assert descriptors() <= before


@pytest.mark.parametrize("steps", range(6))
def test_the_end_of_the_server_leaves_nothing_running(mark: str, steps: int) -> None:

    async def ending() -> None:
        look = asyncio.ensure_future(sensor("sleep", "60").read())
        for _ in range(steps):
            await asyncio.sleep(0)
        assert not look.done()

    asyncio.run(ending())
    assert none_left(mark)


def test_a_process_that_cannot_be_killed_is_not_joined_by_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As one that a driver holds: here the kill is kept from it."""
    real, pids = os.killpg, []
    monkeypatch.setattr(os, "killpg", lambda pid, _: pids.append(pid))

    async def story() -> list[str]:
        stuck = sensor("sleep", "60", timeout=0.1)
        reasons = [(await stuck.read()).reason, (await stuck.verify()).reason]
        monkeypatch.setattr(os, "killpg", real)
        real(pids[0], signal.SIGKILL)
        await asyncio.to_thread(os.waitid, os.P_PID, pids[0], os.WEXITED | os.WNOWAIT)
        return [*reasons, (await stuck.read()).reason]

    first, second, last = asyncio.run(story())
    assert "killed after 0.1 s" in first
    assert f"process {pids[0]} of an earlier run can't be killed; " in second
    assert "killed after 0.1 s" in last


@pytest.mark.parametrize("error", [AttributeError, PermissionError])
def test_old_kernels_do_not_tell_of_the_end_and_it_is_seen_all_the_same(
    monkeypatch: pytest.MonkeyPatch, mark: str, error: type[Exception]
) -> None:
    def refuse(_: int) -> int:
        raise error

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert shell("sleep 0.1; exit 1").mains is False
    assert shell("sleep 60 & exit 0").mains is True
    assert "killed after 0.2 s" in shell("sleep 60", timeout=0.2).reason
    assert none_left(mark)


def test_the_loop_is_never_held_up() -> None:
    async def longest_pause() -> float:
        slow = asyncio.ensure_future(sensor("sleep", "2").read())
        worst = 0.0
        while not slow.done():
            before = time.monotonic()
            await asyncio.sleep(0.001)
            worst = max(worst, time.monotonic() - before)
        return worst

    assert asyncio.run(longest_pause()) < 1


def test_many_runs_leave_no_thread_and_no_descriptor() -> None:
    async def runs() -> tuple[tuple[int, int], tuple[int, int]]:
        watched = sensor("true")
        await watched.read()
        before = descriptors(), threading.active_count()
        for _ in range(30):
            await watched.read()
        return before, (descriptors(), threading.active_count())

    before, after = asyncio.run(runs())
    # Those of other tests may end meanwhile.
    assert before[0] >= after[0]
    assert before[1] >= after[1]


def test_patience_outlasts_the_timeout_and_the_killing() -> None:
    assert sensor("true", timeout=7).patience == 8
    assert GRACE < 1


def test_the_description_shows_the_command_as_typed() -> None:
    described = sensor("/usr/bin/mains", "a b\n", timeout=4).describe()
    assert described == (
        "command /usr/bin/mains: run every 5 s for at most 4 s as `/usr/bin/mains 'a b\ufffd'`"
    )
