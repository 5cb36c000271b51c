"""A shutdown seen through: requested once, taken up by root, and started some other way if not.

What is written down comes first, so that no restart of the client makes a second request, and
none forgets one that was decided.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from typing import TYPE_CHECKING

from powmonman.client import shutdown, stamp

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from powmonman.config.shutdown_keys import Shutdown

log = logging.getLogger("powmonman.client")

TAKEN_WITHIN = 15.0
# Then it is no lack of memory or processes for the moment: perhaps Python has been removed.
MOST_TRIES = 3
LEFT_BEHIND = (shutdown.PREPARED, shutdown.REQUESTED)


class Request:
    """The way from this client's decision to the commands.

    Args:
        runtime_dir: Where the request is made.
        save: Writes the plan, and with it the decision, down.
    """

    def __init__(self, runtime_dir: Path, save: Callable[[], None]) -> None:
        self._runtime = runtime_dir
        self._save = save
        self._taken_by: float | None = None
        self._unstarted = 0
        self._reserved = False

    def reserve(self) -> None:
        """Make sure of the room for a request. Called until a shutdown is decided."""
        if self._reserved:
            return
        with contextlib.suppress(OSError):
            shutdown.reserve(self._runtime)
            self._reserved = True

    def is_old(self) -> bool:
        """Whether what an earlier client left behind is so old that root would refuse it."""
        return any(stamp.refusal(self._runtime / name) for name in LEFT_BEHIND)

    def disown(self) -> bool:
        """Remove what an earlier client left behind; whether there was anything."""
        found = False
        for name in LEFT_BEHIND:
            try:
                found |= shutdown.withdraw(self._runtime, name)
            except OSError as error:
                log.error("%s: %s", self._runtime / name, error.strerror)
        if found:
            log.warning("a request for a shutdown that was left behind is void, and removed")
        return found

    def make(self, commands: Shutdown, reason: str, outage: str) -> None:
        """Request the shutdown that was decided."""
        self._reserved = False
        try:
            shutdown.prepare(self._runtime, reason)
        except OSError as error:
            log.critical("%s: %s · starting the commands directly", self._runtime, error.strerror)
            self._save()
            self._start_directly(commands)
        else:
            self._save()
            self.finish(commands, outage)

    def finish(self, commands: Shutdown, outage: str) -> None:
        """Make a request that is laid ready: now, or after a crash."""
        shutdown.renew(self._runtime)
        try:
            if shutdown.request(self._runtime):
                log.warning("shutdown requested", extra={"outage": outage})
            if commands.via == "unit":
                self._taken_by = time.monotonic() + TAKEN_WITHIN
            elif shutdown.withdraw(self._runtime):
                self._start_directly(commands)
        except OSError as error:
            log.critical("%s: %s · starting the commands directly", self._runtime, error.strerror)
            self._start_directly(commands)

    def watch(self, commands: Shutdown, *, over: bool) -> None:
        """See to it that the commands are run, in every way there is. Called now and then.

        `over`: the reason for the shutdown is gone; a request that nobody took up ends with it.
        """
        if self._taken_by is None or time.monotonic() < self._taken_by:
            return
        self._taken_by = None
        if self._unstarted:
            self._start_directly(commands)
        elif os.geteuid() != 0:
            self._wait_for_root(over=over)
        elif self._withdraw():
            log.critical("powmonman-shutdown.path did not take the request up: is it active?")
            self._start_directly(commands)

    def _wait_for_root(self, *, over: bool) -> None:
        """Nobody else may run the commands, and on a busy host root may be late."""
        if not shutdown.requested(self._runtime):
            return
        if over:
            self._withdraw()
            log.warning("the mains are back and nobody took the request up: it is withdrawn")
            return
        shutdown.renew(self._runtime)
        log.critical("powmonman-shutdown.path has not taken the request up yet: is it active?")
        self._taken_by = time.monotonic() + TAKEN_WITHIN

    def _withdraw(self) -> bool:
        """Whether nobody has taken the request up; nobody will then."""
        try:
            return shutdown.withdraw(self._runtime)
        except OSError:
            return True

    def _start_directly(self, commands: Shutdown) -> None:
        try:
            if self._unstarted < MOST_TRIES:
                shutdown.start_directly(commands)
            else:
                shutdown.start_final(commands)
        except Exception as error:  # noqa: BLE001 (whatever it is, the host must go down)
            log.critical("the shutdown commands can't be started: %s", error)
            self._unstarted += 1
            self._taken_by = time.monotonic() + TAKEN_WITHIN
        else:
            if self._unstarted >= MOST_TRIES:
                log.critical("the final command is started alone")
            self._unstarted = 0
