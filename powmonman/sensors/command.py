"""Mains as a program says, by its exit code or as JSON.

The program is run anew at each poll, without a shell, in a process group of its own that is killed
with all that is in it when the program has ended or its time is over.

| standard output | exit code                    | reading                     |
|-----------------|------------------------------|-----------------------------|
| nothing         | 0                            | on mains                    |
| nothing         | 1, and nothing on stderr     | off                         |
| nothing         | 1, and a complaint on stderr | unknown, with the complaint |
| a JSON object   | 0                            | as it says                  |
| anything else   | any                          | unknown                     |
| too much        | none: it was killed          | unknown                     |

The complaint matters because 1 is also how programs fail: a Python program that raises, `cat` of a
file that is not there. They say so on stderr, and a program that failed must not be an outage.
"""

from __future__ import annotations

import errno
import os
import shlex
import signal
from typing import TYPE_CHECKING

from powmonman.core.power import Reading, unknown
from powmonman.core.records import printable
from powmonman.sensors.answer import AnswerError, understand
from powmonman.sensors.program import MAX_BYTES, Run

if TYPE_CHECKING:
    from powmonman.config.sources import Program

COMPLAINT = 200

_BY_HAND = "run it by hand as the service's user to see why"
_REMEDIES = {
    errno.ENOENT: "install it, or mend `command` (and the first line of a script)",
    errno.EACCES: "it needs chmod +x, and a place that the service's user may read, not /home",
    errno.ENOEXEC: "a script begins with a line such as #!/bin/sh",
}


class CommandSensor:
    """Runs a program at each poll.

    Raises:
        ValueError: The settings name no program.
    """

    def __init__(self, settings: Program) -> None:
        if not settings.command:
            raise ValueError("command names no program: write a list such as [/usr/bin/mains-on]")
        self._settings = settings
        self._name = printable(settings.command[0])
        self._stuck: Run | None = None

    @property
    def poll(self) -> float:
        """Seconds between two calls of `read`."""
        return self._settings.poll

    verify_takes = 0.0

    @property
    def patience(self) -> float:
        """Seconds after which a run that has not ended counts as unknown."""
        return self._settings.timeout + 1

    def describe(self) -> str:
        """Return one line for the log."""
        return (
            f"command {self._name}: run every {self._settings.poll:g} s for at most "
            f"{self._settings.timeout:g} s as `{printable(shlex.join(self._settings.command))}`"
        )

    async def read(self) -> Reading:
        """Run the program, and return what it says."""
        if self._stuck is not None and not self._stuck.is_over():
            # Else every poll would add one more.
            return self._unknown(
                f"process {self._stuck.pid} of an earlier run can't be killed",
                "see what holds it: ps -o pid,stat,wchan,args",
            )
        self._stuck = None
        try:
            run = Run(self._settings.command)
        except (OSError, ValueError) as error:
            return self._not_started(error)
        self._stuck = run
        await run.to_its_end(self._settings.timeout)
        if run.is_over():
            self._stuck = None
        return self._judge(run)

    async def verify(self) -> Reading:
        """Return `read()`: one more run."""
        return await self.read()

    def close(self) -> None:
        """Do nothing: between two runs nothing is held."""

    def _unknown(self, what: str, remedy: str) -> Reading:
        return unknown(f"{self._name}: {what}; {remedy}")

    def _not_started(self, error: OSError | ValueError) -> Reading:
        number = getattr(error, "errno", None) or 0
        text = (os.strerror(number) if number else printable(str(error))).lower()
        return self._unknown(text, _REMEDIES.get(number, _BY_HAND))

    def _judge(self, run: Run) -> Reading:
        if run.excess or run.late:
            return self._cut_short(run)
        if run.code < 0:
            return self._unknown(f"killed by {_signal_name(-run.code)}", _BY_HAND)
        text, complaint = bytes(run.output), _last_line(run.complaint)
        if text.strip():
            return self._spoken(text, run.code, complaint)
        if run.code == 0 or (run.code == 1 and not complaint):
            return Reading(mains=run.code == 0)
        return self._unknown(f"exit code {run.code}{complaint}", _BY_HAND)

    def _cut_short(self, run: Run) -> Reading:
        if run.excess:
            return self._unknown(
                f"killed, it wrote more than {MAX_BYTES} bytes", "let it write one JSON object"
            )
        timeout = f"killed after {self._settings.timeout:g} s"
        if run.escaped:
            return self._unknown(
                f"{timeout}, it left a process that holds its output", "let it leave none"
            )
        return self._unknown(timeout, "raise `timeout`, or see what it waits for")

    def _spoken(self, text: bytes, code: int, complaint: str) -> Reading:
        if code != 0:
            return self._unknown(f"exit code {code} after an answer{complaint}", _BY_HAND)
        try:
            return understand(text)
        except AnswerError as error:
            return self._unknown(
                f"{error}{complaint}", 'let it write {"mains": "on"}, or "off", or nothing'
            )


def _last_line(complaint: bytearray) -> str:
    """Return what was said last on stderr, in brackets; what failed stands there, not above."""
    lines = bytes(complaint).decode("utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f" ({printable(last)[:COMPLAINT]})" if last else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
