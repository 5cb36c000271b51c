"""What an outage took down is woken, and comes back; the server is killed in between."""

from __future__ import annotations

import json
import shlex
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from powmonman.net.wake import magic
from powmonman.service.files import read_json

from .daemon import PATIENCE, Daemon, wait_for
from .stage import together

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .fleet import Fleet

MACS = {"nas": "02005e000001", "web": "02005e000002", "db": "02005e000003"}
BOOT_ID = "/proc/sys/kernel/random/boot_id"
# As the lab does it: processes share their machine's boot id, but a host that boots has a new one.
IN_A_BOOT = 'mount --bind "$0" ' + BOOT_ID + ' && exec "$@"'


class Site:
    """A fleet whose hosts boot, and an ear for the magic packets that wake them."""

    def __init__(self, fleet: Fleet, **changes: Any) -> None:
        self.fleet = fleet
        self.boots = 0
        self.woken = fleet.path("woken")
        settings: dict[str, Any] = {
            "policy__after": 2,
            "recovery__wake_after": 0.5,
            "recovery__reserve": 0,
            "recovery__repeat": 0.5,
            "recovery__give_up": 60,
            # One host's sleep is another process's end: each is woken by a command that leaves a
            # trace, as an IPMI tool would be called.
            "recovery__hosts": {
                name: {
                    "method": "command",
                    "command": ["sh", "-c", f"echo {name} >> {shlex.quote(str(self.woken))}"],
                }
                for name in MACS
            },
        }
        self.server = fleet.server(**settings | changes)
        self.boot(self.server)

    def boot(self, daemon: Daemon) -> Daemon:
        """Give it the next boot, in which it is to be started."""
        self.boots += 1
        kept = self.fleet.path(f"boot-{self.boots}")
        kept.write_text(f"00000000-0000-4000-8000-{self.boots:012}\n", "ascii")
        daemon.prefix = ["unshare", "--mount", "sh", "-c", IN_A_BOOT, str(kept)]
        # /run is empty after a boot.
        for path in daemon.runtime.iterdir():
            path.unlink()
        return daemon

    def client(self, name: str, **changes: Any) -> Daemon:
        return self.boot(self.fleet.client(name, **changes))

    def wakes(self, name: str) -> int:
        said = self.woken.read_text("utf-8").split() if self.woken.exists() else []
        return said.count(name)

    def phase(self, name: str) -> str:
        rows = self.fleet.report(self.server).get("recovery", {}).get("hosts", [])
        return next((str(row["phase"]) for row in rows if row["name"] == name), "")

    def reaches(self, name: str, *phases: str) -> None:
        wait_for(f"{name} is {phases}", lambda: self.phase(name) in phases)

    def is_woken(self, name: str) -> None:
        before = self.wakes(name)
        wait_for(f"{name} is woken", lambda: self.wakes(name) > before)

    def goes_down(self, *clients: Daemon) -> None:
        """Lose the mains, and wait until these have committed and are gone."""
        self.fleet.mains("off")
        for client in clients:
            self.fleet.down(client.directory.name)
            client.stop()


@pytest.fixture(autouse=True, scope="module")
def _can_boot(tmp_path_factory: pytest.TempPathFactory) -> None:
    import subprocess

    from .cable import unavailable

    kept = tmp_path_factory.mktemp("boot") / "id"
    kept.write_text("x\n", "ascii")
    tried = subprocess.run(
        ["unshare", "--mount", "sh", "-c", IN_A_BOOT, str(kept), "true"],
        check=False,
        capture_output=True,
        text=True,
    )
    if tried.returncode:
        unavailable(f"no boot ids of one's own here: {tried.stderr}")


@together
def test_a_host_is_woken_until_it_is_back_in_a_new_boot(fleet: Fleet) -> None:
    """A process of the old boot that comes again proves nothing."""
    site = Site(fleet)
    nas = site.client("nas")
    fleet.up(site.server, nas)
    site.goes_down(nas)
    assert site.phase("nas") == "due"
    time.sleep(1)
    assert site.wakes("nas") == 0
    fleet.mains("on")
    site.is_woken("nas")
    nas.start().says("server found")
    site.is_woken("nas")
    assert site.phase("nas") == "waking"
    nas.stop()
    site.boot(nas).start()
    site.reaches("nas", "back")
    site.server.says("recovery is complete: 1 back")


@together
def test_a_host_that_stays_is_not_woken_and_one_that_was_off_stays_off(fleet: Fleet) -> None:
    site = Site(fleet, clients=["nas", "web", "db"])
    nas, web = site.client("nas"), site.client("web", policy__after=60)
    db = site.client("db")
    fleet.up(site.server, nas, web, db)
    db.stop()
    wait_for("db is gone", lambda: not fleet.row(site.server, "db")["connected"])
    site.goes_down(nas)
    fleet.mains("on")
    site.reaches("web", "stayed")
    site.is_woken("nas")
    site.is_woken("nas")
    assert (site.wakes("web"), site.wakes("db"), site.phase("db")) == (0, 0, "")


@together
def test_the_server_may_be_killed_at_every_stage(fleet: Fleet) -> None:
    site = Site(fleet)
    server, nas = site.server, site.client("nas")
    fleet.up(server, nas)
    fleet.mains("off")
    nas.says("on battery · outage")
    # On disk before anybody heard of it.
    kept = json.loads((server.state / "server-recovery.json").read_text("utf-8"))
    assert kept["recovery"]["hosts"]["nas"]["fate"] == "due"
    server.kill()
    fleet.down("nas")
    nas.stop()
    server.start().says("due to be brought back: nas")
    fleet.mains("on")
    site.is_woken("nas")
    server.kill()
    server.start()
    site.is_woken("nas")
    site.boot(nas).start()
    site.reaches("nas", "back")
    server.kill()
    server.start()
    site.reaches("nas", "back")
    before = site.wakes("nas")
    time.sleep(2)
    assert site.wakes("nas") == before


@together
def test_after_a_power_cut_that_nobody_recorded_all_that_were_there_are_woken(fleet: Fleet) -> None:
    """The server's host goes down with the others; only after a clean end it is none."""
    site = Site(fleet)
    server, nas = site.server, site.client("nas")
    fleet.up(server, nas)
    connected(server, "nas")
    with nas.says_again("server found"):
        server.stop()
        site.boot(server).start().says("listening on")
    assert site.phase("nas") == ""
    connected(server, "nas")
    for daemon in (server, nas):
        daemon.kill()
    site.boot(server).start().says("this host was not shut down")
    site.is_woken("nas")
    site.boot(nas).start()
    site.reaches("nas", "back")


@together
def test_they_are_woken_in_reverse_order(fleet: Fleet) -> None:
    """The nas waited for web, so web needs the nas: the nas comes first."""
    # A battery that outlasts the slowest chain: what it warns of otherwise is not asked for here.
    place = {"nas": {"wait_for": ["web"]}}
    site = Site(fleet, order__hosts=place, upses__ups__runtime=600)
    nas, web = site.client("nas"), site.client("web")
    fleet.up(site.server, nas, web)
    site.goes_down(nas, web)
    fleet.mains("on")
    site.is_woken("nas")
    site.is_woken("nas")
    assert site.wakes("web") == 0
    site.boot(nas).start()
    site.is_woken("web")
    site.boot(web).start()
    site.reaches("web", "back")
    status = fleet.run("status", "--config", str(site.server.config))
    assert (status.returncode, "RECOVERY" in status.stdout) == (0, False)


@together
def test_who_does_not_come_back_is_given_up_by_name(fleet: Fleet) -> None:
    site = Site(fleet, recovery__give_up=2)
    nas = site.client("nas")
    fleet.up(site.server, nas)
    site.goes_down(nas)
    fleet.mains("on")
    site.server.says("nas is given up: woken")
    status = fleet.run("status", "--config", str(site.server.config))
    assert status.returncode == 1
    assert "given up: nas" in status.stdout
    assert "GIVEN UP" in status.stdout
    site.boot(nas).start()
    site.reaches("nas", "back")


@together
def test_nobody_is_woken_while_the_battery_could_not_bear_another_outage(fleet: Fleet) -> None:
    """Some 4 s of 6 are spent; a reserve of 5 s allows 1. The rest is paid back in some seconds."""
    site = Site(fleet, upses__ups__runtime=6, recovery__reserve=5, refill_ratio=3)
    nas = site.client("nas")
    fleet.up(site.server, nas)
    site.goes_down(nas)
    fleet.mains("on")
    site.server.says("is over after")
    time.sleep(1.5)
    (row,) = fleet.report(site.server)["recovery"]["hosts"]
    assert "of its battery are spent" in row["why"]
    assert site.wakes("nas") == 0
    site.is_woken("nas")


@together
def test_what_the_operator_ordered_down_is_not_woken(fleet: Fleet) -> None:
    site = Site(fleet)
    nas = site.client("nas")
    fleet.up(site.server, nas)
    ordered = fleet.run(
        "shutdown-fleet", "--config", str(site.server.config), "--confirm", "test", "--wait", "5"
    )
    assert ordered.returncode == 0
    fleet.mains("off")
    site.server.says("on battery")
    fleet.down("nas")
    nas.stop()
    fleet.mains("on")
    time.sleep(3)
    assert site.wakes("nas") == 0


@together
def test_a_disk_that_takes_nothing_is_reported_before_any_outage(fleet: Fleet) -> None:
    site = Site(fleet)
    site.server.state.rmdir()
    site.server.state.symlink_to("/proc/self/fdinfo")
    site.server.start().says("a power cut would leave hosts down for good")
    status = fleet.run("status", "--config", str(site.server.config))
    assert status.returncode == 1
    assert "server-recovery.json" in status.stdout


def connected(server: Daemon, name: str) -> None:
    """Wait until the record says who is connected."""
    path = server.state / "server-recovery.json"

    def written() -> bool:
        kept = read_json(path)
        return kept is not None and name in kept["recovery"]["connected"]

    wait_for("the record names who is connected", written, PATIENCE)


@pytest.fixture
def ear() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", 9))
        sock.settimeout(PATIENCE)
        yield sock


def test_a_real_magic_packet_is_heard(fleet: Fleet, ear: socket.socket) -> None:
    """On the loopback interface alone, with the MAC address of the configuration."""
    hosts = {"nas": {"macs": ["02:00:5e:00:00:01"]}}
    site = Site(fleet, recovery__hosts=hosts, recovery__interfaces=["lo"])
    nas = site.client("nas")
    fleet.up(site.server, nas)
    site.goes_down(nas)
    fleet.mains("on")
    wait_for("the packet", lambda: ear.recv(2048) == magic(MACS["nas"]))
    site.server.says("nas: waking no. 1, magic packet for 02:00:5e:00:00:01, by lo")
    site.boot(nas).start()
    site.reaches("nas", "back")
