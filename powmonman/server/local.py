"""For programs on the server's own host: a Unix socket that root and the group may open.

One line in (what `core.messages` lets root say), one line out, closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING

from powmonman.core.messages import Error, Message, ProtocolError, decode, encode
from powmonman.service.files import socket_address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

SOCKET = "server.sock"
TIMEOUT = 5.0
# pid, uid and gid: struct ucred, unix(7).
_CREDENTIALS = struct.Struct("3i")


@contextlib.asynccontextmanager
async def local_socket(
    runtime_dir: Path, answer_to: Callable[[Message, int], Message]
) -> AsyncIterator[None]:
    """Answer while the context lasts; `answer_to` is given what was said, and by which user."""
    path = runtime_dir / SOCKET

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reply: Message = Error("no message in time")
        with contextlib.suppress(OSError, ValueError, TimeoutError):
            async with asyncio.timeout(TIMEOUT):
                line = await reader.readline()
            try:
                reply = answer_to(decode(line), _user(writer))
            except ProtocolError as error:
                reply = Error(str(error))
        with contextlib.suppress(OSError, TimeoutError):
            writer.write(encode(reply))
            async with asyncio.timeout(TIMEOUT):
                await writer.drain()
        writer.close()

    path.unlink(missing_ok=True)
    with socket_address(path) as address:
        server = await asyncio.start_unix_server(answer, address, limit=4096)
        path.chmod(0o660)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


def _user(writer: asyncio.StreamWriter) -> int:
    """Return the user id of whoever is connected, as the kernel knows it."""
    sock = writer.get_extra_info("socket")
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(credentials)[1])
