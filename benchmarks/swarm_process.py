"""One process of a swarm: many light clients in one thread, see `light_client`.

It reads its orders as JSON lines from the standard input, and answers each that is fulfilled with
one line, if no other has come meanwhile: see `swarm`. It ends with its input.
"""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from powmonman.core.plan import Rules
from powmonman.core.records import from_json

from .daemons import make_room
from .event_loop import READ, EventLoop
from .light_client import LightClient

if TYPE_CHECKING:
    from collections.abc import Callable

# Handshakes at once while the swarm first gathers: more of them would only wait for the processor.
GATHERING = 32


class Swarm:
    """All clients of this process."""

    def __init__(self, port: int, identities: dict[str, str], rules: Rules | None) -> None:
        self._loop = EventLoop()
        self._clients = [
            LightClient(self._loop, name, Path(place), port, rules=rules, changed=self._changed)
            for name, place in identities.items()
        ]
        self._to_come = deque(self._clients)
        self._joining: set[LightClient] = set()
        self._moments: dict[str, float] = {}
        self._awaited: Callable[[LightClient], float | None] | None = None
        self._missing: set[LightClient] = set()
        self._order = 0
        self._orders = b""

    def run(self) -> None:
        """Live until the input ends."""
        os.set_blocking(sys.stdin.fileno(), False)
        self._loop.watch(sys.stdin.fileno(), self._obey, READ)
        for _ in range(GATHERING):
            self._gather()
        self._loop.run()

    def _gather(self) -> None:
        """Let the next one come, if any has not."""
        if self._to_come:
            client = self._to_come.popleft()
            self._joining.add(client)
            client.connect()

    def _obey(self, _: int) -> None:
        try:
            data = os.read(sys.stdin.fileno(), 65536)
        except BlockingIOError:
            return
        if not data:
            self._loop.end()
            return
        *orders, self._orders = (self._orders + data).split(b"\n")
        for order in orders:
            self._carry_out(json.loads(order))

    def _carry_out(self, order: dict[str, Any]) -> None:
        what, value = order["what"], order.get("value", 0.0)
        self._awaited, self._order = None, order["order"]
        if what == "told":
            since = float(value)
            self._await(lambda c: c.told_at if c.told_at and c.told_at >= since else None)
        elif what == "power":
            self._await(lambda c: c.power_at if c.told_at and c.power == value else None)
        elif what == "state":
            self._await(lambda c: c.state_at if c.told_at and c.state == value else None)
        elif what == "connections":
            self._answer({c.name: c.told_at for c in self._clients if c.told_at is not None})
        elif what == "settle":
            for client in self._clients:
                client.countdown.settle()
            self._answer({})
        else:
            self._answer(self._countdowns() if what == "countdowns" else self._moments)

    def _await(self, moment: Callable[[LightClient], float | None]) -> None:
        """Answer as soon as each client has its moment."""
        self._awaited = moment
        self._moments = {}
        self._missing = set(self._clients)
        for client in self._clients:
            self._look(client)

    def _changed(self, client: LightClient) -> None:
        if client in self._joining and client.told_at is not None:
            self._joining.discard(client)
            self._gather()
        self._look(client)

    def _look(self, client: LightClient) -> None:
        """See whether a client has what is awaited: it may be the last one missing."""
        if self._awaited is None or client not in self._missing:
            return
        moment = self._awaited(client)
        if moment is not None:
            self._moments[client.name] = moment
            self._missing.discard(client)
        if not self._missing:
            self._awaited = None
            self._answer(self._moments)

    def _countdowns(self) -> dict[str, Any]:
        return {
            client.name: {**client.countdown.as_json(), "attempts": client.attempts}
            for client in self._clients
        }

    def _answer(self, answer: object) -> None:
        print(json.dumps([self._order, answer]), flush=True)


def main() -> None:
    """Read the first order, which says who is in the swarm, and live."""
    # Unbuffered: what follows the first line is for `Swarm`.
    with open(0, "rb", buffering=0, closefd=False) as orders:
        first = json.loads(orders.readline())
    make_room(len(first["identities"]))
    rules = from_json(Rules, first["rules"]) if first["rules"] is not None else None
    Swarm(first["port"], first["identities"], rules).run()


if __name__ == "__main__":
    main()
