"""Two hosts on one cable, as network namespaces of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Cable:
    """Two network namespaces joined by a veth pair; `pi` has a second, unconnected link."""

    def __init__(self) -> None:
        self.pi, self.nas = (f"powmonman-{side}-{os.getpid()}" for side in ("pi", "nas"))

    def lay(self) -> None:
        for namespace in (self.pi, self.nas):
            ip("netns", "add", namespace)
        ip("-n", self.pi, "link", "add", "lan0", "type", "veth", "peer", "far", "netns", self.nas)
        ip("-n", self.nas, "link", "set", "far", "name", "lan0")
        ip("-n", self.pi, "link", "add", "spare0", "type", "veth", "peer", "spare1")
        for namespace in (self.pi, self.nas):
            # Link-local addresses only where a test wants them, and without the wait for others.
            ip("-n", namespace, "link", "set", "lan0", "addrgenmode", "none")
            ip("-n", namespace, "link", "set", "lan0", "up")

    def address(self, namespace: str, address: str, verb: str = "add") -> None:
        options = ["nodad"] if ":" in address and verb == "add" else []
        ip("-n", namespace, "addr", verb, address, "dev", "lan0", *options)

    def remove(self) -> None:
        for namespace in (self.pi, self.nas):
            subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)


C = TypeVar("C", bound=Cable)


def lay(cable: C) -> Iterator[C]:
    """Lay a cable for as long as a test lasts; skip it where that can't be, unless in CI."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        unavailable("needs root and iproute2 for network namespaces")
    try:
        try:
            cable.lay()
        except subprocess.CalledProcessError as error:
            unavailable(f"no network namespaces here: {error.stderr}")
        yield cable
    finally:
        cable.remove()


def unavailable(reason: str) -> None:
    """Skip a test that this machine has not the means for; where all must be there, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
