"""What the kernel and the network say in bytes: netlink, uevents, echoes. The first line says what.

The kernel is believed; what arrives by a socket that others may write to is not.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Self

from fuzzing import expect, headed, instead

from powmonman.net import interfaces, link
from powmonman.net.knock import is_reply, request
from powmonman.net.wake import digits, magic
from powmonman.sensors.uevents import Uevents

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

WORDS = (
    *(b"route\n", b"neighbour\n", b"uevent\n", b"echo\n", b"mac\n", b"names\n"),
    *(b"SUBSYSTEM=power_supply\0", b"change@/devices/x\0", b"libudev\0", b"\x04\x00\x04\x00"),
    *(b"\x02:00:5e:00:00:01", b"02:00:5e:00:00:01", b"fe80"),
)
LARGEST = 1024
HOST = link.Target(socket.AF_INET, "192.0.2.9")
TOKEN = bytes(range(16))


class Answering:
    """A netlink socket with one answer in it."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def settimeout(self, _: float) -> None: ...

    def sendto(self, request: bytes, _: object) -> None: ...

    def recv(self, size: int) -> bytes:
        return self._answer[:size]


def target(data: bytes) -> None:
    what, rest = headed(data)
    {
        "neighbour": _neighbour,
        "uevent": _uevent,
        "echo": _echo,
        "mac": _mac,
        "names": _names,
    }.get(what, _route)(rest)


def hostile() -> Iterator[bytes]:
    yield b"route\n" + (b"\0" * 4 + b"\x18\0" + b"\xff" * 38) + b"\0" * 4000
    yield b"uevent\n" + b"\0" * 8192
    yield b"uevent\n" + b"SUBSYSTEM=power_supply" * 400


def _answering(answer: bytes) -> AbstractContextManager[None]:
    return instead({"powmonman.net.link.socket.socket": lambda *_: Answering(answer)})


def _route(answer: bytes) -> None:
    with _answering(answer), contextlib.suppress(OSError):
        expect(0 <= link._interface_to(HOST) < 2**32, "no such interface")


def _neighbour(answer: bytes) -> None:
    with _answering(answer), instead({"powmonman.net.link._interface_to": lambda _: 2}):
        expect(link.neighbour(HOST) in {True, False, None}, "neither there nor away")


def _uevent(message: bytes) -> None:
    ours, theirs = Uevents("power_supply"), (1234, 1)
    expect(not ours._is_wanted(message, theirs), "a process is believed as the kernel is")
    if ours._is_wanted(message, (0, 1)):
        expect(b"SUBSYSTEM=power_supply" in message, "news of something else")


def _echo(packet: bytes) -> None:
    for family in (socket.AF_INET, socket.AF_INET6):
        if is_reply(packet, family, 7, TOKEN):
            expect(packet.endswith(TOKEN), "an answer by who has not seen the question")
        expect(not is_reply(request(family, 7, TOKEN), family, 7, TOKEN), "our own question")


def _mac(text: bytes) -> None:
    if plain := digits(text.decode("utf-8", "replace")):
        expect(len(magic(plain)) == 102, "no magic packet")


def _names(text: bytes) -> None:
    lines = text.decode("ascii", "replace")
    with instead({"powmonman.net.interfaces.Path.read_text": lambda *_, **__: lines}):
        interfaces._ipv6_names()
