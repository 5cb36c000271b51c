"""Very many light clients of a fleet, in processes beside this one: see `swarm_process`.

All moments are CLOCK_MONOTONIC, in seconds, as each client saw them itself: nothing is asked of the
swarm between an order and its fulfilment that could disturb what is measured.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Self

from .fleet import PATIENCE, ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from powmonman.core.plan import Rules

    from .fleet import Fleet


class Swarm:
    """A context manager: inside it the clients live, and come back when they are hung up on.

    Attributes:
        names: The hosts that they stand for.
        pids: Of the processes that they live in.
    """

    def __init__(
        self,
        fleet: Fleet,
        names: Sequence[str] | None = None,
        *,
        processes: int = 2,
        rules: Rules | None = None,
    ) -> None:
        """Clients of `fleet` with these names, by default all; with `rules` each has a plan."""
        self._fleet = fleet
        self.names = tuple(fleet.names if names is None else names)
        self._rules = rules
        count = max(1, min(processes, len(self.names)))
        self._parts = [self.names[at::count] for at in range(count)]
        self._processes: list[subprocess.Popen[bytes]] = []
        self._orders = 0
        self._latest: dict[int, int] = {}

    def __enter__(self) -> Self:
        try:
            for part in self._parts:
                process = subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.swarm_process"],
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    bufsize=0,
                )
                self._processes.append(process)
                first = {
                    "port": self._fleet.port,
                    "identities": {name: str(self._fleet.identity(name)) for name in part},
                    "rules": None if self._rules is None else asdict(self._rules),
                }
                self._write(process, first)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """The processes that the clients live in."""
        return [process.pid for process in self._processes]

    def expect(self, what: str, value: float | str) -> None:
        """Note when each client has something, from now on; `moments` waits for it.

        `told`: a first state on a connection, not before the moment `value`. `power`: that value
        of the mains, such as `on_battery`, or `on_battery, low`. `state`: the state with that id.
        """
        for process in self._processes:
            self._write(process, {"what": what, "value": value})

    def moments(self, timeout: float) -> dict[str, float]:
        """Return when each client had what is expected.

        Raises:
            TimeoutError: Some did not have it in time; the message says how many did.
        """
        end = time.monotonic() + timeout
        found: dict[str, float] = {}
        missing = False
        for process in self._processes:
            answer = self._answer(process, end - time.monotonic())
            if answer is None:
                missing = True
                answer = self._ask(process, {"what": "so far"})
            found |= answer
        if missing:
            raise TimeoutError(f"{len(found)} of {len(self.names)} within {timeout:g} s")
        return found

    def wait(self, what: str, value: float | str, timeout: float) -> dict[str, float]:
        """Return when each client had something: `expect` and `moments`.

        Raises:
            TimeoutError: As for `moments`.
        """
        self.expect(what, value)
        return self.moments(timeout)

    def gather(self, timeout: float = 240.0) -> None:
        """Wait until every client is connected, and has been told the state of the mains.

        Raises:
            TimeoutError: As for `moments`.
        """
        self.wait("told", 0.0, timeout)

    def connections(self) -> dict[str, float]:
        """Return since when each client that is connected has been told of the mains."""
        found: dict[str, float] = {}
        for process in self._processes:
            found |= self._ask(process, {"what": "connections"})
        return found

    def settle(self) -> None:
        """Take the deadlines as they are now for those that must not move."""
        for process in self._processes:
            self._ask(process, {"what": "settle"})

    def countdowns(self) -> dict[str, dict[str, Any]]:
        """Return of each client what has become of its countdown; only with `rules`.

        `counting`; `shifts`: by how much its deadline has moved in all, at the least and the most;
        `faults`: what must not happen to it; `attempts`: how often it has tried to connect.
        """
        found: dict[str, dict[str, Any]] = {}
        for process in self._processes:
            found |= self._ask(process, {"what": "countdowns"})
        return found

    def close(self) -> None:
        """End every process."""
        for process in self._processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        self._processes.clear()

    def _write(self, process: subprocess.Popen[bytes], order: dict[str, Any]) -> None:
        if process.stdin is None:
            return
        self._orders += 1
        self._latest[process.pid] = self._orders
        process.stdin.write(json.dumps({**order, "order": self._orders}).encode() + b"\n")
        process.stdin.flush()

    def _ask(self, process: subprocess.Popen[bytes], order: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to an order that is fulfilled at once."""
        self._write(process, order)
        answer = self._answer(process, PATIENCE)
        if answer is None:
            raise RuntimeError("a process of the swarm stands still")
        return answer

    def _answer(self, process: subprocess.Popen[bytes], timeout: float) -> dict[str, Any] | None:
        """Return the answer to the latest order; None if there is none in time."""
        end, answers = time.monotonic() + timeout, process.stdout
        while answers and select.select([answers], [], [], max(0.0, end - time.monotonic()))[0]:
            if not (line := answers.readline()):
                raise RuntimeError(f"a process of the swarm has ended: {process.wait()}")
            order, answer = json.loads(line)
            if order == self._latest[process.pid]:
                return dict(answer)
        return None
