"""The default gateways of this host, and whether they answer to ARP. Linux only.

A process without privileges can't send an ARP request, but it can have the kernel send one: by a
datagram to the gateway's discard port, whatever becomes of that. What the kernel knows then is read
by netlink. An entry that was good is not doubted at once: after a gateway has died it takes up to a
minute, in which somebody has to send, until the kernel says that it is silent.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

from powmonman.net.link import neighbour

if TYPE_CHECKING:
    from powmonman.net.link import Target

ROUTES = Path("/proc/self/net")
MOST_GATEWAYS = 4

_UP_AND_GATEWAY = 0x1 | 0x2
_DISCARD = 9
_LOOK_AGAIN = 0.05


def gateways() -> list[tuple[str, str]]:
    """Return the default gateways, each with its interface; none where there are none.

    Raises:
        OSError: The routes can't be read.
    """
    found = [*_ipv4(ROUTES / "route"), *_ipv6(ROUTES / "ipv6_route")]
    return list(dict.fromkeys(found))[:MOST_GATEWAYS]


def answers(to: Target, patience: float) -> bool | None:
    """Return whether the host at `to`, on our own link, answers to ARP; takes `patience` seconds.

    True: it does, or did within the last minute. False: it does not. None: that can't be told.

    Raises:
        OSError: This host can't send there.
    """
    with socket.socket(to.family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.sendto(b"", to.at(_DISCARD))
    end = time.monotonic() + patience
    while True:
        time.sleep(_LOOK_AGAIN)
        known = neighbour(to)
        if known or time.monotonic() >= end:
            return known


def _ipv4(path: Path) -> list[tuple[str, str]]:
    rows = (line.split() for line in path.read_text("ascii", errors="replace").splitlines()[1:])
    found = []
    for interface, to, via, flags, _, _, metric, mask, *_ in rows:
        if int(to, 16) == int(mask, 16) == 0 and _leads_on(flags):
            # The address is in the order of the network, read as a number of this machine.
            address = socket.inet_ntoa(struct.pack("=I", int(via, 16)))
            found.append((int(metric), address, interface))
    return [(address, interface) for _, address, interface in sorted(found)]


def _ipv6(path: Path) -> list[tuple[str, str]]:
    try:
        lines = path.read_text("ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    found = []
    for to, length, _, _, via, metric, _, _, flags, interface in map(str.split, lines):
        if int(to, 16) == int(length, 16) == 0 and _leads_on(flags):
            address = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(via))
            found.append((int(metric, 16), f"{address}%{interface}", interface))
    return [(address, interface) for _, address, interface in sorted(found)]


def _leads_on(flags: str) -> bool:
    return int(flags, 16) & _UP_AND_GATEWAY == _UP_AND_GATEWAY
