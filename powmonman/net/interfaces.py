"""The network interfaces of this host that are up, and where their neighbours listen.

Linux only; elsewhere there is one nameless interface with the broadcast address 255.255.255.255.
"""

from __future__ import annotations

import array
import socket
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if sys.platform == "linux":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Collection

_SIOCGIFCONF, _SIOCGIFFLAGS, _SIOCGIFNETMASK = 0x8912, 0x8913, 0x891B
_SIOCGIFINDEX = 0x8933
_UP, _BROADCAST, _LOOPBACK, _MULTICAST = 0x1, 0x2, 0x8, 0x1000


@dataclass(frozen=True, slots=True)
class Interface:
    """One IPv4 address of an interface that is up, or an interface that has only IPv6.

    Attributes:
        name: As the system calls it (`eth0`); empty where the system can't tell.
        index: Its number, for sending on it; 0 where the system can't tell.
        address: Its IPv4 address, or empty.
        broadcast: Where its IPv4 neighbours listen, or empty.
        multicast: It can carry IPv6 multicast to its link.
    """

    name: str
    index: int
    address: str
    broadcast: str
    multicast: bool = False

    @property
    def device(self) -> str:
        """The name without an alias: `eth0` for `eth0:1`."""
        return self.name.split(":")[0]

    def is_among(self, names: Collection[str]) -> bool:
        """Whether an operator who named these interfaces (none: all) means this one."""
        return not names or not self.name or self.device in names


def interfaces() -> list[Interface]:
    """Return what is up now, loopback included; never raises."""
    if sys.platform != "linux":
        return [Interface("", 0, "", "255.255.255.255")]
    found: list[Interface] = []
    try:
        # Not if_nameindex(): it needs AF_NETLINK, which a sandboxed service may not have.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query:
            addresses = _ipv4_addresses(query)
            linked = _ipv6_names()
            for name in {*addresses, *linked}:
                found += _describe(query, name, addresses.get(name, []), linked=name in linked)
    except OSError:
        pass
    return sorted(found, key=lambda interface: interface.index)


def _describe(
    query: socket.socket, name: str, addresses: list[str], *, linked: bool
) -> list[Interface]:
    """Return the entries of one interface; none if it is down or went away meanwhile."""
    try:
        flags = int(struct.unpack_from("H", _ask(query, _SIOCGIFFLAGS, name), 16)[0])
        index = int(struct.unpack_from("i", _ask(query, _SIOCGIFINDEX, name), 16)[0])
        masks = [_ask(query, _SIOCGIFNETMASK, name, address)[20:24] for address in addresses]
    except OSError:
        return []
    if not flags & _UP:
        return []
    multicast = linked and bool(flags & _MULTICAST) and not flags & _LOOPBACK
    if not addresses and multicast and not Path("/sys/class/net", name, "brport").exists():
        return [Interface(name, index, "", "", multicast)]
    broadcasts = flags & (_BROADCAST | _LOOPBACK)
    return [
        Interface(name, index, address, _broadcast(address, mask) if broadcasts else "", multicast)
        for address, mask in zip(addresses, masks, strict=True)
    ]


def _broadcast(address: str, mask: bytes) -> str:
    host_bits = 0xFFFFFFFF ^ int.from_bytes(mask)
    if host_bits < 3:  # a /31 or /32 has no broadcast address of its own
        return "255.255.255.255"
    return socket.inet_ntoa((int.from_bytes(socket.inet_aton(address)) | host_bits).to_bytes(4))


def _ipv4_addresses(query: socket.socket) -> dict[str, list[str]]:
    """Return the IPv4 addresses of each interface or alias (`eth0:1`)."""
    size = 16 + (24 if sys.maxsize > 2**32 else 16)  # struct ifreq
    room = 64 * size
    while True:
        buffer = array.array("B", bytes(room))
        request = struct.pack("iL", room, buffer.buffer_info()[0])
        used = struct.unpack_from("i", fcntl.ioctl(query, _SIOCGIFCONF, request))[0]
        if used < room:
            break
        room *= 2
    found: dict[str, list[str]] = {}
    for at in range(0, used, size):
        name = bytes(buffer[at : at + 16]).split(b"\0", 1)[0].decode(errors="replace")
        found.setdefault(name, []).append(socket.inet_ntoa(bytes(buffer[at + 20 : at + 24])))
    return found


def _ipv6_names() -> set[str]:
    """Return the interfaces that have a link-local IPv6 address."""
    try:
        lines = Path("/proc/self/net/if_inet6").read_text("ascii", errors="replace").splitlines()
    except OSError:
        return set()
    columns = (line.split() for line in lines if line.startswith("fe80"))
    return {each[5] for each in columns if len(each) > 5}


def _ask(query: socket.socket, request: int, name: str, address: str = "") -> bytes:
    """Ask about an interface, or about one of its addresses."""
    family = socket.AF_INET if address else socket.AF_UNSPEC
    packed = socket.inet_aton(address) if address else bytes(4)
    ifreq = struct.pack("16sHH4s16x", name.encode()[:15], family, 0, packed)
    return fcntl.ioctl(query, request, ifreq)
