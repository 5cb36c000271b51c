"""Where clients connect, and how many of them this process can hold."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import resource
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from powmonman.config.schema import Limits, Listen

log = logging.getLogger("powmonman.server")

# Connections that the kernel holds until they are taken: with asyncio's 100, a fleet that comes
# back at once loses some for minutes.
BACKLOG = 4096
# Taken in one go, before strangers that are too many have made room.
TAKEN_AT_ONCE = 64
# Files that are no connections: sensors, state files, logs, and whoever is just being hung up on.
SPARE_FILES = 256


async def listening(
    where: Listen, new_session: Callable[[], asyncio.Protocol]
) -> tuple[list[asyncio.Server], list[str]]:
    """Let clients connect; return what listens, and at which addresses, in words.

    Raises:
        OSError: As for `bound`.
    """
    loop = asyncio.get_running_loop()
    listeners, addresses = [], []
    for sock in bound(where.address, where.port):
        listeners.append(await loop.create_server(new_session, sock=sock, backlog=TAKEN_AT_ONCE))
        sock.listen(BACKLOG)
        addresses.append("{} port {}".format(*sock.getsockname()))
    return listeners, addresses


def bound(address: str, port: int) -> list[socket.socket]:
    """Return sockets bound to `address`, or to every address of this host.

    Raises:
        OSError: It can't be had. A host without IPv6, or without IPv4, is no fault.
    """
    # As bytes: for a text Python loads Unicode's rules for names, and keeps them.
    found = socket.getaddrinfo(
        address.encode() or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    fault: OSError | None = None
    for family, _, _, _, where in found:
        try:
            sockets.append(_bound(family, where))
        except OSError as error:
            fault = OSError(error.errno, f"{where[0]} port {port}: {error.strerror}")
            if error.errno == errno.EADDRINUSE:
                break
    if fault and (not sockets or fault.errno == errno.EADDRINUSE):
        for sock in sockets:
            sock.close()
        raise fault
    return sockets


def _bound(family: int, where: tuple[object, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(where)
    except OSError:
        sock.close()
        raise
    return sock


def room_for(limits: Limits) -> Limits:
    """Raise this process's limit on open files as far as `limits` needs and the system allows.

    Returns the limits that can be kept: a server without a free file can't read its sensor.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = limits.connections + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < files:
        possible = files if hard == resource.RLIM_INFINITY else min(files, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
            soft = possible
        if soft < files:
            room = max(8, soft - SPARE_FILES)
            log.warning(
                "only %d files can be open: %d connections instead of %d · raise LimitNOFILE",
                soft,
                room,
                limits.connections,
            )
            return replace(limits, connections=room)
    return limits
