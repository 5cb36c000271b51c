"""The DNS server has lost its power: whoever asks it for a name waits for minutes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .cable import ip, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .fleet import Fleet

BLACK_HOLE = "nameserver 192.0.2.53\noptions timeout:30 attempts:5\n"


@pytest.fixture
def nowhere() -> Iterator[str]:
    """Return a network namespace in which questions to the DNS vanish."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        unavailable("needs root and iproute2 for network namespaces")
    name = f"powmonman-dns-{os.getpid()}"
    settings = Path("/etc/netns") / name
    settings.mkdir(parents=True)
    try:
        (settings / "resolv.conf").write_text(BLACK_HOLE, encoding="utf-8")
        (settings / "nsswitch.conf").write_text("hosts: files dns\n", encoding="utf-8")
        try:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "add", "void0", "type", "veth", "peer", "void1")
            ip("-n", name, "addr", "add", "192.0.2.1/24", "dev", "void0")
            for card in ("void0", "void1"):
                ip("-n", name, "link", "set", card, "up")
            # With an address of a card nobody finds out that no card has it.
            void = ("192.0.2.53", "lladdr", "02:00:00:00:00:53", "dev", "void0")
            ip("-n", name, "neigh", "add", *void)
        except subprocess.CalledProcessError as error:
            unavailable(f"no network namespaces here: {error.stderr}")
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        shutil.rmtree(settings)
        with contextlib.suppress(OSError):
            settings.parent.rmdir()


def test_a_server_is_found_although_its_name_hangs(
    nowhere: str, new_fleet: Callable[[], Fleet]
) -> None:
    """By the address beside the name, and by the one that was right last time."""
    fleet = new_fleet()
    server = fleet.server(policy__after=60)
    nas = fleet.client("nas", servers=["pi.lan", f"127.0.0.1:{fleet.port}"])
    db = fleet.client("db", servers=["pi.lan"])
    last = {"host": "127.0.0.1", "port": fleet.port}
    (db.state / "last-server.json").write_text(json.dumps(last), encoding="utf-8")
    for daemon in (server, nas, db):
        daemon.prefix = ["ip", "netns", "exec", nowhere]
    fleet.up(server, nas, db)
    for client in (nas, db):
        client.says("server found")
    fleet.mains("off")
    for client in (nas, db):
        client.says("on battery · outage")
    server.kill()
    server.start()
    for client in (nas, db):
        client.says("server found .* power now: on battery")
