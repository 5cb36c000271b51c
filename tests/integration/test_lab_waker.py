"""The lab's stand-in for Wake-on-LAN: real packets on a real cable switch a host on, and no others.

The server's end is `pi`; the lab listens at the other, as it does on its hosts' bridge.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .cable import Cable, lay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LAB = Path(__file__).parents[2] / "molecule" / "lab"
NAS, WEB, STRANGER = "02:70:6d:00:00:01", "02:70:6d:00:00:02", "02:70:6d:00:00:03"
BROADCAST = "10.99.0.255"
EVERYWHERE = "255.255.255.255"

SEND = """
import socket, sys
port, payload, *places = sys.argv[1:]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
    out.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    out.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lan0")
    for where in places:
        out.sendto(bytes.fromhex(payload), (where, int(port)))
"""


def magic(mac: str, copies: int = 16) -> str:
    return "ff" * 6 + mac.replace(":", "") * copies


class Site(Cable):
    """A host that sends, and the waker at the other end."""

    def lay(self) -> None:
        super().lay()
        self.address(self.pi, "10.99.0.1/24")
        self.address(self.nas, "10.99.0.2/24")

    def send(self, payload: str, *to: str, port: int = 9) -> None:
        """Send a datagram from the server's end, to several addresses in one breath."""
        inside = ["ip", "netns", "exec", self.pi, sys.executable, "-c", SEND]
        subprocess.run([*inside, str(port), payload, *(to or (BROADCAST,))], check=True)


@pytest.fixture
def site() -> Iterator[Site]:
    yield from lay(Site())


@pytest.fixture
def waker(site: Site, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.syspath_prepend(str(LAB))
    from waker import LISTENER, Waker

    off = {"nas", "web"}

    def switch_on(host: str) -> bool | None:
        if host not in off:
            return None
        off.discard(host)
        return True

    def make(**lose: int) -> Any:
        listener = ["ip", "netns", "exec", site.nas, sys.executable, str(LISTENER), "lan0"]
        hosts = {NAS: "nas", WEB: "web"}
        return Waker(listener, hosts, switch_on, time.monotonic, lose)

    return make


def heard(waker: Any, number: int) -> None:
    """Wait until this many packets were heard."""
    end = time.monotonic() + 30
    while len(waker.packets) < number:
        assert time.monotonic() < end, waker.packets
        time.sleep(0.01)


@pytest.mark.parametrize("to", [BROADCAST, EVERYWHERE])
def test_a_host_that_is_off_is_switched_on_by_its_own_packet(
    site: Site, waker: Callable[..., Any], to: str
) -> None:
    sent = time.monotonic()
    with waker() as listening:
        site.send(magic(WEB), to)
        heard(listening, 1)
    (packet,), (start,) = listening.packets, listening.starts
    assert (packet.host, packet.to, packet.attempt) == ("web", to, 1)
    assert start.host == "web"
    assert sent < packet.at == start.at <= start.running


def test_a_host_that_runs_is_not_switched_on_again(site: Site, waker: Callable[..., Any]) -> None:
    with waker() as listening:
        site.send(magic(NAS))
        site.send(magic(NAS))
        heard(listening, 2)
    assert [start.host for start in listening.starts] == ["nas"]


@pytest.mark.parametrize(
    ("payload", "port"),
    [
        (magic(NAS), 10),
        (magic(NAS, copies=15), 9),
        (magic(NAS)[2:], 9),
        ("ff" * 6 + NAS.replace(":", "") * 15 + WEB.replace(":", ""), 9),
        ("", 9),
    ],
    ids=["another port", "a copy short", "a byte short", "two addresses", "empty"],
)
def test_what_is_no_magic_packet_wakes_nobody(
    site: Site, waker: Callable[..., Any], payload: str, port: int
) -> None:
    with waker() as listening:
        site.send(payload, port=port)
        site.send(magic(WEB))
        heard(listening, 1)
    assert [start.host for start in listening.starts] == ["web"]


def test_a_packet_for_nobody_here_is_kept_in_the_record(
    site: Site, waker: Callable[..., Any]
) -> None:
    with waker() as listening:
        site.send(magic(STRANGER))
        heard(listening, 1)
    assert [(packet.mac, packet.host) for packet in listening.packets] == [(STRANGER, "")]
    assert listening.starts == []


def test_packets_in_one_breath_are_lost_together_and_the_next_attempt_arrives(
    site: Site, waker: Callable[..., Any]
) -> None:
    with waker(nas=1) as listening:
        site.send(magic(NAS), BROADCAST, EVERYWHERE)
        time.sleep(1.2)
        site.send(magic(NAS))
        heard(listening, 3)
    assert [(packet.attempt, packet.lost) for packet in listening.packets] == [
        (1, True),
        (1, True),
        (2, False),
    ]
    assert [start.at for start in listening.starts] == [listening.packets[2].at]


def test_a_host_that_can_not_be_switched_on_is_told_and_the_others_are(
    site: Site, waker: Callable[..., Any]
) -> None:
    with waker() as listening:
        from engine import LabError

        boots = listening.switch_on

        def fail(host: str) -> bool | None:
            if host == "nas":
                raise LabError("no such container")
            return bool(boots(host))

        listening.switch_on = fail
        site.send(magic(NAS))
        site.send(magic(WEB))
        heard(listening, 2)
    assert listening.faults == ["nas: no such container"]
    assert [start.host for start in listening.starts] == ["web"]
