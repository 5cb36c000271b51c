"""A host on a cable hears its magic packet, without any route to it, and on both links."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .cable import Cable, ip, lay

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPOSITORY)}
MAC = "02005e000001"

# As a network card does: it looks into frames, and asks for no address of its own.
CARD = f"""
import socket
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
sock.settimeout(10)
print("ready", flush=True)
pattern = b"\\xff" * 6 + bytes.fromhex("{MAC}") * 16
while pattern not in (frame := sock.recv(4096)):
    pass
print(frame[:6].hex(), flush=True)
"""
WAKE = f"""
from powmonman.net.wake import wake
sent = wake(["{MAC}"])
print(*sorted(sent.by), "|", *sent.faults)
"""


def python(namespace: str, program: str) -> list[str]:
    return ["ip", "netns", "exec", namespace, sys.executable, "-c", program]


@pytest.fixture
def cable() -> Iterator[Cable]:
    yield from lay(Cable())


def heard(cable: Cable) -> tuple[str, str]:
    """Return where the frame was addressed to, and what the sender says."""
    card = subprocess.Popen(
        python(cable.nas, CARD), stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    with card:
        assert card.stdout is not None
        assert card.stdout.readline() == "ready\n"
        said = subprocess.check_output(python(cable.pi, WAKE), text=True, env=ENVIRONMENT)
        return card.stdout.readline().strip(), said.strip()


def test_it_is_a_broadcast_that_needs_no_route_and_no_address_of_the_host(cable: Cable) -> None:
    cable.address(cable.pi, "10.99.0.1/24")
    assert heard(cable) == ("ffffffffffff", "lan0 |")


def test_a_link_without_a_cable_keeps_nobody_asleep(cable: Cable) -> None:
    ip("-n", cable.pi, "addr", "add", "10.97.0.1/24", "dev", "spare0")
    cable.address(cable.pi, "10.99.0.1/24")
    ip("-n", cable.pi, "link", "set", "spare0", "up")
    to, said = heard(cable)
    assert to == "ffffffffffff"
    assert "lan0" in said


def test_a_host_with_ipv6_alone_is_reached_by_multicast(cable: Cable) -> None:
    cable.address(cable.pi, "fe80::1/64")
    assert heard(cable) == ("333300000001", "lan0 |")
