"""A DNS with the names in a file, one `name address` a line. Usage: dns.py ADDRESS FILE."""

from __future__ import annotations

import signal
import socket
import struct
import sys
from pathlib import Path

QUESTION_A = 1


def answer(question: bytes, zone: dict[str, str]) -> bytes:
    """Return the answer to a question of one name."""
    labels, at = [], 12
    while length := question[at]:
        labels.append(question[at + 1 : at + 1 + length].decode("ascii").lower())
        at += 1 + length
    (kind,) = struct.unpack(">H", question[at + 1 : at + 3])
    address = zone.get(".".join(labels))
    code = 0 if address else 3
    records = b""
    if address and kind == QUESTION_A:
        records = struct.pack(">HHHIH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(address)
    header = struct.pack(">HHHHH", 0x8180 | code, 1, bool(records), 0, 0)
    return question[:2] + header + question[12 : at + 5] + records


def main(address: str, file: Path) -> None:
    """Answer until killed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 53))
        print("ready", flush=True)
        while True:
            question, whom = sock.recvfrom(4096)
            zone = dict(line.split() for line in file.read_text("ascii").splitlines())
            sock.sendto(answer(question, zone), whom)


if __name__ == "__main__":
    # Should the tests be killed, nobody else ends it.
    signal.alarm(3600)
    main(sys.argv[1], Path(sys.argv[2]))
