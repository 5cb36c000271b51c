"""What this host sees by itself when contact is lost: the evidence of `on_lost_contact`.

It is looked for in a thread of its own, only where the operator has chosen it, and only while
contact is lost: a driver that hangs costs the evidence, never the countdown. In contact it is
remembered how the server is reached, by which gateway, and which witnesses answer; else a route
that went with its link would leave nothing to look at.

| kind             | holds                            | does not        | can't be told            |
|------------------|----------------------------------|-----------------|--------------------------|
| `no_carrier`     | the link to the server has none; | it has one      | it was switched off, or  |
|                  | where none is known, no card has |                 | is gone                  |
| `gateway_silent` | each default gateway is silent   | one answers, or | there is none, and never |
|                  | to ARP, or its link has no       | did within a    | was                      |
|                  | carrier                          | minute          |                          |
| `own_battery`    | a battery discharges, and no     | it does not     | there is none, or it     |
|                  | adapter is online                |                 | does not say             |
| `witness_silent` | each witness is silent, or its   | one answers     | one never answered, or   |
|                  | link has no carrier              |                 | can't be asked           |
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from powmonman.core.lost_contact import Fact
from powmonman.net.gateway import answers, gateways
from powmonman.net.link import cards, carrier, changes, link_to, target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from powmonman.config.lost_contact_keys import LostContact

log = logging.getLogger("powmonman.client")

LOOK_EVERY = 5.0
PATIENCE = 1.0
LOOPBACK = "lo"
SUPPLIES = Path("/sys/class/power_supply")

Found = tuple[bool | None, str]


class Evidence:
    """Looks for evidence while it is wanted.

    Args:
        settings: What is looked for.
        server: The server's address, where it is known from an earlier day.
        tell: Is called, in the thread of this class, when something has been found.
    """

    def __init__(
        self,
        settings: LostContact,
        server: str,
        tell: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._tell = tell
        self._found: deque[tuple[Sequence[Fact], float]] = deque()
        self._server = server
        self._interface = ""
        self._gateways: list[tuple[str, str]] = []
        # By which interface each witness has answered.
        self._witnessed: dict[str, str] = {}
        self._wanted = False
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="evidence", daemon=True).start()

    def want(self, wanted: bool) -> None:
        """Look for evidence from now on, or no longer."""
        before, self._wanted = self._wanted, wanted
        # Only then: a thread that found nothing wanted yet would wait for the next job for ever.
        if wanted and not before:
            self._jobs.put(self._look)

    def found(self) -> Iterator[tuple[Sequence[Fact], float]]:
        """Yield what each look since the last call has found, and when it began (running clock)."""
        while self._found:
            yield self._found.popleft()

    def met(self, server: str) -> None:
        """The server is heard, at this address: remember the way there."""
        self._jobs.put(lambda: self._remember(server))

    def stop(self) -> None:
        """End; a look in progress is abandoned."""
        self._wanted = False
        self._jobs.put(None)

    def _run(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=LOOK_EVERY if self._wanted else None)
            except queue.Empty:
                job = self._look
            if job is None:
                return
            try:
                job()
            except Exception:
                log.exception("evidence of lost contact can't be looked for; it goes on")

    def _remember(self, server: str) -> None:
        self._server, self._interface = server, ""
        try:
            self._interface = link_to(target(server)).interface
            self._gateways = gateways()
            if "witness_silent" in self._settings.only_if:
                self._ask_witnesses()
        except OSError as error:
            log.debug("the way to the server: %s", error.strerror or error)

    def _look(self) -> None:
        if not self._wanted:
            return
        began = time.monotonic()
        facts = [self._fact(kind) for kind in self._settings.only_if]
        self._found.append((facts, began))
        self._tell()

    def _fact(self, kind: str) -> Fact:
        mark = ""
        try:
            if kind == "no_carrier":
                holds, text, mark = self._no_carrier()
            elif kind == "gateway_silent":
                holds, text = self._gateway_silent()
            elif kind == "own_battery":
                holds, text = _own_battery()
            else:
                holds, text = self._witness_silent()
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            holds, text = None, f"{kind.replace('_', ' ')}: can't be told: {why}"
        return Fact(kind, holds, text, mark)

    def _no_carrier(self) -> tuple[bool | None, str, str]:
        name = self._way_to_the_server()
        if name == LOOPBACK:
            return False, "the server is this very host", ""
        if name:
            state, names = carrier(name), [name]
        else:
            names = cards()
            states = [carrier(each) for each in names]
            state = True if True in states else None if None in states or not names else False
        listed = ", ".join(names) or "any network card"
        mark = " ".join(f"{each} {changes(each)}" for each in names)
        if state is None:
            return None, f"the carrier of {listed} can't be read", mark
        return not state, f"carrier on {listed}" if state else f"no carrier on {listed}", mark

    def _way_to_the_server(self) -> str:
        """Return the interface that leads to the server, or did; empty if none is known."""
        try:
            return link_to(target(self._server)).interface
        except OSError:
            pass
        if self._interface:
            return self._interface
        found = gateways()
        return found[0][1] if found else ""

    def _gateway_silent(self) -> Found:
        found = gateways()
        if found:
            self._gateways = found
        if not self._gateways:
            return None, "no default gateway is known"
        outcomes = [_silent(address, interface) for address, interface in self._gateways]
        return _all(outcomes)

    def _witness_silent(self) -> Found:
        return _all(self._ask_witnesses())

    def _ask_witnesses(self) -> list[Found]:
        # Memory that only hosts with witnesses pay for.
        import asyncio

        async def ask_all() -> list[Found]:
            return await asyncio.gather(*map(self._ask_witness, self._settings.witnesses))

        return asyncio.run(ask_all())

    async def _ask_witness(self, address: str) -> Found:
        from powmonman.net import knock

        known = self._witnessed.get(address)
        never = None, f"witness {address} has not answered since the start"
        try:
            to = target(address)
            interface = link_to(to).interface
            if known and carrier(interface) is False:
                return True, f"witness {address} is behind {interface}, which has no carrier"
            if await knock.ask(to, knock.ICMP, knock.WAYS, PATIENCE) is not None:
                self._witnessed[address] = interface
                return False, f"witness {address} answers"
        except OSError as error:
            if not known:
                return never
            if carrier(known) is False:
                return True, f"witness {address} was behind {known}, which has no carrier"
            return None, f"witness {address} can't be asked: {(error.strerror or '?').lower()}"
        return (True, f"witness {address} is silent") if known else never


def _silent(gateway: str, interface: str) -> Found:
    """Return whether a gateway is silent to ARP."""
    if carrier(interface) is False:
        return True, f"gateway {gateway} is behind {interface}, which has no carrier"
    answered = answers(target(gateway), PATIENCE)
    if answered is None:
        return None, f"the kernel can't tell whether gateway {gateway} answers"
    text = "answers, or did within a minute" if answered else "is silent to ARP"
    return not answered, f"gateway {gateway} {text}"


def _own_battery() -> Found:
    from powmonman.sensors.battery_table import Seen, decide
    from powmonman.sensors.power_supply import read_supplies

    # Nothing remembered: the word of an adapter alone is none of a battery's.
    reading = decide(read_supplies(SUPPLIES), Seen(), 0.0)
    if reading.mains is None:
        return None, f"own battery: {reading.reason}"
    return not reading.mains, f"own battery {'not ' if reading.mains else ''}discharging"


def _all(outcomes: Sequence[Found]) -> Found:
    """Fold what was found of several: all must hold, and the first that does not is told."""
    for wanted in (False, None):
        for holds, text in outcomes:
            if holds is wanted:
                return holds, text
    return True, "; ".join(text for _, text in outcomes)
