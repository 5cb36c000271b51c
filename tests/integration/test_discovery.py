"""Servers and clients that look for each other with real datagrams on the loopback interface."""

from __future__ import annotations

import contextlib
import itertools
import logging
import select
import selectors
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from powmonman.net import discovery
from powmonman.net.discovery import Announcer, Candidate, Interface, search
from powmonman.net.locator import announcement, probe
from powmonman.net.udp import open_udp, send

from .daemon import PATIENCE, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="127/8 has a broadcast on Linux")
LOOPBACK = ("lo",)


class Clock:
    """Monotonic seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def port() -> int:
    """Return a UDP port that nobody uses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe_socket:
        probe_socket.bind(("", 0))
        return int(probe_socket.getsockname()[1])


@pytest.fixture
def serve() -> Iterator[Callable[[Announcer], Announcer]]:
    """Return a function that lets an announcer answer in the background."""
    selector = selectors.DefaultSelector()
    done = threading.Event()
    announcers: list[Announcer] = []

    def run() -> None:
        while not done.is_set():
            for key, _ in selector.select(0.05):
                key.data(key.fileobj)

    def add(announcer: Announcer) -> Announcer:
        announcers.append(announcer)
        for sock in announcer.sockets:
            selector.register(sock, selectors.EVENT_READ, announcer.on_readable)
        return announcer

    thread = threading.Thread(target=run)
    thread.start()
    yield add
    done.set()
    thread.join()
    selector.close()
    for announcer in announcers:
        announcer.close()


def found(
    port: int, fleet: str = "home", timeout: float = 0.3, wanted: Iterable[Candidate] = ()
) -> set[Candidate]:
    """Search for `timeout` seconds, and for as long as it takes until these `wanted` are found."""
    candidates: list[Candidate] = []
    end = time.monotonic() + timeout

    def enough() -> bool:
        return time.monotonic() >= end and set(wanted) <= set(candidates)

    for candidate in search(port, fleet, PATIENCE if wanted else timeout, LOOPBACK, enough):
        candidates.append(candidate)  # noqa: PERF402 (`enough` looks at it meanwhile)
    assert len(candidates) == len(set(candidates))
    return set(candidates)


def listening(port: int) -> int:
    """Return how many sockets listen for announcements on all addresses of IPv4."""
    rows = Path("/proc/net/udp").read_text("ascii").splitlines()[1:]
    return sum(row.split()[1] == f"00000000:{port:04X}" for row in rows)


@contextlib.contextmanager
def as_soon_as_it_listens(port: int, act: Callable[[], None], beside: int = 0) -> Iterator[None]:
    """Act in the background when somebody listens on a port, `beside` those who did already."""

    def run() -> None:
        wait_for("somebody listens", lambda: listening(port) > beside)
        act()

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join()


def take(announcer: Announcer) -> None:
    """Let an announcer take what has been sent to it."""
    select.select(announcer.sockets[:1], [], [], PATIENCE)
    announcer.on_readable(announcer.sockets[0])


@contextlib.contextmanager
def asking(port: int, question: bytes) -> Iterator[socket.socket]:
    """Ask once, from a port of its own, and give the socket where the answers arrive."""
    with open_udp(socket.AF_INET, 0) as sock:
        send(sock, question, ("127.0.0.1", port))
        yield sock


def first_answer(sock: socket.socket) -> list[bytes]:
    """Wait for what is sure to come."""
    select.select([sock], [], [], PATIENCE)
    return answers(sock)


def answers(sock: socket.socket) -> list[bytes]:
    received = []
    with contextlib.suppress(BlockingIOError):
        while True:
            received.append(sock.recv(2048))
    return received


def test_a_probe_finds_the_server_at_once(
    serve: Callable[[Announcer], Announcer], port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the first probe: there is no second one."""
    monkeypatch.setattr("powmonman.net.search._ROUND", 3600.0)
    serve(Announcer(port, "home", LOOPBACK))
    assert next(search(port, "home", PATIENCE, LOOPBACK)) == Candidate("127.0.0.1", port)


def test_an_announcement_alone_is_enough(port: int) -> None:
    """As where a firewall drops the answers to probes."""
    announcer = Announcer(port, "home", LOOPBACK)
    # It listens itself, for probes.
    with as_soon_as_it_listens(port, announcer.announce, beside=1):
        assert next(search(port, "home", PATIENCE, LOOPBACK)) == Candidate("127.0.0.1", port)
    announcer.close()


def test_a_server_bound_to_one_address_is_found_there(
    serve: Callable[[Announcer], Announcer], port: int
) -> None:
    serve(Announcer(port, "home", address="127.0.0.11"))
    serve(Announcer(port, "home", LOOPBACK, address="127.0.0.12")).announce()
    both = {Candidate("127.0.0.11", port), Candidate("127.0.0.12", port)}
    assert both == found(port, wanted=both)


@pytest.mark.parametrize("address", ["::1", "2001:db8::7", "192.0.2.200"])
def test_a_server_bound_elsewhere_is_not_found_on_loopback(
    serve: Callable[[Announcer], Announcer], port: int, address: str
) -> None:
    serve(Announcer(port, "home", LOOPBACK, address=address)).announce()
    assert found(port) == set()


@pytest.mark.parametrize("address", ["", socket.inet_ntoa(bytes(4)), "::", "pi.lan"])
def test_a_server_bound_to_all_addresses_is_found(
    serve: Callable[[Announcer], Announcer], port: int, address: str
) -> None:
    serve(Announcer(port, "home", LOOPBACK, address=address))
    here = {Candidate("127.0.0.1", port)}
    assert here == found(port, wanted=here)


def test_fleets_on_one_port_do_not_see_each_other(
    serve: Callable[[Announcer], Announcer], port: int
) -> None:
    serve(Announcer(port, "home", LOOPBACK, address="127.0.0.11"))
    serve(Announcer(port, "lab", LOOPBACK, address="127.0.0.12"))
    for fleet, address in (("home", "127.0.0.11"), ("lab", "127.0.0.12")):
        own = {Candidate(address, port)}
        assert own == found(port, fleet, wanted=own)
    assert found(port, "none") == set()


def test_several_clients_on_one_machine_hear_the_same_announcement(port: int) -> None:
    heard: list[set[Candidate]] = []
    here = {Candidate("127.0.0.1", port)}
    clients = [
        threading.Thread(target=lambda: heard.append(found(port, wanted=here))) for _ in range(4)
    ]
    for client in clients:
        client.start()
    wait_for("all listen", lambda: listening(port) == 4)
    announcer = Announcer(port, "home", LOOPBACK)
    announcer.announce()
    for client in clients:
        client.join()
    announcer.close()
    assert [here] * 4 == heard


def test_a_search_ends_on_time_and_at_once_when_stopped(port: int) -> None:
    started = time.monotonic()
    assert found(port, timeout=0.4) == set()
    assert 0.4 <= time.monotonic() - started < 10
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    started = time.monotonic()
    assert list(search(port, "home", 60, LOOPBACK, stop.is_set)) == []
    assert time.monotonic() - started < 30


def test_a_port_that_another_program_keeps_is_no_reason_to_stop(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as keeper:
        keeper.bind(("", port))
        announcer = Announcer(port, "home", LOOPBACK, address="127.0.0.1")
        announcer.announce()
        assert announcer.sockets == []
        assert f"no discovery on udp/{port}" in caplog.text
        assert found(port) == set()


def test_garbage_is_ignored_on_both_sides(
    serve: Callable[[Announcer], Announcer], port: int
) -> None:
    serve(Announcer(port, "home", LOOPBACK))
    garbage = (b"", b"\0" * 512, b"{}", b"[1]", b'{"powmonman":1}', b"\xff" * 2000, b"1" * 512)
    here = {Candidate("127.0.0.1", port)}
    with open_udp(socket.AF_INET, 0) as sock:

        def litter() -> None:
            for datagram in garbage:
                send(sock, datagram, ("127.255.255.255", port), index=1)

        with as_soon_as_it_listens(port, litter, beside=1):
            assert here == found(port, wanted=here)
        assert answers(sock) == []


def test_a_probe_shorter_than_the_answer_gets_none(port: int) -> None:
    announcer = Announcer(port, "home", LOOPBACK)
    short = probe("home").replace(b" ", b"")
    for question, expected in ((probe("home"), [announcement("home", port)]), (short, [])):
        with asking(port, question) as sock:
            take(announcer)
            assert expected == (first_answer(sock) if expected else answers(sock))
    announcer.close()


def test_answers_are_limited_but_not_for_ever(port: int) -> None:
    clock = Clock()
    announcer = Announcer(port, "home", LOOPBACK, clock=clock)

    def asked(times: int) -> int:
        with open_udp(socket.AF_INET, 0) as sock:
            for _ in range(times):
                send(sock, probe("home"), ("127.0.0.1", port))
            for _ in range(2):
                announcer.on_readable(announcer.sockets[0])
            return len(answers(sock))

    assert sum(asked(50) for _ in range(6)) == 100
    clock.now += 0.5
    assert asked(90) == 50
    clock.now += 3600
    assert asked(90) + asked(90) == 100
    announcer.close()


def test_only_the_named_interfaces_are_answered(port: int) -> None:
    announcer = Announcer(port, "home", ["absent0"])
    with asking(port, probe("home")) as sock:
        take(announcer)
        assert answers(sock) == []
    announcer.close()


def forge(port: int, sources: Iterator[str], ports: Iterator[int], times: int) -> None:
    with open_udp(socket.AF_INET, 0) as sock:
        for source, forged in itertools.islice(zip(sources, ports, strict=False), times):
            datagram = announcement("home", forged)
            send(sock, datagram, ("127.255.255.255", port), index=1, source=source)


def loopback_addresses() -> Iterator[str]:
    return (f"127.1.{high}.{low}" for high in range(256) for low in range(1, 255))


def test_a_flood_yields_a_bounded_sample(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One round's: there is no second one."""
    monkeypatch.setattr("powmonman.net.search._ROUND", 3600.0)
    drawn: list[Candidate] = []
    flooded = threading.Event()

    def flood() -> None:
        forge(port, loopback_addresses(), itertools.repeat(port), 5000)
        flooded.set()

    with as_soon_as_it_listens(port, flood):
        for candidate in search(
            port, "home", PATIENCE, LOOPBACK, lambda: flooded.is_set() and len(drawn) >= 16
        ):
            drawn.append(candidate)  # noqa: PERF402 (the end of it hangs on it)
    assert len(drawn) == 16


def test_a_flood_from_one_host_never_hides_the_server(
    serve: Callable[[Announcer], Announcer], port: int
) -> None:
    """One host gets one candidate a round, however many ports it claims."""
    serve(Announcer(port, "home", LOOPBACK))
    stop = threading.Event()
    ports = itertools.cycle(range(1, 65536))

    def flood() -> None:
        while not stop.wait(0.01):
            forge(port, itertools.repeat("127.6.6.6"), ports, 100)

    attacker = threading.Thread(target=flood)
    attacker.start()
    try:
        candidates = found(port, timeout=0.9)
        assert {"127.0.0.1", "127.6.6.6"} == {candidate.host for candidate in candidates}
        assert len(candidates) == 2
    finally:
        stop.set()
        attacker.join()


def test_a_flood_of_garbage_costs_a_client_little_work(port: int) -> None:
    flood = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"while True: s.sendto(b'[' * 300, ('127.0.0.1', {port}))"
    )
    with subprocess.Popen([sys.executable, "-c", flood]) as attacker:
        try:
            started = time.thread_time()
            assert found(port, timeout=1.5) == set()
            assert time.thread_time() - started < 0.5
        finally:
            attacker.kill()


def test_a_server_among_forty_forged_ones_is_found_within_three_rounds(
    serve: Callable[[Announcer], Announcer], port: int
) -> None:
    serve(Announcer(port, "home", LOOPBACK))
    forty = list(itertools.islice(loopback_addresses(), 40))
    stop = threading.Event()

    def flood() -> None:
        while not stop.wait(0.02):
            forge(port, iter(forty), itertools.repeat(port), 40)

    attacker = threading.Thread(target=flood)
    attacker.start()
    try:
        assert Candidate("127.0.0.1", port) in found(port, timeout=2.9)
    finally:
        stop.set()
        attacker.join()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"\x0afleet=home", {Candidate("127.0.0.1", 7001)}),
        (b"\x09fleet=lab", set()),
        (b"", {Candidate("127.0.0.1", 7001)}),
    ],
)
def test_a_service_announced_by_avahi_is_found(
    port: int, said: bytes, expected: set[Candidate]
) -> None:
    """A responder that does what Avahi was seen to do with a static service file."""
    with open_udp(socket.AF_INET, 5353) as responder:
        membership = socket.inet_aton("224.0.0.251") + struct.pack("4si", b"", 1)
        responder.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        done = threading.Event()

        def respond() -> None:
            while not done.is_set():
                if select.select([responder], [], [], 0.1)[0]:
                    answer(*responder.recvfrom(512))

        def answer(question: bytes, asker: Any) -> None:
            service = question[12:-4]
            name = b"\x04rack\xc0\x0c"
            records = (
                service + struct.pack("!HHIH", 12, 1, 10, len(name)) + name,
                name + struct.pack("!HHIH3H", 33, 1, 10, 7, 0, 0, 7001) + b"\0",
                name + struct.pack("!HHIH", 16, 1, 10, len(said)) + said,
            )
            header = question[:2] + struct.pack("!5H", 0x8400, 1, len(records), 0, 0)
            responder.sendto(header + question[12:] + b"".join(records), asker)

        # Others on this machine may ask too, at the same time.
        thread = threading.Thread(target=respond)
        thread.start()
        try:
            assert expected == found(port, wanted=expected)
        finally:
            done.set()
            thread.join()


def test_an_interface_that_fails_is_named_once_and_keeps_nobody_waiting(
    port: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    working = Interface("lo", 1, "127.0.0.1", "127.255.255.255")
    failing = Interface("wlan0", 9999, "192.0.2.7", "192.0.2.255")
    present = [failing, working]
    monkeypatch.setattr(discovery, "interfaces", lambda: present)
    announcer = Announcer(port, "home", ["wlan0", "lo", "absent0"])
    with open_udp(socket.AF_INET, port) as listening:
        for _ in range(3):
            announcer.announce()
        assert [announcement("home", port)] * 3 == answers(listening)
    assert [it.split(":")[0] for it in caplog.messages] == [
        "not announced on absent0",
        "not announced on wlan0",
    ]
    caplog.clear()
    present[0] = Interface("wlan0", 1, "127.0.0.2", "127.255.255.255")
    announcer.announce()
    announcer.close()
    assert caplog.messages == ["announced on wlan0 again"]


def test_another_system_falls_back_without_crashing(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    announcer = Announcer(port, "home", ["en0"])
    announcer.announce()
    with asking(port, probe("home")) as sock:
        take(announcer)
        assert [announcement("home", port)] == first_answer(sock)
    announcer.close()
    assert list(search(port, "home", 0.1, ["en0"])) == []
