"""Asking a host for a sign of life: an ICMP echo, or a TCP connection.

An ICMP socket of kind SOCK_DGRAM needs no privilege, only a group in `net.ipv4.ping_group_range`
(Debian 12 has none there, Debian 13 has all). The kernel fills in the identifier and the checksum,
and hands over only answers to that identifier. Here an answer counts if it comes from the host and
carries the sequence number and the random token of this very question: a late one, or one that was
made up by somebody who has not seen the question, does not.

A host that refuses a TCP connection lives as much as one that accepts it: its kernel answered. One
that accepts is hung up on at once by a reset, so that it is kept busy with nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import secrets
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from powmonman.net.link import Target

ICMP = 0
# One of them is open or refused on nearly everything that has no firewall, and on most that have.
WAYS = (ICMP, 80, 443, 22)

_REQUEST = {socket.AF_INET: 8, socket.AF_INET6: 128}
_REPLY = {socket.AF_INET: 0, socket.AF_INET6: 129}
_HEADER = struct.Struct("!BBHHH")
_TOKEN_BYTES = 16
# What the network says of a host that does not answer. All else is said by this host of itself.
_SILENCE = {errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT}


async def knock(to: Target, way: int) -> bool:
    """Ask by `way`, `ICMP` or a TCP port; return True for a sign of life, False for a refusal.

    Without either it waits for ever: the caller bounds it.

    Raises:
        PermissionError: This process may not ask this way.
        OSError: This host can't send there.
    """
    try:
        return await (_echo(to) if way == ICMP else _connect(to, way))
    except OSError as error:
        if error.errno in _SILENCE:
            return False
        raise


async def ask(
    to: Target,
    first: int,
    ways: Sequence[int],
    patience: float,
    knock_by: Callable[[Target, int], Awaitable[bool]] = knock,
) -> int | None:
    """Return the way in which a host answered, None if it is silent for `patience` seconds.

    It is asked by the way `first`, and again by all `ways` when half of the time is over.

    Raises:
        OSError: It could not be asked by any.
    """
    tasks: dict[asyncio.Task[bool], int] = {}
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        for some, until in (((first,), patience / 2), (ways, patience)):
            tasks |= {asyncio.ensure_future(knock_by(to, way)): way for way in some}
            way = await _first(tasks, began + until)
            if way is not None:
                return way
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    errors = [result for result in results if isinstance(result, Exception)]
    faults = [error for error in errors if not isinstance(error, OSError)]
    if faults or len(errors) == len(results):
        raise (faults or errors)[-1]
    return None


async def _first(tasks: dict[asyncio.Task[bool], int], until: float) -> int | None:
    """Return the way of the first task to succeed, None when it is too late or all have failed."""
    loop = asyncio.get_running_loop()
    pending = {task for task in tasks if not task.done()}
    while pending and (left := until - loop.time()) > 0:
        done, pending = await asyncio.wait(
            pending, timeout=left, return_when=asyncio.FIRST_COMPLETED
        )
        # In their order: of several answers at once the first way's is taken.
        for task, way in tasks.items():
            if task in done and not task.exception() and task.result():
                return way
    return None


def may_echo(family: socket.AddressFamily) -> bool:
    """Whether this process may send ICMP echoes."""
    try:
        _open_icmp(family).close()
    except OSError:
        return False
    return True


def request(family: socket.AddressFamily, sequence: int, token: bytes) -> bytes:
    """Return an echo request; identifier and checksum are the kernel's business."""
    return _HEADER.pack(_REQUEST[family], 0, 0, 0, sequence) + token


def is_reply(packet: bytes, family: socket.AddressFamily, sequence: int, token: bytes) -> bool:
    """Whether a packet answers the request with this sequence number and token."""
    if len(packet) != _HEADER.size + len(token):
        return False
    kind, code, _, _, number = _HEADER.unpack_from(packet)
    expected = (_REPLY[family], 0, sequence)
    return (kind, code, number) == expected and packet[_HEADER.size :] == token


async def _echo(to: Target) -> bool:
    loop = asyncio.get_running_loop()
    token, sequence = secrets.token_bytes(_TOKEN_BYTES), secrets.randbelow(1 << 16)
    with _open_icmp(to.family) as sock:
        sock.connect(to.at(0))
        await loop.sock_sendall(sock, request(to.family, sequence, token))
        while True:
            packet, sender = await loop.sock_recvfrom(sock, 256)
            if sender[0] == to.host and is_reply(packet, to.family, sequence, token):
                return True
            # A flood of wrong answers must leave others their turn.
            await asyncio.sleep(0)


def _open_icmp(family: socket.AddressFamily) -> socket.socket:
    protocol = socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP
    sock = socket.socket(family, socket.SOCK_DGRAM, protocol)
    sock.setblocking(False)
    return sock


async def _connect(to: Target, port: int) -> bool:
    with socket.socket(to.family, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(ConnectionRefusedError, ConnectionResetError):
            await asyncio.get_running_loop().sock_connect(sock, to.at(port))
        return True
