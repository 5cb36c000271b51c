"""What a service manager hears, and where the log goes."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import time
from typing import TYPE_CHECKING, Self

from .daemon import wait_for
from .stage import together

if TYPE_CHECKING:
    from pathlib import Path

    from .daemon import Daemon
    from .fleet import Fleet


class ServiceManager:
    """Listens to what a daemon reports, as systemd does."""

    def __init__(self, address: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(address))
        self._socket.setblocking(False)
        self._heard: list[tuple[float, dict[str, str]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def heard(self, name: str) -> list[tuple[float, str]]:
        """Return when and what was reported under `name`."""
        with contextlib.suppress(BlockingIOError):
            while message := self._socket.recv(4096).decode():
                pairs = dict(line.split("=", 1) for line in message.splitlines())
                self._heard.append((time.monotonic(), pairs))
        return [(at, pairs[name]) for at, pairs in self._heard if name in pairs]

    def words(self, name: str) -> list[str]:
        return [value for _, value in self.heard(name)]


def under(manager: Path, daemon: Daemon) -> ServiceManager:
    daemon.environment["NOTIFY_SOCKET"] = str(manager)
    return ServiceManager(manager)


@together
def test_a_server_reports_that_it_is_ready_and_alive(fleet: Fleet) -> None:
    server = fleet.server()
    with under(fleet.path("n"), server) as manager:
        server.start()
        wait_for("ready", lambda: manager.words("READY"))
        assert fleet.report(server)["fleet"] == "test"
        assert manager.words("STATUS") == ["fleet test"]
        wait_for("life", lambda: len(manager.words("WATCHDOG")) >= 2)
        with server.paused():
            time.sleep(0.2)
            before = len(manager.words("WATCHDOG"))
            time.sleep(1.3)
            assert len(manager.words("WATCHDOG")) == before
        server.signal(signal.SIGHUP)
        wait_for("a reload", lambda: manager.words("RELOADING"))
        assert int(manager.words("MONOTONIC_USEC")[0]) <= time.monotonic_ns() // 1000
        wait_for("ready again", lambda: len(manager.words("READY")) == 2)
        assert server.stop() == 0


@together
def test_a_client_reports_where_it_is_connected(fleet: Fleet) -> None:
    server, nas = fleet.server(), fleet.client("nas")
    with under(fleet.path("n"), nas) as manager:
        nas.start()
        wait_for("ready", lambda: manager.words("READY"))
        server.start()
        wait_for("a connection", lambda: "connected to 127.0.0.1" in manager.words("STATUS"))
        server.kill()
        wait_for("loss", lambda: manager.words("STATUS")[-1] == "looking for the server")
        before = len(manager.words("WATCHDOG"))
        wait_for("life without a server", lambda: len(manager.words("WATCHDOG")) > before)
        nas.signal(signal.SIGHUP)
        wait_for("ready again", lambda: len(manager.words("READY")) == 2)
        assert nas.stop() == 0


@together
def test_a_service_manager_that_is_gone_stops_nobody(fleet: Fleet) -> None:
    server, nas = fleet.server(), fleet.client("nas")
    for daemon in (server, nas):
        daemon.environment["NOTIFY_SOCKET"] = str(fleet.path("nobody"))
    fleet.up(server, nas)
    assert (nas.stop(), server.stop()) == (0, 0)


@together
def test_a_log_file_is_rotated_and_bounded(fleet: Fleet) -> None:
    """Each reload writes a few lines; 16 KiB is the smallest file that may be asked for."""
    log = fleet.path("client.log")
    nas = fleet.client("nas", log={"level": "debug", "file": str(log), "file_kib": 16})
    nas.configure(
        log__file_keep=2,
        servers=[f"127.0.0.1:{fleet.port}"] + [f"10.255.255.{last}:1" for last in range(250)],
    )
    nas.start().says("version")
    wait_for("a line", lambda: log.exists() and "version" in log.read_text("utf-8"))
    rotated = fleet.path("client.log.2")

    def reload_until_rotated() -> bool:
        nas.signal(signal.SIGHUP)
        time.sleep(0.05)
        return rotated.exists()

    wait_for("two rotations", reload_until_rotated)
    assert nas.stop() == 0
    files = sorted(path.name for path in log.parent.glob("client.log*"))
    assert files == ["client.log", "client.log.1", "client.log.2"]
    assert all(fleet.path(name).stat().st_size <= 16 * 1024 for name in files)
    # Its last lines may have begun another file.
    assert any("stopping" in fleet.path(name).read_text("utf-8") for name in files[:2])


@together
def test_a_log_file_that_cannot_be_had_is_reported_and_done_without(fleet: Fleet) -> None:
    victim = fleet.path("victim")
    victim.write_text("precious", encoding="utf-8")
    link = fleet.path("link.log")
    link.symlink_to(victim)
    server = fleet.server(log__file=str(link))
    nas = fleet.client("nas", log__file="/proc/sys/client.log")
    fleet.up(server, nas)
    server.says("ERROR .*can't log to .*link.log: .*log.file is ignored")
    nas.says("ERROR .*can't log to /proc/sys/client.log: .*log.file is ignored")
    assert victim.read_text("utf-8") == "precious"


@together
def test_the_log_begins_with_what_the_operator_wants_to_know(fleet: Fleet) -> None:
    server, nas = fleet.server(policy__after=300), fleet.client("nas")
    fleet.up(server, nas)
    line = nas.says("server found")
    assert f"127.0.0.1 port {fleet.port} · shutdown after 300 s on battery · power now: " in line


@together
def test_users_are_warned_once_a_stage(fleet: Fleet) -> None:
    server, nas = fleet.server(policy__after=3), fleet.client("nas", warn_users=True)
    fleet.up(server, nas)
    fleet.mains("off")
    fleet.down("nas")
    wait_for("warnings", lambda: len(fleet.calls("wall")) >= 2)
    calls = fleet.calls("wall")
    first = "PowMonMan: The mains have failed. This host shuts down in [1-3] s"
    assert re.match(first, calls[0])
    assert calls[1:] == ["PowMonMan: This host shuts down now: the mains have not returned."]
