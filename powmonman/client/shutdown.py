"""From the decision to the commands: the request, the boundary to root, the run.

The client only ever *requests* a shutdown, by renaming a file to `shutdown` in its runtime
directory. Under systemd the root-owned path unit sees it and starts `powmonman run-shutdown` as
root, once; elsewhere the client starts the same program itself. The rename happens once in an
outage: a client that is restarted after it finds nothing left to rename.

Whatever a command does (fails, hangs, is missing), the final one is run.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import stat
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from powmonman.client import stamp
from powmonman.client.telling import VIEW
from powmonman.config.shutdown_keys import Command, Shutdown
from powmonman.core.records import to_json
from powmonman.service.files import overwrite
from powmonman.service.program import home, own_program

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger("powmonman.shutdown")

RESERVED = "shutdown.reserved"
PREPARED = "shutdown.prepared"
REQUESTED = "shutdown"
FINAL_TRIES = 3
FINAL_PAUSE = 5.0
KILL_PAUSE = 5.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def reserve(runtime_dir: Path) -> None:
    """Make sure of the room for a request: when the time comes, the disk may be full.

    Raises:
        OSError: There is none now.
    """
    overwrite(runtime_dir / RESERVED, b" " * stamp.SIZE, create=True)


def prepare(runtime_dir: Path, reason: str) -> None:
    """Lay the request ready, before the decision is written down.

    That it lies there is the request: a full disk may take the words from it.

    Raises:
        OSError: It can't be made.
    """
    if _reuse(runtime_dir, RESERVED, reason):
        return
    temporary = runtime_dir / PREPARED
    try:
        temporary.unlink(missing_ok=True)
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))
    except OSError:
        # No inode is left. A rename needs none, and nothing hangs on what that file says.
        if not _reuse(runtime_dir, VIEW, reason):
            raise
    else:
        with contextlib.suppress(OSError):
            overwrite(temporary, stamp.content(reason))


def _reuse(runtime_dir: Path, name: str, reason: str) -> bool:
    try:
        overwrite(runtime_dir / name, stamp.content(reason))
        (runtime_dir / name).replace(runtime_dir / PREPARED)
    except OSError:
        return False
    return True


def renew(runtime_dir: Path) -> None:
    """Stand behind a request that was made earlier: root refuses an old one.

    Written in place: one that root takes up meanwhile is not made a second time.
    """
    for name in (PREPARED, REQUESTED):
        made = stamp.read(runtime_dir / name)
        with contextlib.suppress(OSError):
            overwrite(runtime_dir / name, stamp.content(made.reason if made else ""))


def request(runtime_dir: Path) -> bool:
    """Make the request that `prepare` laid ready; False if it has been made already."""
    try:
        (runtime_dir / PREPARED).rename(runtime_dir / REQUESTED)
    except FileNotFoundError:
        return False
    return True


def requested(runtime_dir: Path) -> bool:
    """Whether a request lies there that nobody has taken up."""
    return os.path.lexists(runtime_dir / REQUESTED)


def withdraw(runtime_dir: Path, name: str = REQUESTED) -> bool:
    """Take back a request that nobody has taken up; False if somebody has.

    One that lay there for ever would shut the host down when the path unit is started at last.
    """
    try:
        (runtime_dir / name).unlink()
    except FileNotFoundError:
        return False
    return True


def start_directly(commands: Shutdown) -> None:
    """Run the commands as a process of their own, which outlives the client.

    They are handed over as the client knows them: the file may have been broken since.

    Raises:
        OSError: The process can't be started.
    """
    # Not a temporary file: the disk may be full, or gone.
    with open(os.memfd_create("shutdown"), "w+b") as file:
        file.write(json.dumps(to_json(in_full(commands))).encode())
        file.seek(0)
        subprocess.Popen(
            [*own_program(), "run-shutdown", "--stdin"],
            stdin=file,
            # Python looks for modules there, and we may have been started anywhere.
            cwd=home(),
            start_new_session=True,
        )


def start_final(commands: Shutdown) -> None:
    """Start the final command alone, where this program can't be started any more.

    Raises:
        OSError: Nor can that.
    """
    environment = {"PATH": PATH} | os.environ
    program = commands.final.command
    subprocess.Popen(program, stdin=subprocess.DEVNULL, start_new_session=True, env=environment)


def handed_over(text: str) -> Shutdown:
    """Return the commands that `start_directly` wrote, to the letter: they are our own words."""
    value = json.loads(text)
    commands = tuple(_command(entry) for entry in value["commands"])
    return Shutdown(commands=commands, final=_command(value["final"]), via=value["via"])


def _command(value: dict[str, Any]) -> Command:
    return Command(tuple(value["command"]), value["timeout"], value["on_failure"])


def in_full(commands: Shutdown) -> Shutdown:
    """Return `commands` with its presets written out; what fails in that costs the presets only."""
    if not commands.presets:
        return commands
    try:
        # Most hosts have none, and the client stays small.
        from powmonman.client.presets import expanded

        return expanded(commands)
    except Exception:
        log.exception("the presets are left out: %s", ", ".join(commands.presets))
        return replace(commands, presets=())


def rehearse(commands: Shutdown) -> None:
    """Say what would be run."""
    commands = in_full(commands)
    for command in (*commands.commands, commands.final):
        log.warning("dry run: would run %s", " ".join(command.command))


def run(commands: Shutdown) -> int:
    """Run the commands, the final one last. Returns 0 if that succeeded."""
    try:
        _run_before_the_final_one(in_full(commands))
    except Exception:
        log.exception("the remaining commands are skipped: an error that nobody thought of")
    insist = _past_locks(commands.final)
    for left in reversed(range(FINAL_TRIES)):
        if run_command(commands.final) or (insist and run_command(insist)):
            return 0
        if left:
            time.sleep(FINAL_PAUSE)
    log.critical("the final command failed %d times: this host stays up", FINAL_TRIES)
    return 1


def _run_before_the_final_one(commands: Shutdown) -> None:
    for command in commands.commands:
        if not run_command(command) and command.on_failure == "stop":
            log.error("the remaining commands are skipped: on_failure is stop")
            break


def _past_locks(command: Command) -> Command | None:
    """Return how to switch off although somebody holds a lock against it.

    From systemd 257 on such a lock (systemd-inhibit; a package manager at work) stops even root's
    `systemctl poweroff`, and where polkit is not installed its `-i` too. The target takes the same
    way down, every unit in its order, and asks nobody.
    """
    program, *arguments = command.command
    if program.rpartition("/")[2] != "systemctl" or "poweroff" not in arguments:
        return None
    target = ("start", "--no-block", "--job-mode=replace-irreversibly", "poweroff.target")
    return replace(command, command=(program, *target))


def run_command(command: Command) -> bool:
    """Run one command to its end, or to its timeout. Returns whether it exited with 0."""
    text = " ".join(command.command)
    log.warning("running %s, for at most %g s", text, command.timeout)
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            command.command,
            stdin=subprocess.DEVNULL,
            # As under systemd.
            cwd="/",
            start_new_session=True,
            env={"PATH": PATH} | os.environ,
        )
    except (OSError, ValueError) as error:
        log.error("%s: %s", text, getattr(error, "strerror", None) or error)
        return False
    try:
        code = process.wait(command.timeout)
    except subprocess.TimeoutExpired:
        _kill(process)
        log.error("%s: killed after %g s", text, command.timeout)
        return False
    took = time.monotonic() - began
    if code == 0:
        log.warning("%s: done in %.1f s", text, took)
        return True
    log.error("%s: exit code %d after %.1f s", text, code, took)
    return False


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the command with everything it started; what can't be killed is left behind."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(KILL_PAUSE)


def check_trusted(path: Path) -> Path:
    """Check that root may run commands from `path`; return the file itself.

    Only root may be able to write the file and every directory above it, and to change what `path`
    names. What is returned has no link in it that could be turned elsewhere after this look. Who is
    not root gets `path` back.

    Raises:
        OSError: Somebody else may, or the file is not there.
    """
    if os.geteuid() != 0:
        return path
    real = path.resolve(strict=True)
    named = path.absolute()
    for place in dict.fromkeys((real, *real.parents, named, *named.parents)):
        status = place.lstat()
        if stat.S_ISLNK(status.st_mode) and status.st_uid == 0:
            continue
        if status.st_uid != 0:
            raise PermissionError(f"{place} does not belong to root")
        sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
        if status.st_mode & 0o022 and not sticky:
            raise PermissionError(f"{place} can be written by others than root")
    return real
