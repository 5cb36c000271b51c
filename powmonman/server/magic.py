"""A host's magic packet, sent where its client hears it: Wake-on-LAN, tried without a sleeper."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

from powmonman.net.interfaces import interfaces
from powmonman.net.udp import open_udp, send_to_neighbours

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


def packet(mac: str) -> bytes:
    """Return the magic packet for a MAC address, 102 bytes."""
    return b"\xff" * 6 + bytes.fromhex(mac.replace(":", "").replace("-", "")) * 16


async def send(macs: Iterable[str], port: int, names: Collection[str] = ()) -> str:
    """Send the packets to `port` on every interface (or those named); return what is wrong."""
    return await asyncio.to_thread(_send, tuple(macs), port, names)


def _send(macs: tuple[str, ...], port: int, names: Collection[str]) -> str:
    if not macs:
        return "no MAC address is known"
    sent = False
    try:
        with contextlib.closing(open_udp(socket.AF_INET, 0)) as sock:
            for interface in interfaces():
                if interface.is_among(names):
                    for mac in macs:
                        sent |= send_to_neighbours(sock, packet(mac), port, interface)
    except (OSError, ValueError) as error:
        return str(error)
    return "" if sent else "no network interface takes it"
