"""Magic packets: switching hosts on through the network (Wake-on-LAN).

A magic packet is six bytes 0xFF and sixteen times the MAC address, anywhere in a frame. Here it
travels by UDP to ports 9 (discard, as everybody does) and 7444 (where the client's own drill
listens), as a broadcast on every interface that is up, for a sleeping host answers no ARP.

The package `wakeonlan` makes the same 102 bytes, and sends them to 255.255.255.255, or to one
address: a datagram to the former leaves only by the interface of the default route, and not at all
where there is none, as after an outage that took the router down. What is left of it when the
sending is done here, by interface, is one expression.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from powmonman.net.interfaces import interfaces
from powmonman.net.udp import ALL_NODES, open_udp, send

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from powmonman.net.interfaces import Interface

PORTS = (9, 7444)
_MAC = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True)
class Sent:
    """What has become of it.

    Attributes:
        by: The interfaces that it left by, and the directed broadcasts that it was sent to.
        faults: Why it did not leave by others, one line each.
    """

    by: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


def digits(mac: str) -> str:
    """Return a MAC address as 12 hexadecimal digits; empty if no interface of a host has it."""
    plain = re.sub(r"[:.-]", "", mac).lower()
    if not _MAC.fullmatch(plain) or int(plain, 16) == 0 or int(plain[1], 16) % 2:
        return ""
    return plain


def magic(mac: str) -> bytes:
    """Return the magic packet for a MAC address of 12 hexadecimal digits."""
    return b"\xff" * 6 + bytes.fromhex(mac) * 16


def wake(
    macs: Iterable[str],
    *,
    only: Collection[str] = (),
    broadcasts: Iterable[str] = (),
    ports: Iterable[int] = PORTS,
) -> Sent:
    """Send magic packets for all of `macs`; never raises, and never waits.

    Args:
        macs: As 12 hexadecimal digits.
        only: The interfaces to send on; empty: all that are up.
        broadcasts: Addresses to send to beside, as routed: those of subnets behind a router.
        ports: UDP ports to send to.
    """
    packets = [magic(mac) for mac in macs]
    present = [it for it in interfaces() if it.is_among(only)]
    by: dict[str, None] = {}
    faults: dict[str, None] = {
        f"{name}: it is down or not there": None
        for name in sorted(set(only) - {it.device for it in present})
    }
    for family in (socket.AF_INET, socket.AF_INET6):
        ways = [(it.device, *_neighbours(it, family)) for it in present if _reaches(it, family)]
        ways += [(to, to, 0, "") for to in broadcasts if (":" in to) == (family == socket.AF_INET6)]
        if not ways:
            continue
        try:
            sock = open_udp(family, 0)
        except OSError as error:
            faults[f"no UDP: {error.strerror}"] = None
            continue
        with sock:
            for name, to, index, source in ways:
                fault = _send(sock, packets, (to, ports), index, source)
                if fault:
                    faults[f"{name}: {fault}"] = None
                else:
                    by[name] = None
    return Sent(tuple(by), tuple(faults))


def _reaches(interface: Interface, family: socket.AddressFamily) -> bool:
    return interface.multicast if family == socket.AF_INET6 else bool(interface.broadcast)


def _neighbours(interface: Interface, family: socket.AddressFamily) -> tuple[str, int, str]:
    """Return where the neighbours listen, the interface's index, and the address to send from."""
    if family == socket.AF_INET6:
        return ALL_NODES, interface.index, ""
    return interface.broadcast, interface.index, interface.address


def _send(
    sock: socket.socket,
    packets: Iterable[bytes],
    to: tuple[str, Iterable[int]],
    index: int,
    source: str,
) -> str:
    """Send to one address; return why it could not be sent."""
    address, ports = to
    address, _, scope = address.partition("%")
    try:
        index = index or (socket.if_nametoindex(scope) if scope else 0)
        for packet in packets:
            for port in ports:
                send(sock, packet, (address, port), index=index, source=source)
    except OSError as error:
        return error.strerror or str(error)
    return ""
