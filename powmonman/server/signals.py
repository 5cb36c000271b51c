"""Signals, for the server's loop.

asyncio asks `inspect` what its `add_signal_handler` was given, and so does whoever replaces the
handler of SIGINT that `asyncio.run` sets if there is none. `inspect` imports the parser and the
disassembler of Python's own code: a megabyte that the server would keep.
"""

from __future__ import annotations

import contextlib
import signal
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator, Mapping


@contextlib.contextmanager
def heeding(
    handlers: Mapping[signal.Signals, Callable[[], object]], loop: asyncio.AbstractEventLoop
) -> Iterator[None]:
    """Let `loop` call what each of these signals has, in the order of their arrival.

    In the main thread, and before the loop runs. Afterwards they do again what they did before.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)

        def heard() -> None:
            for number in ours.recv(4096):
                if number in handlers:
                    loop.call_soon(handlers[signal.Signals(number)])

        loop.add_reader(ours, heard)
        signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        before = {number: signal.signal(number, _nothing) for number in handlers}
        for number in handlers:
            # What a thread of C is about goes on.
            signal.siginterrupt(number, False)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(-1)
            loop.remove_reader(ours)


def _nothing(*_: object) -> None:
    """Only what has a handler is written to the socket, which wakes the loop."""
