"""Whether this host's network interfaces answer to magic packets.

Linux only, and the kernel tells it to root alone. A virtual interface (bridge, VLAN, container) has
no device behind it, and nothing to wake.
"""

from __future__ import annotations

import array
import contextlib
import errno
import socket
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

if sys.platform == "linux":
    import fcntl

_SIOCETHTOOL = 0x8946
_ETHTOOL_GWOL = 0x5
_WAKE_MAGIC = 1 << 5
# struct ethtool_wolinfo: cmd, supported, wolopts, sopass[6], and its padding.
_WOLINFO = struct.Struct("=III6s2x")
NETWORK = Path("/sys/class/net")


@dataclass(frozen=True)
class Nic:
    """One physical network interface.

    Attributes:
        supported: It can be woken by a magic packet.
        armed: It will be, now.
        fault: Why neither is known.
    """

    name: str
    supported: bool = False
    armed: bool = False
    fault: str = ""


def nics(network: Path = NETWORK) -> tuple[Nic, ...]:
    """Return the physical interfaces of this host; never raises."""
    try:
        names = sorted(place.name for place in network.iterdir() if (place / "device").exists())
    except OSError:
        return ()
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query:
        return tuple(_nic(query, name) for name in names)
    return ()


def armed(found: tuple[Nic, ...]) -> bool | None:
    """Return whether one of them would wake this host; None if nobody can tell."""
    if any(nic.armed for nic in found):
        return True
    return None if not found or any(nic.fault for nic in found) else False


def _nic(query: socket.socket, name: str) -> Nic:
    if sys.platform != "linux":
        return Nic(name, fault="not on Linux")
    info = array.array("B", _WOLINFO.pack(_ETHTOOL_GWOL, 0, 0, b""))
    try:
        ifreq = struct.pack("16sP16x", name.encode()[:15], info.buffer_info()[0])
        fcntl.ioctl(query, _SIOCETHTOOL, ifreq)
    except OSError as error:
        if error.errno in {errno.EOPNOTSUPP, errno.EINVAL}:
            return Nic(name)
        return Nic(name, fault=error.strerror or str(error))
    _, supported, wolopts, _ = _WOLINFO.unpack(info.tobytes())
    return Nic(name, bool(supported & _WAKE_MAGIC), bool(wolopts & _WAKE_MAGIC))
