"""A UPS that a NUT server (upsd) knows, read over NUT's network protocol (RFC 9271).

Only LIST VAR and LIST UPS are asked: no login, no password, nothing is set or commanded, and NUT
counts no client that it would wait for. One connection is kept; upsd, the driver and the UPS may
come and go.

Why no library. Tried against upsd 2.8.0:

- aionut 4.3.4: when a question is given up (cancelled, or out of time) its connection is kept, and
  each later question gets the answer of the one before: it said OB while upsd said OL. One letter
  outside of ASCII in any variable of a server makes the UPS unreadable. IncompleteReadError and
  LimitOverrunError pass through it, and leave the connection broken but in use.
- PyNUTClient 2.8.5, NUT's own: GPL-3.0-or-later, which the MIT-licensed file that hosts receive
  can't hold; it blocks; and where the server closes in mid-answer it spins for ever.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from powmonman.net.peer import AnswerError
from powmonman.sensors.asked import AskedSensor
from powmonman.sensors.retry import SensorError
from powmonman.sensors.unreachable import Service
from powmonman.sensors.ups_status import Report, number, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from powmonman.config.sources import Nut

_ITEM = re.compile(r'(?:VAR \S+|UPS) (?P<name>[^\s"]+) "(?P<value>(?:[^"\\]|\\.)*)"')


class NutSensor(AskedSensor):
    """Asks upsd for the variables of one UPS."""

    service = Service(
        name="NUT server",
        start="start upsd (systemctl restart nut-server), and let it LISTEN there (upsd.conf)",
    )

    def __init__(self, settings: Nut, clock: Callable[[], float] = time.monotonic) -> None:
        self._ups = settings.ups
        super().__init__(settings, clock)

    def place(self) -> str:
        """Return what is asked, and where."""
        return f"NUT: {self._ups}@{self._peer.place}"

    def remedy(self) -> str:
        """Return how to look closer."""
        return f"see what its driver says: upsc {self._ups}@{self._peer.place}"

    async def ask(self) -> Report:
        """Return what upsd says of the UPS."""
        try:
            variables = await self._list(f"VAR {self._ups}")
        except RefusedError as refused:
            raise SensorError(await self._mend(refused.code), answered=True) from None
        return Report(
            words=frozenset(variables.get("ups.status", "").upper().split()),
            charge=number(variables.get("battery.charge"), 100),
            runtime=number(variables.get("battery.runtime")),
            voltage=number(variables.get("battery.voltage")),
            alarm=variables.get("ups.alarm", ""),
        )

    async def _list(self, what: str) -> dict[str, str]:
        begin, end = f"BEGIN LIST {what}\n".encode(), f"\nEND LIST {what}\n".encode()

        def complete(so_far: bytearray) -> bool:
            return so_far.endswith(end) if so_far.startswith(begin) else b"\n" in so_far

        return parse(await self._peer.ask(f"LIST {what}\n".encode(), complete), what)

    async def _known(self) -> list[str]:
        try:
            return sorted(await self._list("UPS"))
        except RefusedError:
            return []

    async def _mend(self, code: str) -> str:
        ups = self._ups
        match code:
            case "UNKNOWN-UPS":
                names = ", ".join(map(plain, await self._known())) or "none"
                return f"upsd knows no UPS of this name; set nut.ups to one that it knows: {names}"
            case "DATA-STALE":
                return (
                    "the driver hears nothing from the UPS (DATA-STALE); check its cable, then "
                    f"start the driver again: systemctl restart nut-driver@{ups}"
                )
            case "DRIVER-NOT-CONNECTED":
                return (
                    "the UPS's driver is not running (DRIVER-NOT-CONNECTED); "
                    f"start it: systemctl restart nut-driver@{ups}"
                )
            case "ACCESS-DENIED":
                return (
                    "upsd refuses to tell this host (ACCESS-DENIED); allow it in /etc/hosts.allow "
                    "or upsd.conf of the NUT server"
                )
        return f"upsd says {plain(code)}; see its log: journalctl -u nut-server"


class RefusedError(Exception):
    """upsd answered ERR; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def parse(answer: bytes, what: str) -> dict[str, str]:
    """Return what a whole answer to `LIST what` holds: values by variable, or by UPS.

    Raises:
        RefusedError: It is an error.
        AnswerError: It is none of NUT's answers.
    """
    # upsd 2.8 drops what is not ASCII; not every server that speaks its protocol does.
    text = answer.decode("utf-8", "replace")
    if text.startswith("ERR "):
        raise RefusedError(text.split()[1] if text.split()[1:] else "ERR")
    begin, end = f"BEGIN LIST {what}\n", f"END LIST {what}\n"
    if not (text.startswith(begin) and text.endswith(f"\n{end}")):
        raise AnswerError("gives an answer that is not NUT's")
    values = {}
    for line in text[len(begin) : -len(end)].split("\n")[:-1]:
        item = _ITEM.fullmatch(line)
        if item is None:
            raise AnswerError("gives an answer that is not NUT's")
        values[item["name"]] = re.sub(r"\\(.)", r"\1", item["value"])
    return values
