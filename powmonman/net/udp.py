"""UDP sockets that reach the neighbours on a chosen interface.

A datagram to 255.255.255.255 leaves only by the interface of the default route, and not at all
where there is none, as after an outage that took the router down. One to the subnet's own
broadcast address, sent by interface index, always leaves.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from powmonman.net.interfaces import Interface

ALL_NODES = "ff02::1"
_IP_PKTINFO = 8  # socket names it from Python 3.12 on


def open_udp(family: socket.AddressFamily, port: int) -> socket.socket:
    """Return a non-blocking socket on `port` (0: any), which it shares with whoever asks.

    Raises:
        OSError: There is no such family here, or a program has the port for itself.
    """
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            if sys.platform == "linux":
                sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        sock.bind(("", port))
    except BaseException:
        sock.close()
        raise
    return sock


def arrived_on(control: list[tuple[int, int, bytes]]) -> int:
    """Return the index of the interface that a datagram came by, 0 if the system did not say."""
    for level, kind, info in control:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            return int(struct.unpack_from("i", info)[0])
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            return int(struct.unpack_from("i", info, 16)[0])
    return 0


def send(
    sock: socket.socket, datagram: bytes, to: tuple[str, int], *, index: int = 0, source: str = ""
) -> None:
    """Send on the interface `index` (0: as routed), from the address `source` (empty: its own).

    Raises:
        OSError: It can't be sent there.
    """
    if sock.family == socket.AF_INET6:
        control = []
        if source:
            info = socket.inet_pton(socket.AF_INET6, source) + struct.pack("i", index)
            control = [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info)]
        sock.sendmsg([datagram], control, 0, (*to, 0, index))
    elif sys.platform == "linux" and (index or source):
        info = struct.pack("i4s4x", index, socket.inet_aton(source) if source else bytes(4))
        sock.sendmsg([datagram], [(socket.IPPROTO_IP, _IP_PKTINFO, info)], 0, to)
    else:
        sock.sendto(datagram, to)


def send_to_neighbours(
    sock: socket.socket, datagram: bytes, port: int, interface: Interface, source: str = ""
) -> bool:
    """Send to every host on the interface that listens on `port`; return whether it left."""
    with contextlib.suppress(OSError):
        if sock.family == socket.AF_INET6:
            if interface.multicast:
                send(sock, datagram, (ALL_NODES, port), index=interface.index, source=source)
                return True
        elif interface.broadcast:
            source = source or interface.address
            to = (interface.broadcast, port)
            send(sock, datagram, to, index=interface.index, source=source)
            return True
    return False


def address_of(sender: tuple[str, int] | tuple[str, int, int, int]) -> str:
    """Return the address in what a socket says of its peer, such as `192.0.2.7` or `fe80::1%eth0`.

    A link-local one leads nowhere without the interface that it was heard on.
    """
    host = sender[0].partition("%")[0]
    if len(sender) == 4 and sender[3]:
        with contextlib.suppress(OSError):
            return f"{host}%{socket.if_indextoname(sender[3])}"
    return host
