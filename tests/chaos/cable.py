"""Carries frames between two interfaces as a bad cable does: for kernels without netem.

Usage: cable.py LINK LINK LOSS DELAY JITTER DUPLICATE, in per cent and milliseconds; or
cable.py --plain LINK, which lets an interface send whole frames with their checksums only.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import random
import selectors
import signal
import socket
import struct
import sys
import time

SIOCETHTOOL = 0x8946
SET_TX_CHECKSUMS, SET_SEGMENTATION = 0x17, (0x1F, 0x24)
EVERY_PROTOCOL = 3
OUTGOING = 4


def make_plain(link: str) -> None:
    """A frame that is carried by hand must be as it would be on the wire."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for command in (*SET_SEGMENTATION, SET_TX_CHECKSUMS):
            value = ctypes.create_string_buffer(struct.pack("II", command, 0))
            request = struct.pack("16sP16x", link.encode(), ctypes.addressof(value))
            fcntl.ioctl(sock, SIOCETHTOOL, request)


def carry(links: list[str], loss: float, delay: float, jitter: float, duplicate: float) -> None:
    """Carry until killed."""
    chance = random.Random(1)
    selector = selectors.DefaultSelector()
    ends = []
    for link in links:
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
        end.bind((link, 0))
        ends.append(end)
        selector.register(end, selectors.EVENT_READ)
    for end, other in (ends, ends[::-1]):
        selector.modify(end, selectors.EVENT_READ, other)
    print("ready", flush=True)
    waiting: list[tuple[float, int, socket.socket, bytes]] = []
    number = 0
    while True:
        pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for key, _ in selector.select(pause):
            frame, (_, _, kind, *_) = key.fileobj.recvfrom(65536)  # type: ignore[union-attr]
            if kind == OUTGOING or chance.random() < loss:
                continue
            for _ in range(2 if chance.random() < duplicate else 1):
                number += 1
                due = time.monotonic() + max(0.0, delay + chance.uniform(-jitter, jitter))
                heapq.heappush(waiting, (due, number, key.data, frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, end, frame = heapq.heappop(waiting)
            try:
                end.send(frame)
            except OSError:
                # Longer than the wire takes, or the link is down: lost.
                continue


if __name__ == "__main__":
    # Should the tests be killed, nobody else ends it.
    signal.alarm(3600)
    if sys.argv[1] == "--plain":
        make_plain(sys.argv[2])
    else:
        figures = [float(word) for word in sys.argv[3:]]
        loss, delay, jitter, duplicate = figures
        carry(sys.argv[1:3], loss / 100, delay / 1000, jitter / 1000, duplicate / 100)
