"""Word of it: what people are told, through Apprise.

The server makes one `Notifier`, shows it the fleet now and then, and runs it beside. Neither
Apprise nor Jinja2 is imported here: both live in the process that delivers (`deliver`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from powmonman.core.records import RecordError, from_json
from powmonman.core.telling import look
from powmonman.core.told import Rules, Told
from powmonman.notify.courier import Courier
from powmonman.service.clock import boottime
from powmonman.service.files import read_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from powmonman.config.notify_keys import Notify
    from powmonman.config.schema import ServerConfig
    from powmonman.core.events import Event, Seen

__all__ = ["Notifier"]

log = logging.getLogger("powmonman.notify")

TOLD = "told.json"
AFTER_A_FAULT = 60.0


class Notifier:
    """All of it, for the server. No method raises, and none but `run` takes time."""

    def __init__(self, config: ServerConfig, *, program: Sequence[str] = ()) -> None:
        self._config = config.notify
        directory = Path(config.state_dir) / "notify"
        server = socket.gethostname()
        self._courier = Courier(
            config.notify, directory, fleet=config.fleet, server=server, program=program
        )
        self._told = self._recalled(directory / TOLD)
        self._written = self._told.lasting()
        self._fault = ""
        # Of a drill nothing is kept: who is told of it twice is told of nothing real.
        self._drilled = Told()

    @property
    def enabled(self) -> bool:
        """Whether `observe` does anything."""
        return self._config.enabled

    def observe(self, seen: Seen) -> None:
        """Look at the fleet, about once a second and whenever something has changed."""
        if not self._config.enabled:
            return
        try:
            rules = _rules(self._config)
            self._told, events = look(self._told, seen, rules, boottime(), time.time())
            self._courier.tell(events)
            # After the message: if the power goes in between, it is told twice, not never.
            if (lasting := self._told.lasting()) != self._written:
                self._written = lasting
                self._courier.spool.note(TOLD, lasting)
        except Exception as error:  # noqa: BLE001 - the shutdown of hosts depends on it
            self._broken(error)

    def observe_drill(self, seen: Seen) -> None:
        """Look at the fleet as a drill has it; all that is told of it is marked as a drill's."""
        if not self._config.enabled:
            return
        try:
            rules = _rules(self._config)
            self._drilled, events = look(self._drilled, seen, rules, boottime(), time.time())
            self._courier.tell(replace(event, drill=True) for event in events)
        except Exception as error:  # noqa: BLE001 - likewise
            self._broken(error)

    def end_drill(self, result: Event) -> None:
        """Tell how a drill has ended, and forget what was told of it."""
        self._drilled = Told()
        if not self._config.enabled:
            return
        try:
            self._courier.tell([result])
        except Exception as error:  # noqa: BLE001 - likewise
            self._broken(error)

    def reconfigure(self, config: ServerConfig) -> None:
        """Go on with another configuration. `state_dir` and `fleet` take effect with a restart."""
        if self._config.enabled and not config.notify.enabled:
            # Of what happens until it is enabled again nobody is told.
            self._told = self._written = Told()
            self._courier.spool.note(TOLD, self._told)
        self._config = config.notify
        self._courier.reconfigure(config.notify)

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            try:
                await self._courier.run()
            except Exception as error:  # noqa: BLE001 - likewise
                self._broken(error)
            await asyncio.sleep(AFTER_A_FAULT)

    @property
    def faults(self) -> list[str]:
        """What keeps people from being told, one line each, for the server's report."""
        found = [self._fault] if self._fault else []
        with contextlib.suppress(Exception):
            found += self._courier.faults
        return found

    def _broken(self, error: Exception) -> None:
        """Say it once; the server goes on."""
        fault = f"notify: {type(error).__name__}: {error}"
        if fault != self._fault:
            log.error("notifications are broken: %s", fault, exc_info=error)
        self._fault = fault

    def _recalled(self, path: Path) -> Told:
        if not self._config.enabled:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            return Told()
        try:
            return from_json(Told, read_json(path) or {})
        except RecordError:
            return Told()


def _rules(config: Notify) -> Rules:
    return Rules(config.milestones, config.lost_after, config.unknown_after)
