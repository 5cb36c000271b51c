"""One run of a program, of which nothing is left when it is over.

asyncio's own subprocesses take a thread for each run in Python 3.11, and wait for ever when they
are cancelled while they start. A process, two pipes and the loop's readers do the same in less.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

# A reading takes 100 bytes; the bound is for a program that never stops writing.
MAX_BYTES = 4096
# For a killed process to be gone. It takes a millisecond, unless a device driver holds it.
GRACE = 0.5
# Where the kernel doesn't tell of the end of a process (Linux before 5.3, other systems).
LOOK_AGAIN = 0.02

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Run:
    """A program that has been started, in a process group of its own; no shell reads the command.

    Attributes:
        output: What it wrote on standard output.
        complaint: What it wrote on standard error.
        excess: It was killed because it wrote more than `MAX_BYTES` on one of them.
        late: It was killed because its time was over.
        escaped: It had ended by then, but left a process that held its output.

    Raises:
        OSError: It can't be started.
        ValueError: Likewise, for what the arguments hold.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.output = bytearray()
        self.complaint = bytearray()
        self.excess = self.late = self.escaped = False
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            env={"PATH": PATH} | os.environ,
        )
        self._kept = {
            cast("BinaryIO", self._process.stdout): self.output,
            cast("BinaryIO", self._process.stderr): self.complaint,
        }
        self._end = -1
        self._hung_up = False

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def code(self) -> int:
        """Its exit code, or the negative number of the signal that killed it."""
        return self._process.returncode or 0

    def is_over(self) -> bool:
        """Whether the process is gone; it may be read, and is then no zombie either."""
        return self._process.poll() is not None

    async def to_its_end(self, at_most: float) -> None:
        """Wait until it ends, has written too much, or `at_most` seconds are over; leave nothing.

        To be called once, and at once: it takes up what the program writes.
        """
        self._loop = asyncio.get_running_loop()
        self._gone = self._loop.create_future()
        self._done = self._loop.create_future()
        try:
            self._listen()
            await asyncio.wait({self._done}, timeout=at_most)
            self.late = not self._done.done()
            self.escaped = self.late and self._gone.done()
        finally:
            try:
                if not self._gone.done():
                    self._kill_group()
                    await asyncio.wait({self._gone}, timeout=GRACE)
            finally:
                self._hang_up()

    def _listen(self) -> None:
        for pipe in self._kept:
            os.set_blocking(pipe.fileno(), False)
            self._loop.add_reader(pipe, self._take, pipe)
        try:
            self._end = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            self._look()
        else:
            self._loop.add_reader(self._end, self._ended)

    def _look(self) -> None:
        if self.is_over():
            self._ended()
        elif not self._hung_up:
            self._loop.call_later(LOOK_AGAIN, self._look)

    def _take(self, pipe: BinaryIO) -> None:
        kept = self._kept[pipe]
        data = pipe.read(MAX_BYTES)
        if data is None:
            return
        kept += data
        if not data:
            self._loop.remove_reader(pipe)
            pipe.close()
        elif len(kept) > MAX_BYTES:
            self.excess = True
        self._finish()

    def _ended(self) -> None:
        """Let what it left running end too, and with that its output."""
        if self._end >= 0:
            self._loop.remove_reader(self._end)
        # Before it is reaped: until then nobody else can have its number.
        self._kill_group()
        if not self._gone.done():
            self._gone.set_result(None)
        self._finish()

    def _finish(self) -> None:
        heard = self._gone.done() and all(pipe.closed for pipe in self._kept)
        if (heard or self.excess) and not self._done.done():
            self._done.set_result(None)

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _hang_up(self) -> None:
        for pipe in self._kept:
            if not pipe.closed:
                self._loop.remove_reader(pipe)
                pipe.close()
        if self._end >= 0:
            self._loop.remove_reader(self._end)
            os.close(self._end)
        self._hung_up = True
        self._process.poll()
