"""Sentinels at the far end of a cable: gone, silent, deaf to ICMP, out of reach; nothing is faked.

`pi` asks, `nas` answers at 10.99.0.2 and 10.99.0.3. As root `pi` may send ICMP echoes only where
its group is in `net.ipv4.ping_group_range`, like everybody else.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .cable import Cable, ip, lay, unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPOSITORY)}
FIRST, SECOND = "10.99.0.2", "10.99.0.3"

# A sensor that reads when it is told to, with a clock that can be put forward.
SENSOR = """
import asyncio, json, sys, time
from dataclasses import asdict
from powmonman.config.sources import Ping
from powmonman.sensors.ping import PingSensor
ahead = 0.0
sensor = PingSensor(
    Ping(hosts=tuple(sys.argv[1:]), timeout=0.8, poll=0.8), lambda: time.monotonic() + ahead
)
async def main():
    global ahead
    for line in sys.stdin:
        ahead += float(line)
        print(json.dumps(asdict(await sensor.read())), flush=True)
print(sensor.describe(), flush=True)
asyncio.run(main())
"""

KNOCK = """
import asyncio, sys
from powmonman.net.knock import ICMP, knock
from powmonman.net.link import target
async def main():
    try:
        async with asyncio.timeout(2):
            print(await knock(target(sys.argv[1]), ICMP))
    except TimeoutError:
        print("silent")
asyncio.run(main())
"""

# Answers each echo request as its first argument says.
FORGER = """
import socket, struct, sys
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
print("ready", flush=True)
while True:
    packet, sender = raw.recvfrom(2048)
    kind, _, _, number, sequence = struct.unpack_from("!BBHHH", packet, 20)
    token = packet[28:]
    if kind != 8:
        continue
    if sys.argv[1] == "late":
        sequence = (sequence - 1) % 65536
    elif sys.argv[1] == "made up":
        token = bytes(len(token))
    elif sys.argv[1] == "cut":
        token = token[:4]
    answer = struct.pack("!BBHHH", 0, 0, 0, number, sequence) + token
    total = sum(struct.unpack(f"!{len(answer) // 2}H", answer))
    total = (total >> 16) + (total & 0xFFFF)
    total += total >> 16
    answer = answer[:2] + struct.pack("!H", ~total & 0xFFFF) + answer[4:]
    raw.sendto(answer, sender)
"""


def inside(namespace: str, *command: str) -> list[str]:
    return ["ip", "netns", "exec", namespace, *command]


def program(namespace: str, text: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        inside(namespace, sys.executable, "-c", text, *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )


class Site(Cable):
    """A sensor at one end, its sentinels at the other."""

    def __init__(self) -> None:
        super().__init__()
        self._running: list[subprocess.Popen[str]] = []
        self.described = ""

    def lay(self) -> None:
        super().lay()
        self.address(self.pi, "10.99.0.1/24")
        for address in (FIRST, SECOND):
            self.address(self.nas, f"{address}/24")
        self.let_icmp("0 2147483647")

    def let_icmp(self, groups: str) -> None:
        """Say who may send echoes."""
        self.set(self.pi, "net.ipv4.ping_group_range", groups)

    def set(self, namespace: str, name: str, value: str) -> None:
        subprocess.run(
            inside(namespace, "sysctl", "-qw", f"{name}={value}"), check=True, capture_output=True
        )

    def filter(self, *rule: str) -> None:
        """Put a rule before what the sentinels hear."""
        if shutil.which("iptables") is None:
            unavailable("needs iptables")
        command = inside(self.nas, "iptables", "-A", "INPUT", *rule, "-j", "DROP")
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            unavailable(f"no packet filter here: {done.stderr}")

    def start(self, namespace: str, text: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a program; it has said its first line when this returns."""
        running = program(namespace, text, *arguments)
        self._running.append(running)
        assert running.stdout is not None
        self.described = running.stdout.readline()
        return running

    def remove(self) -> None:
        for running in self._running:
            with running:
                running.kill()
        super().remove()


class Asked:
    """The sensor, in its own process."""

    def __init__(self, site: Site, *hosts: str) -> None:
        self._process = site.start(site.pi, SENSOR, *hosts)
        self.described = site.described

    def read(self, after: float = 0) -> dict[str, Any]:
        """Return a reading that is taken when the sensor's clock is `after` seconds further on."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(after, file=self._process.stdin, flush=True)
        reading: dict[str, Any] = json.loads(self._process.stdout.readline())
        return reading

    def mains(self, after: float = 0) -> bool | None:
        """Return what the sensor says of the mains."""
        mains: bool | None = self.read(after)["mains"]
        return mains


@pytest.fixture
def site() -> Iterator[Site]:
    yield from lay(Site())


@pytest.mark.parametrize(
    ("groups", "way"), [("0 2147483647", "by ICMP echo"), ("1 0", "by TCP alone")]
)
def test_hosts_that_are_gone_are_an_outage_and_back_they_are_none(
    site: Site, groups: str, way: str
) -> None:
    site.let_icmp(groups)
    asked = Asked(site, FIRST, SECOND)
    assert way in asked.described
    assert asked.mains() is True
    site.address(site.nas, f"{SECOND}/24", "del")
    assert asked.mains() is True
    site.address(site.nas, f"{FIRST}/24", "del")
    assert asked.mains() is False
    assert asked.mains() is False
    site.address(site.nas, f"{SECOND}/24")
    assert asked.mains() is True


def test_a_pulled_cable_or_a_dead_switch_is_no_outage(site: Site) -> None:
    asked = Asked(site, FIRST, SECOND)
    assert asked.mains() is True
    ip("-n", site.nas, "link", "set", "lan0", "down")
    reading = asked.read()
    assert reading["mains"] is None
    assert reading["reason"] == (
        f"the link of lan0 is down; see: ip -br link; ip route get {FIRST}"
    )


def test_a_switch_that_starts_anew_has_two_minutes_to_pass_packets(site: Site) -> None:
    asked = Asked(site, FIRST, SECOND)
    assert asked.mains() is True
    ip("-n", site.nas, "addr", "flush", "dev", "lan0")
    ip("-n", site.nas, "link", "set", "lan0", "down")
    assert asked.mains() is None
    ip("-n", site.nas, "link", "set", "lan0", "up")
    reading = asked.read()
    assert reading["mains"] is None
    assert "the link of lan0 was down less than 120 s ago" in reading["reason"]
    assert asked.read(60) == reading
    assert asked.mains(61) is False


def test_after_an_answer_over_the_mended_cable_silence_counts_at_once(site: Site) -> None:
    asked = Asked(site, FIRST)
    assert asked.mains() is True
    ip("-n", site.nas, "link", "set", "lan0", "down")
    assert asked.mains() is None
    ip("-n", site.nas, "link", "set", "lan0", "up")
    assert asked.mains() is True
    ip("-n", site.nas, "addr", "flush", "dev", "lan0")
    assert asked.mains() is False


def test_a_link_that_blinked_between_two_reads_is_noticed(site: Site) -> None:
    asked = Asked(site, FIRST)
    assert asked.mains() is True
    ip("-n", site.nas, "addr", "flush", "dev", "lan0")
    ip("-n", site.nas, "link", "set", "lan0", "down")
    ip("-n", site.nas, "link", "set", "lan0", "up")
    assert asked.mains() is None


def test_an_interface_switched_off_is_no_outage(site: Site) -> None:
    asked = Asked(site, FIRST)
    assert asked.mains() is True
    ip("-n", site.pi, "link", "set", "lan0", "down")
    reading = asked.read()
    assert reading["mains"] is None
    assert f"{FIRST} can't be reached from here: network is unreachable" in reading["reason"]


def test_another_way_out_is_no_outage(site: Site) -> None:
    """As when the cable is pulled and the default route of the Wi-Fi takes over."""
    asked = Asked(site, FIRST)
    assert asked.mains() is True
    for end in ("spare0", "spare1"):
        ip("-n", site.pi, "link", "set", end, "up")
    ip("-n", site.pi, "route", "add", f"{FIRST}/32", "dev", "spare0")
    reading = asked.read()
    assert reading["mains"] is None
    assert f"{FIRST} answered by lan0, but the route leads to spare0 now" in reading["reason"]
    assert asked.mains(1000) is None
    ip("-n", site.pi, "route", "del", f"{FIRST}/32", "dev", "spare0")
    assert asked.mains() is True


def test_who_has_never_answered_says_nothing(site: Site) -> None:
    asked = Asked(site, "10.99.0.77", "10.99.0.78")
    for _ in range(2):
        reading = asked.read(1000)
        assert reading["mains"] is None
        assert reading["reason"] == (
            "10.99.0.77 and 10.99.0.78 never answered since the start; "
            "are the addresses right, and the hosts on?"
        )


def test_a_mistyped_address_neither_hides_an_outage_nor_makes_one(site: Site) -> None:
    asked = Asked(site, "10.99.0.77", FIRST)
    early = asked.read()
    assert (early["mains"], early["reason"]) == (True, "")
    notice = asked.read(601)
    assert (notice["mains"], notice["reason"]) == (
        True,
        "10.99.0.77 has never answered: is it still there?",
    )
    ip("-n", site.nas, "addr", "flush", "dev", "lan0")
    assert asked.mains() is False


def test_a_host_that_is_deaf_to_icmp_answers_by_tcp(site: Site) -> None:
    site.set(site.nas, "net.ipv4.icmp_echo_ignore_all", "1")
    asked = Asked(site, FIRST)
    assert asked.mains() is True
    site.filter("-p", "tcp", "--dport", "80")
    site.filter("-p", "tcp", "--dport", "443")
    assert asked.mains() is True
    site.filter("-p", "tcp")
    assert asked.mains() is False


def test_lost_packets_are_no_outage(site: Site) -> None:
    """Every third packet that comes in is lost."""
    site.filter("-m", "statistic", "--mode", "nth", "--every", "3", "--packet", "0")
    asked = Asked(site, FIRST, SECOND)
    assert [asked.mains() for _ in range(20)] == [True] * 20


@pytest.mark.parametrize(
    ("manner", "heard"),
    [("true", "True"), ("late", "silent"), ("made up", "silent"), ("cut", "silent")],
)
def test_only_the_answer_to_this_very_question_counts(site: Site, manner: str, heard: str) -> None:
    site.set(site.nas, "net.ipv4.icmp_echo_ignore_all", "1")
    site.start(site.nas, FORGER, manner)
    with program(site.pi, KNOCK, FIRST) as knocking:
        assert knocking.communicate(timeout=30)[0] == f"{heard}\n"


def test_somebody_elses_answer_does_not_count(site: Site) -> None:
    """A neighbour with the second address answers for the first, and knows the token."""
    site.set(site.nas, "net.ipv4.icmp_echo_ignore_all", "1")
    subprocess.run(
        inside(site.nas, "ip", "route", "replace", "10.99.0.1", "dev", "lan0", "src", SECOND),
        check=True,
    )
    site.start(site.nas, FORGER, "true")
    with program(site.pi, KNOCK, FIRST) as knocking:
        assert knocking.communicate(timeout=30)[0] == "silent\n"


@pytest.mark.parametrize("groups", ["0 2147483647", "1 0"])
def test_ipv6_is_asked_too_also_at_link_local_addresses(site: Site, groups: str) -> None:
    site.let_icmp(groups)
    for namespace, end in ((site.pi, "1"), (site.nas, "2")):
        site.address(namespace, f"fe80::{end}/64")
        site.address(namespace, f"fd99::{end}/64")
    for host in ("fe80::2%lan0", "fd99:0::2"):
        assert Asked(site, host).mains() is True
    asked = Asked(site, "fe80::2%lan0", "fd99::2")
    assert asked.mains() is True
    ip("-n", site.nas, "-6", "addr", "flush", "dev", "lan0")
    assert asked.mains() is False
    ip("-n", site.nas, "link", "set", "lan0", "down")
    assert asked.mains() is None
