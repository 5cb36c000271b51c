"""One of the two processes: started, listened to, watched, ended, and found again.

A guard that was killed leaves its processes behind, on purpose: the countdown goes on in one of
them. The next guard finds them by their command line, which names a file that only this guard's
processes have. A file with their process ids would miss one that was started a moment before.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from powmonman.service.process import Process
from powmonman.service.program import home, own_program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from powmonman.guard.prepare import Account

STOPPING = 5.0
# Of the guard's own environment; the processes have none of it, or their own.
_WITHHELD = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "POWMONMAN_CA_PASSPHRASE"}
# pid, uid and gid: struct ucred, unix(7).
_CREDENTIALS = struct.Struct("3i")


class Child:
    """`powmonman KIND --config FILE` as a process; `account` is who it runs as, else who we are.

    Attributes:
        kind: `server` or `client`.
        ready: Whether it has said that it is.
        again_at: When it is started again, on the monotonic clock; None while it runs.
        ending: A file descriptor that is readable once it has ended; -1 if it doesn't run.
        ear: Where it says that it is ready and alive; None if it doesn't run.
    """

    def __init__(self, kind: str, config: Path, account: Account | None) -> None:
        self.kind = kind
        self.ready = False
        self.again_at: float | None = 0.0
        self.ending = -1
        self.ear: socket.socket | None = None
        self._arguments = (kind, "--config", str(config))
        self._account = account
        self._process: subprocess.Popen[bytes] | None = None
        self._silences = 0

    def start(self) -> socket.socket:
        """Start it; return its ear.

        Raises:
            OSError: It can't be started now.
        """
        address = f"powmonman-{secrets.token_hex(16)}"
        with contextlib.ExitStack() as undo:
            ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            undo.callback(ear.close)
            ear.setblocking(False)
            ear.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            ear.bind(f"\0{address}")
            process = subprocess.Popen(
                [*own_program(), *self._arguments],
                stdin=subprocess.DEVNULL,
                cwd=home(),
                env=self._environment() | {"NOTIFY_SOCKET": f"@{address}"},
                # Ctrl-C is the guard's to pass on.
                start_new_session=True,
                umask=0o077,
                **self._identity(),
            )
            undo.callback(process.kill)
            self.ending = os.pidfd_open(process.pid)
            undo.pop_all()
        self.ear, self._process = ear, process
        self.ready, self.again_at, self._silences = False, None, 0
        return ear

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in _WITHHELD}
        return kept | ({"HOME": self._account.home} if self._account else {})

    def _identity(self) -> dict[str, Any]:
        if (account := self._account) is None:
            return {}
        return {"user": account.user, "group": account.group, "extra_groups": account.groups}

    def listen(self) -> bool:
        """Take in what it has said; return whether that was anything."""
        said = False
        with contextlib.suppress(BlockingIOError):
            while self.ear is not None:
                words, credentials, _, _ = self.ear.recvmsg(4096, socket.CMSG_SPACE(12))
                if self._process is None or self._process.pid != _sender(credentials):
                    continue
                said = True
                self.ready |= b"READY=1" in words.split(b"\n")
        return said

    def hangs(self) -> bool:
        """Tell whether it has said nothing since the call before the last.

        Called now and then. Twice, because after a stall of the whole machine the guard may run
        before its processes have had their turn.
        """
        if self.ending < 0 or self.listen():
            self._silences = 0
        else:
            self._silences += 1
        return self._silences >= 2

    def ended(self) -> str:
        """Take note of its end; return how it ended."""
        code = self._process.wait() if self._process else 0
        if self.ending >= 0:
            os.close(self.ending)
        if self.ear is not None:
            self.ear.close()
        self.ending, self.ear, self.ready, self._process = -1, None, False, None
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"was ended by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self._process is not None:
            self._process.send_signal(number)

    def stop(self) -> None:
        """End it, and wait for that; `SIGTERM` may have been sent before."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOPPING)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self.ended()

    def replace_leftovers(self) -> list[int]:
        """End what an earlier guard left running of this kind; return the process ids."""
        found = list(_running(self._arguments))
        for process in found:
            with contextlib.suppress(PermissionError):
                if not process.signal(signal.SIGTERM, STOPPING):
                    process.signal(signal.SIGKILL, STOPPING)
        return [process.pid for process in found]


def _sender(ancillary: list[tuple[int, int, bytes]]) -> int:
    """Return the process that said something, as the kernel knows it."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            return int(_CREDENTIALS.unpack(data)[0])
    return 0


def _running(arguments: tuple[str, ...]) -> Iterator[Process]:
    """Return the processes of ours whose command line ends with `arguments`."""
    wanted = [os.fsencode(argument) for argument in arguments]
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (place / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            if words[-len(wanted) :] == wanted and (found := Process.observe(int(place.name))):
                yield found
