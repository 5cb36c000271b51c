"""Two hosts on one cable, without any route: what a site looks like after an outage."""

from __future__ import annotations

import contextlib
import json
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

SERVER = """
import selectors, sys, time
from powmonman.net.discovery import Announcer
announcer = Announcer(7444, "home")
selector = selectors.DefaultSelector()
for sock in announcer.sockets:
    selector.register(sock, selectors.EVENT_READ)
print("ready", flush=True)
due = 0
while True:
    if time.monotonic() >= due:
        announcer.announce()
        due = time.monotonic() + 0.2
    for key, _ in selector.select(0.1):
        announcer.on_readable(key.fileobj)
"""

CLIENT = """
import json, sys, time
from powmonman.net.discovery import search
wanted, end, found = int(sys.argv[1]), time.monotonic() + 0.7, []
def enough():
    return len(found) >= wanted and time.monotonic() > end
for candidate in search(7444, "home", 30, stop=enough):
    found.append(candidate.host)
print(json.dumps(found))
"""


def python(namespace: str, program: str) -> list[str]:
    return ["ip", "netns", "exec", namespace, sys.executable, "-c", program]


ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPOSITORY)}


class Discovery(Cable):
    """A cable with a server that announces itself at one end, and a client at the other."""

    @contextlib.contextmanager
    def server(self) -> Iterator[None]:
        running = subprocess.Popen(
            python(self.pi, SERVER), stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
        )
        with running:
            try:
                assert running.stdout is not None
                assert running.stdout.readline() == "ready\n"
                yield
            finally:
                running.kill()

    def found(self, wanted: int = 1) -> set[str]:
        """Return what is found: not before it is so many, and all of a while."""
        command = [*python(self.nas, CLIENT), str(wanted)]
        return set(json.loads(subprocess.check_output(command, env=ENVIRONMENT)))


@pytest.fixture
def cable() -> Iterator[Discovery]:
    yield from lay(Discovery())


def test_the_server_is_found_without_any_route_to_elsewhere(cable: Discovery) -> None:
    cable.address(cable.pi, "10.99.0.1/24")
    cable.address(cable.nas, "10.99.0.2/24")
    with cable.server():
        assert cable.found() == {"10.99.0.1"}


def test_the_server_is_found_by_ipv6_alone(cable: Discovery) -> None:
    cable.address(cable.pi, "fe80::1/64")
    cable.address(cable.nas, "fe80::2/64")
    with cable.server():
        assert cable.found() == {"fe80::1%lan0"}


def test_host_routes_without_a_subnet_suffice(cable: Discovery) -> None:
    """A /32 has no broadcast address; 255.255.255.255 is sent by interface, from each address."""
    for address in ("10.98.0.1/32", "10.99.0.1/32"):
        cable.address(cable.pi, address)
    cable.address(cable.nas, "10.99.0.2/32")
    for namespace in (cable.pi, cable.nas):
        ip("-n", namespace, "route", "add", "10.98.0.0/15", "dev", "lan0")
    with cable.server():
        assert cable.found(2) == {"10.98.0.1", "10.99.0.1"}


def test_a_second_subnet_of_an_interface_is_served_too(cable: Discovery) -> None:
    cable.address(cable.pi, "10.98.0.1/24")
    cable.address(cable.pi, "10.99.0.1/24")
    cable.address(cable.nas, "10.99.0.2/24")
    with cable.server():
        assert cable.found() == {"10.99.0.1"}


def test_a_running_server_is_found_at_the_address_it_has_now(cable: Discovery) -> None:
    """Started before the network was up, then given an address, then another, by DHCP."""
    cable.address(cable.nas, "10.99.0.2/24")
    with cable.server():
        assert cable.found(0) == set()
        cable.address(cable.pi, "10.99.0.1/24")
        assert cable.found() == {"10.99.0.1"}
        cable.address(cable.pi, "10.99.0.1/24", "del")
        cable.address(cable.pi, "10.99.0.77/24")
        assert cable.found() == {"10.99.0.77"}


def test_a_dead_link_keeps_nobody_from_being_found_on_the_other(cable: Discovery) -> None:
    ip("-n", cable.pi, "addr", "add", "10.97.0.1/24", "dev", "spare0")
    cable.address(cable.pi, "10.99.0.1/24")
    cable.address(cable.nas, "10.99.0.2/24")
    with cable.server():
        for end in ("spare0", "spare1"):
            ip("-n", cable.pi, "link", "set", end, "up")
        assert cable.found() == {"10.99.0.1"}
        ip("-n", cable.pi, "link", "del", "spare0")
        assert cable.found() == {"10.99.0.1"}
