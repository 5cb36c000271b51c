"""A service manager in small, for the demo and for hosts without systemd.

`start` runs `powmonman ARGS` detached and returns when it says that it is ready (sd_notify, as
under systemd). `stop` asks, waits, and then insists. The process file names the process by its
pid, its start time and the boot, so that a pid that was given away meanwhile is never signalled.
Each command can be repeated: what is as it should be stays, and the answer says so.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from powmonman.core.records import RecordError, from_json
from powmonman.service.clock import boot_id
from powmonman.service.files import read_json, write_json
from powmonman.service.program import home, own_program

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

_LOG_LINES_SHOWN = 5


class ProcessError(Exception):
    """What was asked for could not be done; the text says why."""


@dataclass(frozen=True)
class Process:
    """One process, beyond doubt: `started` is in clock ticks since the boot `boot`."""

    pid: int
    started: int
    boot: str

    @classmethod
    def observe(cls, pid: int) -> Process | None:
        """Return the living process with this pid."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
        except OSError:
            return None
        # The second field is the name in brackets, which may hold spaces and brackets itself.
        fields = stat.rpartition(")")[2].split()
        state, started = fields[0], int(fields[19])
        return None if state in "ZX" else cls(pid, started, boot_id())

    @classmethod
    def recorded(cls, pid_file: Path) -> Process | None:
        """Return the process that the file names if that very process lives."""
        try:
            process = from_json(cls, read_json(pid_file) or {})
        except RecordError:
            return None
        return process if cls.observe(process.pid) == process else None

    def signal(self, number: signal.Signals, wait: float = 0) -> bool:
        """Send a signal to this process and no other; True if it has ended `wait` s later."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            if Process.observe(self.pid) != self:
                return True
            signal.pidfd_send_signal(handle, number)
            return bool(select.select([handle], [], [], wait)[0])
        except ProcessLookupError:
            return True
        finally:
            os.close(handle)


def start(pid_file: Path, log: Path | None, arguments: Sequence[str], wait: float) -> bool:
    """Start `powmonman ARGUMENTS` unless it runs; True if it was started and is ready.

    Raises:
        ProcessError: It ended at once, or wasn't ready after `wait` seconds (and was stopped).
    """
    with _only_one(pid_file):
        if Process.recorded(pid_file):
            return False
        name = f"powmonman-{secrets.token_hex(8)}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            ready.bind(f"\0{name}")
            child = _spawn(log, arguments, f"@{name}")
            process = Process.observe(child.pid)
            if process:
                write_json(pid_file, asdict(process), durable=False)
            if process and _is_ready(ready, child, wait):
                return True
        if process and child.poll() is None:
            process.signal(signal.SIGKILL)
            why = f"was not ready after {wait:g} s"
        else:
            why = f"ended at once with exit code {child.wait()}"
        child.wait()
        pid_file.unlink(missing_ok=True)
        raise ProcessError(f"powmonman {' '.join(arguments)} {why}{_end_of(log)}")


def stop(pid_file: Path, wait: float) -> bool:
    """End the process; True if there was one to end. After `wait` seconds it is killed.

    Raises:
        ProcessError: It can't be ended even so.
    """
    with _only_one(pid_file):
        process = Process.recorded(pid_file)
        if process and not (process.signal(signal.SIGTERM, wait) or _kill(process)):
            raise ProcessError(f"process {process.pid} does not end")
        pid_file.unlink(missing_ok=True)
        return process is not None


def reload(pid_file: Path) -> bool:
    """Make the process read its configuration anew.

    Raises:
        ProcessError: It doesn't run.
    """
    process = Process.recorded(pid_file)
    if not process or process.signal(signal.SIGHUP):
        raise ProcessError(f"no process to reload ({pid_file})")
    return True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `powmonman process`."""
    parser.description = "Run a service detached, where there is no systemd."
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for action, purpose in {
        "start": "start it, unless it runs",
        "restart": "end it and start it",
        "stop": "end it, if it runs",
        "reload": "make it read its configuration anew (SIGHUP)",
        "status": "say whether it runs (exit code 0 or 1)",
    }.items():
        sub = actions.add_parser(action, help=purpose, description=purpose)
        sub.add_argument("--pid-file", type=Path, required=True, help="names the process")
        if action != "status":
            sub.add_argument(
                "--wait", type=float, default=15, help="seconds that it has (default: %(default)g)"
            )
        if action in {"start", "restart"}:
            sub.add_argument("--log", type=Path, help="file for what it writes")
            sub.add_argument(
                "arguments", nargs="+", metavar="ARGS", help="e.g. -- server --config server.yml"
            )


def run(arguments: argparse.Namespace) -> int:
    """Do one action, and print what it changed as JSON."""
    pid_file = arguments.pid_file.absolute()
    try:
        changed = _act(arguments, pid_file)
    except (ProcessError, OSError) as error:
        print(f"powmonman process: {error}", file=sys.stderr)
        return 1
    process = Process.recorded(pid_file)
    answer: dict[str, Any] = {"changed": changed, "running": process is not None}
    print(json.dumps(answer | ({"pid": process.pid} if process else {})))
    return 1 if arguments.action == "status" and not process else 0


def _act(arguments: argparse.Namespace, pid_file: Path) -> bool:
    match arguments.action:
        case "status":
            return False
        case "stop":
            return stop(pid_file, arguments.wait)
        case "reload":
            return reload(pid_file)
        case "restart":
            stop(pid_file, arguments.wait)
    return start(pid_file, arguments.log, arguments.arguments, arguments.wait)


@contextlib.contextmanager
def _only_one(pid_file: Path) -> Iterator[None]:
    """Keep a second `start` waiting, else both would see nothing running."""
    pid_file.parent.mkdir(parents=True, exist_ok=True)
    directory = os.open(pid_file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _spawn(log: Path | None, arguments: Sequence[str], notify: str) -> subprocess.Popen[bytes]:
    with (log or Path(os.devnull)).open("ab") as output:
        return subprocess.Popen(
            [*own_program(), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=home(),
            env={**os.environ, "NOTIFY_SOCKET": notify},
            start_new_session=True,
        )


def _is_ready(ready: socket.socket, child: subprocess.Popen[bytes], wait: float) -> bool:
    end = time.monotonic() + wait
    while child.poll() is None and (left := end - time.monotonic()) > 0:
        if select.select([ready], [], [], min(left, 0.05))[0]:
            lines = ready.recv(4096).decode(errors="replace").splitlines()
            if "READY=1" in lines:
                return True
    return False


def _kill(process: Process) -> bool:
    return process.signal(signal.SIGKILL, 5)


def _end_of(log: Path | None) -> str:
    try:
        lines = log.read_text("utf-8", errors="replace").splitlines() if log else []
    except OSError:
        lines = []
    return "".join(f"\n  {line}" for line in lines[-_LOG_LINES_SHOWN:])
