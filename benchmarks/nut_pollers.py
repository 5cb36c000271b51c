"""Raw clients of upsd: `python -m benchmarks.nut_pollers PORT COUNT EVERY` is COUNT of them.

Each asks for the status every EVERY seconds, at its own moment of the interval. Prints `asked` when
all have had an answer; for each line of input, how many answers and how many faults there were
since. Ends with its input.
"""

from __future__ import annotations

import selectors
import socket
import subprocess
import sys
import time
from typing import Self

from .daemons import make_room

QUESTION = b"GET VAR ups ups.status\n"


class Pollers:
    """Raw clients of an upsd in another process, each asking every 5 s, as upsmon does by default.

    They cost upsd what as many upsmon cost it, and the machine nearly nothing.
    """

    def __init__(self, port: int, count: int, *, every: float = 5.0) -> None:
        self._command = [sys.executable, "-m", "benchmarks.nut_pollers"]
        self._command += [str(port), str(count), str(every)]
        self.every = every
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def wait_connected(self) -> None:
        """Wait until all of them have asked once.

        Raises:
            RuntimeError: They can't.
        """
        if self._say("") != "asked":
            raise RuntimeError("the pollers of upsd can't connect, or get no answer")

    def counts(self) -> tuple[int, int]:
        """Return how many answers came since the last call, and how many were no answer."""
        good, bad = self._say("count").split()
        return int(good), int(bad)

    def _say(self, word: str) -> str:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise RuntimeError("the pollers of upsd are not running")
        if word:
            process.stdin.write(f"{word}\n")
            process.stdin.flush()
        return process.stdout.readline().strip()


def main() -> None:
    """Ask until the input ends."""
    port, count, every = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    make_room(count)
    ready = selectors.DefaultSelector()
    clients = []
    for _ in range(count):
        client = socket.create_connection(("127.0.0.1", port))
        client.settimeout(10)
        # One answer each, so that upsd's queue of new connections never overflows.
        client.sendall(QUESTION)
        if not client.recv(512).startswith(b"VAR"):
            return
        client.setblocking(False)
        ready.register(client, selectors.EVENT_READ, client)
        clients.append(client)
    ready.register(sys.stdin, selectors.EVENT_READ)
    print("asked", flush=True)
    good = bad = at = 0
    due = time.monotonic()
    while True:
        while count and (now := time.monotonic()) >= due:
            try:
                clients[at].sendall(QUESTION)
            except OSError:
                bad += 1
            at = (at + 1) % count
            # A machine that is too slow for so many makes them late, not more at once.
            due = max(due + every / count, now - every)
        for key, _ in ready.select(max(0.0, due - time.monotonic()) if count else None):
            client = key.data
            if client is None:
                if not sys.stdin.readline():
                    return
                print(good, bad, flush=True)
                good = bad = 0
                continue
            answer = _answer(client)
            if answer.startswith(b"VAR"):
                good += answer.count(b"\n")
            else:
                bad += 1
                if not answer:
                    ready.unregister(client)


def _answer(client: socket.socket) -> bytes:
    try:
        return client.recv(4096)
    except OSError:
        return b""


if __name__ == "__main__":
    main()
