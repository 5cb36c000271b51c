"""The report for programs on the server's own host: a Unix socket that root and the group open.

One line in (`query`), one line out, closed: the same words as on the network.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from powmonman.core.messages import Error, Message, ProtocolError, Query, Report, decode, encode
from powmonman.service.files import socket_address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

SOCKET = "server.sock"
TIMEOUT = 5.0


@contextlib.asynccontextmanager
async def local_socket(
    runtime_dir: Path, report: Callable[[], dict[str, Any]]
) -> AsyncIterator[None]:
    """Answer queries while the context lasts."""
    path = runtime_dir / SOCKET

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reply: Message = Error("the only thing to say here is query")
        with contextlib.suppress(OSError, ValueError, TimeoutError, ProtocolError):
            async with asyncio.timeout(TIMEOUT):
                line = await reader.readline()
            if isinstance(decode(line), Query):
                reply = Report(report())
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
