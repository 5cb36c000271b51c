"""A server as asyncio's own TLS makes it: it takes connections, and answers a line with a dot.

`python plain_tls.py IDENTITY`; prints its port. Ends with its input.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from powmonman.net.tls import server_context


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.readline():
        writer.write(b".\n")
        await writer.drain()
    writer.close()


async def main() -> None:
    context = server_context(Path(sys.argv[1]))
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
