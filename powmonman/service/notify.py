"""The service manager's notification protocol, sd_notify(3). Does nothing without systemd."""

from __future__ import annotations

import contextlib
import os
import socket
import time


def notify(**variables: str | int) -> None:
    """Send e.g. `READY=1`; a service manager that can't be reached is not an error."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    message = "\n".join(f"{name}={value}" for name, value in variables.items())
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock,
    ):
        sock.setblocking(False)
        sock.connect("\0" + address[1:] if address.startswith("@") else address)
        sock.send(message.encode())


def ready(status: str) -> None:
    """Start-up, or a reload, is complete."""
    notify(READY=1, STATUS=status)


def reloading() -> None:
    """A reload has begun."""
    notify(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)


def alive() -> None:
    """Pet the watchdog; called from the decision itself, never from an idle timer."""
    notify(WATCHDOG=1)
