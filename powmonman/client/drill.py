"""The drill in the client's process: the second plan, the check of the commands, the magic packet.

Nothing here can request a shutdown: the only file that it makes is `shutdown-check`, and the only
program that it starts is the check.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from powmonman.client import connector
from powmonman.client.check import REQUEST, RESULT, check_commands
from powmonman.core import drill
from powmonman.core.plan import Say
from powmonman.net.udp import open_udp
from powmonman.net.wake import digits, magic
from powmonman.service.apart import apart
from powmonman.service.clock import boot_id, boottime
from powmonman.service.files import read_json

if TYPE_CHECKING:
    from powmonman.config.client_schema import ClientConfig
    from powmonman.core.messages import DrillStatus, State
    from powmonman.core.plan import Now, Plan, Rules

log = logging.getLogger("powmonman.client")

# While something is awaited that wakes nobody up.
LOOK_EVERY = 0.3
CHECK_WITHIN = 75.0
LONGEST_PACKET = 2048
MOST_PACKETS = 64
MOST_FAULTS, LONGEST_FAULT = 20, 300


class Rehearsing:
    """One client's part in drills."""

    def __init__(self, config: ClientConfig, rules: Rules) -> None:
        self._config, self._rules = config, rules
        self._part = drill.Rehearsal()
        self._named = ""
        self._said: DrillStatus | None = None
        self._asked: float | None = None
        self._result: dict[str, Any] | None = None
        self._checked_here: list[dict[str, Any]] = []
        self._ears: socket.socket | None = None
        self._wake_heard = False

    def reconfigure(self, config: ClientConfig, rules: Rules) -> None:
        """Go on with another configuration."""
        self._config, self._rules = config, rules

    def reconnected(self) -> None:
        """Say everything again."""
        self._said = None

    @apart(None)
    def heard(self, state: State, before: Plan, after: Plan, now: Now) -> None:
        """Take a state that the real plan has just heard, which was `before` and is `after`."""
        self._named = state.drill.id if state.drill else ""
        if self._named or self._part.id:
            self._take(drill.heard(self._part, state, self._rules, now, before=before, after=after))

    @apart(None)
    def passed(self, real: Plan, now: Now) -> None:
        """Let time pass; `real` is the real plan."""
        if self._part.id:
            self._take(drill.passed(self._part, real, self._rules, now))
        if self._part.id:
            self._listen()
            self._look_for_the_result()

    @property
    def wake_at(self) -> float | None:
        """When `passed` must be called at the latest (running clock); None: never."""
        due = self._part.wake_at
        if due is None:
            return None
        return min(due, time.monotonic() + LOOK_EVERY) if self._waits else due

    @property
    def _waits(self) -> bool:
        return self._asked is not None or (self._ears is not None and not self._wake_heard)

    @apart(None)
    def news(self) -> DrillStatus | None:
        """Return what the server is to be told, if it is news."""
        status = self._part.status(self._rules)
        if status is None or status.id != self._named:
            return None
        result = self._result or {}
        found = tuple(str(fault)[:LONGEST_FAULT] for fault in result.get("faults", ()))
        armed = result.get("wake_armed")
        status = replace(
            status,
            checked=self._result is not None,
            faults=found[:MOST_FAULTS],
            wake_heard=self._wake_heard,
            wake_armed=armed if isinstance(armed, bool) else None,
        )
        if replace(status, left=None) == self._said:
            return None
        self._said = replace(status, left=None)
        return status

    def broken(self) -> None:
        """End the drill here, after an error: what counts goes on."""
        why = "an error that nobody thought of; the log of this host has it"
        self._part = drill.Rehearsal(past=self._part.id or self._named, why=why)
        self._asked = None
        self.close()

    def close(self) -> None:
        """End."""
        if self._ears is not None:
            self._ears.close()
            self._ears = None

    def _take(self, outcome: drill.Outcome) -> None:
        before, (self._part, effects) = self._part.id, outcome
        if self._part.id != before:
            self._begin_or_end()
        for effect in effects:
            if isinstance(effect, Say):
                log.log(effect.level, effect.text, extra={"outage": self._part.plan.outage})
            else:
                self._check()

    def _begin_or_end(self) -> None:
        self._asked, self._wake_heard = None, False
        self.close()
        if not self._part.id:
            return
        self._result, self._checked_here = None, []
        try:
            self._ears = open_udp(socket.AF_INET, self._config.port)
        except OSError as error:
            log.warning("drill · no magic packet can be heard: %s", error.strerror)

    def _check(self) -> None:
        """Have the commands checked, by whoever would run them."""
        self._result, self._asked = None, boottime()
        commands = self._config.shutdown
        if commands.via == "direct":
            # Apart, as the preflights may take their time.
            threading.Thread(target=self._check_here, name="check", daemon=True).start()
            return
        request = Path(self._config.runtime_dir) / REQUEST
        try:
            os.close(os.open(request, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640))
        except OSError as error:
            self._found({"faults": [f"{request}: {error.strerror}"]})

    def _check_here(self) -> None:
        try:
            self._checked_here.append(check_commands(self._config.shutdown))
        except Exception as error:
            log.exception("drill · the commands could not be checked")
            self._checked_here.append({"faults": [f"not checked: {error}"]})

    def _look_for_the_result(self) -> None:
        if self._asked is None:
            return
        if self._checked_here:
            self._found(self._checked_here.pop())
            return
        if self._config.shutdown.via == "unit":
            kept = read_json(RESULT)
            if kept is not None and _is_of(kept, self._asked):
                self._found(kept)
                return
        if boottime() - self._asked > CHECK_WITHIN:
            hint = "is powmonman-shutdown-check.path active?"
            self._found({"faults": [f"not checked within {CHECK_WITHIN:.0f} s: {hint}"]})

    def _found(self, result: dict[str, Any]) -> None:
        self._result, self._asked = result, None
        if not isinstance(result.get("faults"), list):
            self._result = {"faults": ["the result of the check can't be read"]}
        faults = self._result["faults"]
        for fault in faults:
            log.error("drill · %s", fault)
        if not faults:
            log.info("drill · every shutdown command is in order")

    def _listen(self) -> None:
        """Look for a magic packet for this host among what has arrived."""
        if self._ears is None or self._wake_heard:
            return
        wanted = [magic(mac) for mac in filter(None, map(digits, connector.mac_addresses()))]
        for _ in range(MOST_PACKETS):
            with contextlib.suppress(BlockingIOError):
                packet = self._ears.recv(LONGEST_PACKET)
                if any(each in packet for each in wanted):
                    self._wake_heard = True
                    log.info("drill · a magic packet for this host has arrived")
                    return
                continue
            return


def _is_of(result: dict[str, Any], asked: float) -> bool:
    """Whether root began this check after it was asked for."""
    began = result.get("began")
    return result.get("boot_id") == boot_id() and isinstance(began, float) and began >= asked
