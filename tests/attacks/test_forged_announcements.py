"""A host that has no address for its server, and a LAN full of liars.

What one search makes of floods is in test_discovery; here whole clients look for the true server.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from powmonman.net.locator import announcement
from powmonman.net.udp import open_udp, send
from tests.integration.peers import TIMEOUT
from tests.integration.stage import together

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.daemon import Daemon
    from tests.integration.fleet import Fleet

ON_LOOPBACK = {"enabled": True, "interfaces": ["lo"]}
LIARS = 40


@contextlib.contextmanager
def liars(port: int, count: int) -> Iterator[None]:
    """Announce `count` servers that take every connection, and then say nothing for ever."""
    done = threading.Event()
    taken: list[socket.socket] = []
    with contextlib.ExitStack() as undo:
        addresses = [f"127.7.0.{number}" for number in range(1, count + 1)]
        for address in addresses:
            listener = undo.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            # The kernel takes the connections; nobody ever looks at them.
            listener.listen(64)
            taken.append(listener)

        def shout() -> None:
            with open_udp(socket.AF_INET, 0) as sock:
                while not done.wait(0.05):
                    for address in addresses:
                        with contextlib.suppress(OSError):
                            to = ("127.255.255.255", port)
                            send(sock, announcement("test", port), to, index=1, source=address)

        shouting = threading.Thread(target=shout, daemon=True)
        shouting.start()
        undo.callback(shouting.join, TIMEOUT)
        undo.callback(done.set)
        yield


def looking(fleet: Fleet) -> Daemon:
    """Return a host that knows no address."""
    return fleet.client("nas", servers=[], discovery=ON_LOOPBACK)


def threads(daemon: Daemon) -> int:
    status = Path(f"/proc/{daemon.pid}/status").read_text("ascii")
    found = re.search(r"^Threads:\s+(\d+)", status, re.MULTILINE)
    assert found
    return int(found[1])


@together
def test_among_forty_servers_that_hang_the_true_one_is_found(fleet: Fleet) -> None:
    """One after the other they would take 5 s each, and most rounds never reach the true one."""
    server = fleet.server(announce={**ON_LOOPBACK, "interval": 0.5})
    server.start().says("listening on")
    nas = looking(fleet)
    with liars(fleet.port, LIARS):
        nas.start().says(rf"server found · 127\.0\.0\.1 port {fleet.port}")
        fleet.mains("off")
        nas.says("on battery · outage")


@together
def test_liars_alone_cost_a_bounded_amount_of_work_and_of_the_log(fleet: Fleet) -> None:
    nas = looking(fleet)
    with liars(fleet.port, 100):
        nas.start().says("no connection: 127.7.0")
        most, end = 0, time.monotonic() + 8
        while time.monotonic() < end:
            most = max(most, threads(nas))
            time.sleep(0.1)
    assert most <= 64 + 8
    assert len(nas.said("WARNING no connection")) <= 64
    assert nas.said("server found|WARNING on battery") == []
    # They are gone, and it goes on looking.
    fleet.server(announce={**ON_LOOPBACK, "interval": 0.5}).start()
    nas.says("server found", within=60)
