"""Run a Python program with an observer in it: `observed.py SOCKET PYTHON -m MODULE ARGUMENTS`.

The observer is a thread that answers each connection to SOCKET with what only the process itself
can count, as JSON. The program knows nothing of it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import runpy
import socket
import sys
import threading
import time
from collections import Counter

# Seconds for which nobody else may run: more than a count takes on a busy machine.
ALONE = 5.0


def counted() -> dict[str, object]:
    """Count what lives in this process, after what is only garbage has gone.

    No other thread runs meanwhile: Python breaks off with a SystemError where a tuple that is only
    half made is held by somebody else.
    """
    gc.collect()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(ALONE)
    try:
        # Who waits to run has not heard of that yet: let it begin to wait anew.
        time.sleep(0.001)
        return _counted(gc.get_objects())
    finally:
        sys.setswitchinterval(interval)


def _counted(alive: list[object]) -> dict[str, object]:
    kinds = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in alive)
    loops = [each for each in alive if isinstance(each, asyncio.AbstractEventLoop)]
    tasks = sum(len(asyncio.all_tasks(loop)) for loop in loops if loop.is_running())
    return {"objects": len(alive), "tasks": tasks, "kinds": dict(kinds.most_common(80))}


def _answer(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(json.dumps(counted()).encode())


def main() -> None:
    """Start the observer, then the program in its stead."""
    place, _python, _m, module, *arguments = sys.argv[1:]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place)
    listener.listen()
    threading.Thread(target=_answer, args=(listener,), name="observer", daemon=True).start()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
