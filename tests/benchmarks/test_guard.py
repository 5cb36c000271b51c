"""What must not become slow or large unseen: ratios of one run, with room for any machine.

No bound is a time or a size: each figure is held to another one that was measured beside it. CPU
is counted by the kernel, in the processes concerned, so that a busy machine adds little to it.
The figures themselves are `make bench`'s: docs/performance.md.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING

import pytest

from benchmarks import nut
from benchmarks.fleet import Fleet
from benchmarks.growth import exponent
from benchmarks.process import memory, spent
from benchmarks.swarm import Swarm
from powmonman.core.messages import Ack, Policy, State, UpsNews, encode
from powmonman.core.power import PowerState
from powmonman.net.tls import SERVER_NAME, TlsPipe, client_context, server_context
from powmonman.pki.certificates import Signer

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.process import Spent

MAINS, BATTERY = PowerState.ON_MAINS, PowerState.ON_BATTERY
SIZES = NONE, FEW, MANY = 0, 40, 160
LEASE = 3.0
BEAT = LEASE / 3
# As long as it takes until a server keeps all that it knows: that is in every window once.
BEATS = 5
WINDOWS = 3
ROUNDS = 500
CHUNKS = 5
STARTS = 7
CHANGES = 2


def held(what: str, ratio: float, most: float) -> None:
    """Print a ratio, and fail where it is more than it may be."""
    print(f"{what}: {ratio:.2f}, at most {most:g}")
    assert ratio <= most


@dataclass(frozen=True)
class Idle:
    """What is spent while nothing happens, by number of clients; CPU seconds a heartbeat.

    Of several windows the cheapest: whatever else the machine does can only add to it.

    Attributes:
        uss: Of a server, the kB that nobody else has.
        cpu: Of a server.
        wakeups: Of one real client, at each heartbeat.
    """

    uss: dict[int, float]
    cpu: dict[int, float]
    wakeups: float


@pytest.fixture(scope="module")
def idle() -> Idle:
    """Fleets of several sizes, all at the same time."""
    with contextlib.ExitStack() as stack:
        fleets = {n: stack.enter_context(Fleet(clients=n, lease=LEASE)) for n in SIZES}
        swarms = [stack.enter_context(Swarm(fleets[n], processes=1)) for n in (FEW, MANY)]
        fleet = stack.enter_context(Fleet(clients=1, lease=LEASE))
        client = fleet.client(fleet.names[0])
        client.says("server found")
        for swarm in swarms:
            swarm.gather()
        # What the joining has left to do, such as writing it down.
        time.sleep(1.0)
        pids = [*(each.pid for each in fleets.values()), client.pid]
        at = [[spent(pid) for pid in pids]]
        for _ in range(WINDOWS):
            time.sleep(BEATS * BEAT)
            at.append([spent(pid) for pid in pids])
        for each in (*fleets.values(), fleet):
            assert all(row["connected"] for row in each.report()["clients"])

        def least(what: Callable[[Spent], float], number: int) -> float:
            values = [what(window[number]) for window in at]
            return min(later - earlier for earlier, later in pairwise(values)) / BEATS

        return Idle(
            {n: memory(each.pid).uss for n, each in fleets.items()},
            {n: least(lambda it: it.cpu, number) for number, n in enumerate(fleets)},
            least(lambda it: it.switches, len(pids) - 1),
        )


def test_the_memory_of_a_server_grows_with_its_clients_and_no_faster(idle: Idle) -> None:
    """Fails where a session keeps 1.5 kB for each of the others."""
    held("exponent of memory", exponent(idle.uss) or 0.0, 1.4)


def test_the_cpu_of_a_heartbeat_grows_with_the_clients_and_no_faster(idle: Idle) -> None:
    """Four times the clients, four times the work.

    Fails where, for each of them, what is said to every other one is looked up too.
    """
    held("exponent of CPU", exponent(idle.cpu) or 0.0, 1.3)


def test_a_client_wakes_up_a_few_times_for_each_heartbeat(idle: Idle) -> None:
    """Fails where the client looks around every 0.1 s."""
    held("wake-ups a heartbeat", idle.wakeups, 4)


def test_a_connection_costs_less_than_half_of_what_asyncios_own_tls_takes(
    idle: Idle, identities: Path
) -> None:
    """Fails where a session keeps 200 kB."""
    ours = (idle.uss[MANY] - idle.uss[FEW]) / (MANY - FEW)
    held("memory of a connection, to asyncio's", ours / plain_connection(identities), 0.5)


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the identities of a server and of one client."""
    directory, signer = tmp_path_factory.mktemp("identities"), Signer.new()
    authority = signer.certificate()
    for name in (SERVER_NAME, "host"):
        (directory / name).write_bytes(signer.issue(name, authority, (authority,)).pem)
    return directory


def plain_connection(identities: Path) -> float:
    """Return the kB that asyncio's own TLS takes for a connection."""
    with contextlib.ExitStack() as stack:
        identity = str(identities / SERVER_NAME)
        program = Path(__file__).with_name("plain_tls.py")
        server = stack.enter_context(
            subprocess.Popen(
                [sys.executable, str(program), identity],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(server.kill)
        assert server.stdout is not None
        port = int(server.stdout.readline())
        context = client_context(identities / "host")
        sizes = []
        # From the second connection on: the first one brings in what is used by all.
        for number in range(FEW + 1):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            tls = stack.enter_context(context.wrap_socket(sock, server_hostname=SERVER_NAME))
            tls.sendall(b"hello\n")
            assert tls.recv(2)
            if number in {0, FEW}:
                sizes.append(memory(server.pid).uss)
        return (sizes[1] - sizes[0]) / FEW


def test_a_heartbeat_costs_a_few_times_what_its_bytes_cost(idle: Idle, identities: Path) -> None:
    """To seal, send, receive and open one line each way takes what it takes in any program.

    Fails where, for each client, what is said to every other one is looked up too. The bare one
    runs in a hot loop, which a server that sleeps between heartbeats doesn't: hence the room.
    """
    ours = (idle.cpu[MANY] - idle.cpu[NONE]) / MANY
    held("CPU of a heartbeat, to that of its bytes", ours / bare_beat(identities), 6)


def bare_beat(identities: Path) -> float:
    """Return the CPU seconds of a line to a client and its answer, on a connection with TLS."""
    server = TlsPipe(server_context(identities / SERVER_NAME), server_side=True)
    client = TlsPipe(client_context(identities / "host"), server_side=False)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as far,
        listener.accept()[0] as near,
    ):
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def carry(source: TlsPipe, out: socket.socket, sink: TlsPipe, into: socket.socket) -> None:
            if data := source.outgoing():
                out.sendall(data)
                sink.receive(into.recv(65536))

        while not (server.handshaken and client.handshaken):
            carry(client, far, server, near)
            carry(server, near, client, far)
        ups = UpsNews(PowerState.ON_MAINS)
        state = encode(State("0" * 32, LEASE, Policy(), {"ups": ups}, seq=1, echo=1))
        answer = encode(Ack(1, 1))
        took = []
        for _ in range(CHUNKS):
            began = time.thread_time()
            for _ in range(ROUNDS):
                server.send(state)
                carry(server, near, client, far)
                client.send(answer)
                carry(client, far, server, near)
            took.append((time.thread_time() - began) / ROUNDS)
        return min(took)


def test_the_program_starts_about_as_fast_as_python_and_yaml() -> None:
    """Fails where every command imports asyncio, ssl and the log's handlers."""
    ours, bare = [], []
    for _ in range(STARTS):
        ours.append(cpu_of("-m", "powmonman", "--version"))
        bare.append(cpu_of("-c", "import yaml"))
    held("CPU of --version, to Python's and PyYAML's", min(ours) / min(bare), 2)


def cpu_of(*arguments: str) -> float:
    """Return the CPU seconds of Python with these arguments."""
    process = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.DEVNULL, start_new_session=True
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_utime + used.ru_stime


@pytest.mark.skipif(bool(nut.missing()), reason=nut.missing())
def test_a_hundred_clients_are_told_of_a_change_sooner_than_five_by_nut() -> None:
    """NUT at its fastest: its driver and its clients each look once a second. Ours are pushed to.

    From the change to the last one told, of losses and of returns. Fails where the push waits for
    a second.
    """
    chance = random.Random(5)
    theirs, ours = [], []
    with nut.Nut(nut.FASTEST) as peer:
        peer.start_monitors(5)
        for change, notice in (
            (peer.lose_mains, "ONBATT"),
            (peer.restore_mains, "ONLINE"),
        ) * CHANGES:
            time.sleep(chance.uniform(0, peer.settings.poll))
            theirs.append(max(peer.told(notice, change())))
    with Fleet(clients=100, poll=0.05) as fleet, Swarm(fleet) as swarm:
        swarm.gather()
        for change, power in ((fleet.lose_mains, BATTERY), (fleet.restore_mains, MAINS)) * CHANGES:
            swarm.expect("power", power)
            moment = change()
            ours.append(max(swarm.moments(30).values()) - moment)
    # A disk that is busy once is no slow push; theirs lie evenly over their intervals.
    held("time to the last one told, to NUT's", median(ours) / mean(theirs), 0.5)
