"""What it takes to start a daemon beside us: a port, room for connections, and a wait for it."""

from __future__ import annotations

import resource
import socket
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 20.0
# Of a process with very many connections: libraries, logs, pipes.
SPARE_FILES = 64

T = TypeVar("T")


def free_port() -> int:
    """Return a TCP port of loopback that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def make_room(connections: int) -> None:
    """Let this process, and those that it starts, have so many connections if it may."""
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(connections + SPARE_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), most))


def eventually(what: str, check: Callable[[], T], within: float = PATIENCE) -> T:
    """Return the first true value of `check()`.

    Raises:
        TimeoutError: None came within so many seconds; the message says `what` did not happen.
    """
    end = time.monotonic() + within
    while True:
        # Looked at before the check: a machine that stalls in between owes one more.
        late = time.monotonic() > end
        if value := check():
            return value
        if late:
            raise TimeoutError(f"not within {within:g} s: {what}")
        time.sleep(0.02)
