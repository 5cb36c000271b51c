"""The network cards of this host: their MAC addresses, and whether a magic packet wakes it.

Linux only; elsewhere there are none. This file alone is also a program, which prints the cards as
one line of JSON: the roll-out runs it on hosts that have nothing of ours yet, so it imports nothing
of ours.
"""

from __future__ import annotations

import array
import contextlib
import errno
import json
import re
import socket
import struct
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

if sys.platform == "linux":
    import fcntl

NETWORK = Path("/sys/class/net")

_SIOCETHTOOL = 0x8946
_GET_WAKE, _SET_WAKE, _GET_PERMANENT_ADDRESS = 0x5, 0x6, 0x20
_MAGIC = 0x20
_WAKE = "=III6s2x"  # struct ethtool_wolinfo
_ETHERNET = "1"  # ARPHRD_ETHER
_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")
_NO_MAC = ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff")


@dataclass(frozen=True)
class Card:
    """One physical network card, up or down.

    Attributes:
        name: As the system calls it (`eth0`).
        macs: Its address, and the one that it was built with where that is another.
        wireless: It is, and then nothing wakes it once its host is off.
        wake: Whether a magic packet switches the host on: `on`, `off` (it could),
            `unable`, or `unknown`, which is all that a process without CAP_NET_ADMIN learns.
    """

    name: str
    macs: tuple[str, ...]
    wireless: bool
    wake: str


def cards(network: Path = NETWORK) -> list[Card]:
    """List the physical cards with a MAC address; never raises."""
    try:
        places = sorted(network.iterdir())
    except OSError:
        return []
    return [card for place in places if (card := _card(place)) is not None]


def armed(found: Sequence[Card]) -> bool | None:
    """Return whether one of these cards would wake this host; None where nobody can tell."""
    if any(card.wake == "on" for card in found):
        return True
    return None if not found or any(card.wake == "unknown" for card in found) else False


def wake_on_lan(name: str) -> tuple[bool, bool]:
    """Return whether a card can wake its host by a magic packet, and whether it would.

    Raises:
        OSError: It can't be asked: no such card, or no CAP_NET_ADMIN.
    """
    supported, options, _ = _wake(name)
    return bool(supported & _MAGIC), bool(options & _MAGIC)


def arm(name: str, network: Path = NETWORK) -> bool:
    """Let a magic packet wake this host by a card, whatever else may; False if it would already.

    Raises:
        OSError: It can't.
    """
    supported, options, password = _wake(name)
    if not supported & _MAGIC:
        raise OSError(errno.EOPNOTSUPP, "the card knows no magic packets", name)
    changed = not options & _MAGIC
    if changed:
        _ethtool(name, struct.pack(_WAKE, _SET_WAKE, 0, options | _MAGIC, password))
    switch = network / name / "device" / "power" / "wakeup"
    # Most drivers do this themselves.
    with contextlib.suppress(OSError):
        if switch.read_text("ascii").strip() == "disabled":
            switch.write_text("enabled", "ascii")
            changed = True
    return changed


def _card(place: Path) -> Card | None:
    device = place / "device"
    if _read(place / "type") != _ETHERNET or not device.exists() or (device / "physfn").exists():
        return None
    macs = [_read(place / "address")]
    with contextlib.suppress(OSError):
        macs.append(_permanent_address(place.name))
    real = tuple(dict.fromkeys(mac for mac in macs if _MAC.fullmatch(mac) and mac not in _NO_MAC))
    if not real:
        return None
    wireless = (place / "wireless").exists() or (place / "phy80211").exists()
    return Card(place.name, real, wireless, "unable" if wireless else _state(place.name))


def _state(name: str) -> str:
    try:
        able, armed = wake_on_lan(name)
    except OSError:
        return "unknown"
    return ("on" if armed else "off") if able else "unable"


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii", errors="replace").strip().lower()
    except OSError:
        return ""


def _wake(name: str) -> tuple[int, int, bytes]:
    """Return what can wake the host by a card, what does, and the password of SecureOn."""
    try:
        answer = _ethtool(name, struct.pack(_WAKE, _GET_WAKE, 0, 0, bytes(6)))
    except OSError as error:
        if error.errno in {errno.EOPNOTSUPP, errno.EINVAL}:
            return 0, 0, bytes(6)
        raise
    _, supported, options, password = struct.unpack(_WAKE, answer)
    return supported, options, password


def _permanent_address(name: str) -> str:
    answer = _ethtool(name, struct.pack("=II", _GET_PERMANENT_ADDRESS, 6) + bytes(8))
    return answer[8:14].hex(":")


def _ethtool(name: str, request: bytes) -> bytes:
    """Do one SIOCETHTOOL.

    Raises:
        OSError: The card or the kernel refuses.
    """
    if sys.platform != "linux":
        raise OSError(errno.EOPNOTSUPP, "only on Linux", name)
    data = array.array("B", request)
    # struct ifreq: a name, and here a pointer in a union of 24 bytes.
    packed = struct.pack("16sP16x", name.encode()[:15], data.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query:
        fcntl.ioctl(query, _SIOCETHTOOL, packed)
    return data.tobytes()


if __name__ == "__main__":
    print(json.dumps([asdict(card) for card in cards()]))
