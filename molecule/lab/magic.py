"""`python3 magic.py INTERFACE`: print each magic packet that arrives there, as a line of JSON.

What a network card that listens for Wake-on-LAN would see: the frames themselves, before any packet
filter, whatever address they go to. Who sent them says nothing, so it isn't looked at. It ends with
its standard input: whoever started it through `podman unshare` can't signal it.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time

IPV4 = 0x0800
UDP = 17
DISCARD = 9
READY = "ready"


def woken(packet: bytes) -> tuple[str, str] | None:
    """Return the MAC address that an IPv4 packet wakes and the address that it went to, or None."""
    header = (packet[0] & 15) * 4 if packet else 0
    datagram = packet[header:]
    if header < 20 or packet[9] != UDP or int.from_bytes(datagram[2:4], "big") != DISCARD:
        return None
    payload = datagram[8:]
    mac = payload[6:12]
    if len(mac) < 6 or not payload.startswith(b"\xff" * 6 + mac * 16):
        return None
    return mac.hex(":"), socket.inet_ntoa(packet[16:20])


def main(interface: str) -> int:
    """Listen until standard input ends."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as card:
        card.bind((interface, IPV4))
        print(READY, flush=True)
        while True:
            heard, _, _ = select.select([card, sys.stdin], [], [])
            if sys.stdin in heard:
                return 0
            found = woken(card.recv(2048))
            if found is not None:
                mac, to = found
                print(json.dumps({"at": time.monotonic(), "mac": mac, "to": to}), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
