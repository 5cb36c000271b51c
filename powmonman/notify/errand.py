"""One errand: the process that delivers is started, fed, listened to, and ended in time.

Everything here blocks, and so belongs in a thread: even starting a process waits for the disk.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from typing import IO, TYPE_CHECKING, cast

from powmonman.core.records import RecordError, from_json, parse
from powmonman.notify.job import Job, Result, packed
from powmonman.notify.redact import redacted
from powmonman.service.program import home, own_program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from powmonman.config.notify_keys import Template

LONGEST_LINE = 64 * 1024


class Errand:
    """One run of `powmonman notify-deliver`."""

    def __init__(
        self, job: Job, templates: Mapping[str, Template], program: Sequence[str] = ()
    ) -> None:
        self._job = job
        self._templates = templates
        self._program = [*program] or [*own_program(), "notify-deliver"]
        self._process: subprocess.Popen[bytes] | None = None
        self._called_off = False
        self._noise = ""

    def run(self, tell: Callable[[Result], object]) -> None:
        """Deliver, and tell of each message until one fails. Blocks.

        A message has `timeout` seconds. One that was not sent is always told of, whatever became of
        the process, unless it was called off.
        """
        due = [sending.message.number for sending in self._job.sendings]
        try:
            process = self._start()
        except OSError as error:
            tell(Result(due[0], reason=f"can't be started: {error.strerror or error}"))
            return
        try:
            why = self._listen(process, due, tell)
        finally:
            self.call_off()
            code = process.wait()
            if process.stdout:
                process.stdout.close()
        if due and why != "failed":
            ended = f"the delivery ended with exit code {code}"
            noise = f": {redacted(self._noise)}" if self._noise else ""
            tell(Result(due[0], reason=why or ended + noise))

    def call_off(self) -> None:
        """End the process, whatever it does. Doesn't block."""
        self._called_off = True
        if self._process is not None:
            self._process.kill()

    def _start(self) -> subprocess.Popen[bytes]:
        # Not a pipe: nobody waits until the process has read it.
        with open(os.memfd_create("notify"), "w+b") as file:
            file.write(packed(self._job, self._templates))
            file.seek(0)
            process = subprocess.Popen(
                self._program,
                stdin=file,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=home(),
                start_new_session=True,
            )
        self._process = process
        if self._called_off:
            self.call_off()
        return process

    def _listen(
        self, process: subprocess.Popen[bytes], due: list[int], tell: Callable[[Result], object]
    ) -> str:
        """Take results until all are there; returns `failed`, or why the rest is missing."""
        source = cast("IO[bytes]", process.stdout).fileno()
        # Not select(): the server may have more connections than that can count.
        ready = select.poll()
        ready.register(source, select.POLLIN)
        end = time.monotonic() + self._job.timeout
        rest = b""
        while due:
            left = end - time.monotonic()
            if left <= 0 or not ready.poll(left * 1000):
                return f"no answer within {self._job.timeout:g} s"
            data = os.read(source, LONGEST_LINE)
            if self._called_off or not data:
                # Whoever calls off wants no results.
                return "failed" if self._called_off else ""
            *lines, rest = (rest + data)[-LONGEST_LINE:].split(b"\n")
            for line in lines:
                result = self._result(line, due)
                if result is None:
                    continue
                tell(result)
                if not result.sent:
                    return "failed"
                due.pop(0)
                end = time.monotonic() + self._job.timeout
        return ""

    def _result(self, line: bytes, due: list[int]) -> Result | None:
        """Return the result in `line`; everything else is remembered as the last words."""
        try:
            result = from_json(Result, parse(line))
        except RecordError:
            self._noise = line.decode(errors="replace").strip() or self._noise
            return None
        return result if due and result.number == due[0] else None
