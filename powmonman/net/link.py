"""Which interface leads to an address, and whether its link is up. Linux only.

The kernel is asked for the route, as `ip route get` does: the source address of a socket would
name an interface too, but not always the one by which a packet leaves.

A bridge or a bond counts as up only while the link of a real network card below it is: the bridge
of a hypervisor is kept up by its guests, whatever becomes of the cable.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

INTERFACES = Path("/sys/class/net")

_RTM_GETROUTE, _RTM_NEWROUTE, _NLMSG_ERROR = 26, 24, 2
_RTM_GETNEIGH, _RTM_NEWNEIGH = 30, 28
_REQUEST = 1
_RTA_DST, _RTA_OIF = 1, 4
_HEADER = struct.Struct("=IHHII")
_ROUTE = struct.Struct("=8BI")
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
_NDA_DST = 1
# linux/neighbour.h: incomplete and failed; reachable, stale, delay, probe.
_UNRESOLVED, _RESOLVED = 0x01 | 0x20, 0x02 | 0x04 | 0x08 | 0x10
_DEPTH = 8


@dataclass(frozen=True)
class Target:
    """An address that sockets take.

    Attributes:
        family: AF_INET or AF_INET6.
        host: The address, without the interface that a link-local one needs.
        scope: The number of that interface, or 0.
    """

    family: socket.AddressFamily
    host: str
    scope: int = 0

    def at(self, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
        """Return the address with a port, for a socket."""
        if self.family == socket.AF_INET6:
            return (self.host, port, 0, self.scope)
        return (self.host, port)


@dataclass(frozen=True)
class Link:
    """The link of one interface, as it is now.

    Attributes:
        interface: Its name.
        up: It has a carrier.
        changes: How often it has gained or lost it since the interface came to be.
    """

    interface: str
    up: bool
    changes: int


def target(address: str) -> Target:
    """Return what sockets take for an IP address such as `192.0.2.7` or `fe80::1%eth0`.

    Raises:
        OSError: It is none, or its interface is not there.
    """
    host, _, interface = address.partition("%")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    host = socket.inet_ntop(family, socket.inet_pton(family, host))
    return Target(family, host, socket.if_nametoindex(interface) if interface else 0)


def link_to(to: Target) -> Link:
    """Return the link by which a packet to `to` would leave now.

    Raises:
        OSError: No route leads there, or this system can't tell.
    """
    name = socket.if_indextoname(_interface_to(to))
    below = _cards(name) or [name]
    return Link(
        interface=name,
        up=bool(_carrier(name)) and any(map(_carrier, below)),
        changes=changes(name),
    )


def carrier(interface: str) -> bool | None:
    """Whether the link of an interface is up, as `link_to` says it.

    None: this can't be told, as the interface or a card below it is gone, or was switched off.
    """
    states = [_carrier(name) for name in (interface, *_cards(interface))]
    if None in states:
        return None
    own, *cards = states
    return bool(own) and (not cards or any(cards))


def changes(interface: str) -> int:
    """How often an interface and the cards below it have gained or lost their carriers."""
    return sum(map(_changes, {interface, *_cards(interface)}))


def cards() -> list[str]:
    """Return the network cards of this host: its interfaces but for those made of others."""
    return sorted(path.parent.name for path in INTERFACES.glob("*/device"))


def _interface_to(to: Target) -> int:
    """Return the number of the interface by which the kernel would send."""
    if not hasattr(socket, "AF_NETLINK"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    address = socket.inet_pton(to.family, to.host)
    attributes = _attribute(_RTA_DST, address)
    if to.scope:
        attributes += _attribute(_RTA_OIF, struct.pack("=I", to.scope))
    body = _ROUTE.pack(to.family, 8 * len(address), 0, 0, 0, 0, 0, 0, 0) + attributes
    return _outgoing(_ask_kernel(_RTM_GETROUTE, body))


def neighbour(to: Target) -> bool | None:
    """Return what the kernel's neighbour discovery (ARP) says of a host on our own link.

    True: it has a link-layer address, which may be some 50 s old. False: nobody answers for it.
    None: the kernel has not asked, or the host is not on our link. It asks only when something is
    sent there.
    """
    try:
        number = _interface_to(to)
        address = _attribute(_NDA_DST, socket.inet_pton(to.family, to.host))
        answer = _ask_kernel(_RTM_GETNEIGH, _NEIGHBOUR.pack(to.family, number, 0, 0, 0) + address)
    except OSError:
        return None
    _, kind, _, _, _ = _HEADER.unpack_from(answer)
    if kind != _RTM_NEWNEIGH:
        return None
    _, _, state, _, _ = _NEIGHBOUR.unpack_from(answer, _HEADER.size)
    return True if state & _RESOLVED else False if state & _UNRESOLVED else None


def _ask_kernel(kind: int, body: bytes) -> bytes:
    """Return the kernel's one answer to a request.

    Raises:
        OSError: It is a refusal, or this system has no such thing.
    """
    request = _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        # It answers before send() returns; the timeout is for the day when it does not.
        kernel.settimeout(0.02)
        kernel.sendto(request, (0, 0))
        answer = kernel.recv(4096)
    if len(answer) < _HEADER.size + _ROUTE.size:
        raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))
    if _HEADER.unpack_from(answer)[1] == _NLMSG_ERROR:
        number = -int(struct.unpack_from("=i", answer, _HEADER.size)[0]) & 0xFFFF
        raise OSError(number, os.strerror(number))
    return answer


def _outgoing(answer: bytes) -> int:
    length, kind, _, _, _ = _HEADER.unpack_from(answer)
    at = _HEADER.size + _ROUTE.size
    while kind == _RTM_NEWROUTE and at + 8 <= min(length, len(answer)):
        size, name = struct.unpack_from("=HH", answer, at)
        if name == _RTA_OIF:
            return int(struct.unpack_from("=I", answer, at + 4)[0])
        at += max(4, (size + 3) & ~3)
    raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))


def _attribute(name: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), name) + value


def _cards(name: str, depth: int = _DEPTH) -> list[str]:
    """Return the network cards below a bridge, a bond or a VLAN; none if it is none of these."""
    below = [path.name.removeprefix("lower_") for path in (INTERFACES / name).glob("lower_*")]
    found: list[str] = []
    for each in below:
        if (INTERFACES / each / "device").exists():
            found.append(each)
        elif depth:
            found += _cards(each, depth - 1)
    return found


def _carrier(name: str) -> bool | None:
    try:
        # An interface that is switched off gives EINVAL.
        return (INTERFACES / name / "carrier").read_text("ascii").strip() == "1"
    except OSError:
        return None


def _changes(name: str) -> int:
    try:
        return int((INTERFACES / name / "carrier_changes").read_text("ascii"))
    except (OSError, ValueError):
        return 0
