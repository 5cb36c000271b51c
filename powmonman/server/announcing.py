"""Tells the network where this server is, now and then and whoever asks."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from powmonman.net.discovery import Announcer

if TYPE_CHECKING:
    from powmonman.config.schema import ServerConfig

log = logging.getLogger("powmonman.server")


async def announce(config: ServerConfig) -> None:
    """Announce the server until cancelled; returns at once where nobody wants it."""
    wanted, listen = config.announce, config.listen
    if not wanted.enabled:
        return
    loop = asyncio.get_running_loop()
    announcer = Announcer(listen.port, config.fleet, wanted.interfaces, address=listen.address)
    try:
        for sock in announcer.sockets:
            loop.add_reader(sock.fileno(), announcer.on_readable, sock)
        while True:
            try:
                announcer.announce()
            except Exception:
                log.exception("not announced: who has no address does not find this server")
            await asyncio.sleep(wanted.interval)
    finally:
        for sock in announcer.sockets:
            loop.remove_reader(sock.fileno())
        announcer.close()
