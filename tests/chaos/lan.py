"""Hosts on a switch, as network namespaces of this machine, each with mounts of its own.

    pi (10.97.0.1) ─┐
    nas (10.97.0.2) ┼─ br0 in a namespace of its own: the switch (10.97.0.53, the DNS)
    web (10.97.0.3) ┘

Nothing of it is seen from outside, and nothing outside from within.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..integration.daemon import PATIENCE, clean_environment, wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence

PREFIX = "powmonman-chaos"
NETWORK = "10.97.0"
DNS = f"{NETWORK}.53"
HERE = Path(__file__).parent
# Should the tests be killed, nothing lasts longer.
LONGEST = 300


def run(*command: str) -> str:
    """Run a command; return what it prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Box:
    """One host, or the switch: a network namespace, and a mount namespace that stays."""

    def __init__(self, lan: str, name: str, lasts: int = LONGEST) -> None:
        self.name = name
        self._lasts = lasts
        self.namespace = f"{lan}-{name}"
        self._holder: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        run("ip", "netns", "add", self.namespace)
        command = ["ip", "netns", "exec", self.namespace, "sleep", str(self._lasts)]
        self._holder = holder = subprocess.Popen(command)
        comm = Path(f"/proc/{holder.pid}/comm")
        wait_for(f"{self.name} is there", lambda: comm.read_text() == "sleep\n")
        self.ip("link", "set", "lo", "up")

    @property
    def inside(self) -> list[str]:
        """What runs a command in it, in the same process."""
        assert self._holder is not None
        return ["nsenter", "-t", str(self._holder.pid), "-m", "-n", "--"]

    def run(self, *command: str) -> str:
        return run(*self.inside, *command)

    def ip(self, *arguments: str) -> None:
        run("ip", "-n", self.namespace, *arguments)

    def seen_from_outside(self, path: Path) -> Path:
        """Return where a file of its is, for us."""
        assert self._holder is not None
        return Path(f"/proc/{self._holder.pid}/root{path}")

    def mount(self, *arguments: str) -> None:
        self.run("mount", *arguments)

    def remove(self) -> None:
        if self._holder is not None:
            self._holder.kill()
            self._holder.wait(PATIENCE)
        subprocess.run(["ip", "netns", "del", self.namespace], check=False, capture_output=True)


class Lan:
    """The switch, the hosts on it, and a DNS that knows `pi.lan`."""

    def __init__(self, number: int, root: Path, lasts: int = LONGEST) -> None:
        self._name = f"{PREFIX}-{os.getpid()}-{number}"
        self._zone = root / "zone"
        self._resolv = root / "resolv.conf"
        self._resolv.write_text(f"nameserver {DNS}\noptions timeout:5 attempts:2\n", "ascii")
        self._lasts = lasts
        self.switch = Box(self._name, "switch", lasts)
        self.hosts: dict[str, Box] = {}
        self.addresses: dict[str, str] = {}
        self._helpers: dict[str, subprocess.Popen[str]] = {}

    def lay(self, names: Sequence[str]) -> None:
        self.switch.make()
        self.switch.ip("link", "add", "br0", "type", "bridge")
        self.switch.ip("addr", "add", f"{DNS}/24", "dev", "br0")
        self.switch.ip("link", "set", "br0", "up")
        for number, name in enumerate(names, 1):
            host = self.hosts[name] = Box(self._name, name, self._lasts)
            host.make()
            far = ("peer", "name", "lan0", "netns", host.namespace)
            self.switch.ip("link", "add", f"p-{name}", "type", "veth", *far)
            self.switch.ip("link", "set", f"p-{name}", "master", "br0", "up")
            # A wait for addresses that nobody else has would only delay the tests.
            host.ip("link", "set", "lan0", "addrgenmode", "none")
            host.ip("link", "set", "lan0", "up")
            self._address(name, f"{NETWORK}.{number}")
            host.run("sysctl", "-q", "-w", "net.ipv4.ping_group_range=0 2147483647")

    def _address(self, name: str, address: str) -> None:
        host, before = self.hosts[name], self.addresses.get(name)
        host.ip("addr", "add", f"{address}/24", "brd", "+", "dev", "lan0")
        if before is not None:
            # Its first address goes with all that came after it, unless these are promoted.
            host.run("sysctl", "-q", "-w", "net.ipv4.conf.all.promote_secondaries=1")
            host.ip("addr", "del", f"{before}/24", "dev", "lan0")
        self.addresses[name] = address
        self._zone.write_text(
            "".join(f"{host}.lan {at}\n" for host, at in self.addresses.items()), "ascii"
        )

    def readdress(self, name: str) -> None:
        """Give it another address, and take the old one."""
        number = int(self.addresses[name].rpartition(".")[2])
        self._address(name, f"{NETWORK}.{number + 100}")

    def plug(self, name: str, *, up: bool) -> None:
        """Plug or pull a cable at the switch: neither end has a carrier then."""
        self.switch.ip("link", "set", f"p-{name}", "up" if up else "down")

    def power(self, *, up: bool) -> None:
        """Switch the switch."""
        for name in self.hosts:
            self.plug(name, up=up)

    def poor(self, name: str, *, loss: int, delay: int, jitter: int, duplicate: int) -> None:
        """Let a cable lose, delay and double frames, in both directions."""
        netem = ["netem", "limit", "1000", "loss", f"{loss}%", "duplicate", f"{duplicate}%"]
        if delay:
            netem += ["delay", f"{delay}ms", f"{jitter}ms"]
        tc = ("tc", "-n", self.hosts[name].namespace, "qdisc", "replace", "dev", "lan0", "root")
        try:
            run(*tc, *netem)
        except (OSError, subprocess.CalledProcessError):
            self._poor_by_hand(name, loss, delay, jitter, duplicate)
        else:
            switch = self.switch.namespace
            run("tc", "-n", switch, "qdisc", "replace", "dev", f"p-{name}", "root", *netem)

    def _poor_by_hand(self, name: str, *figures: int) -> None:
        """Do as netem does, on a kernel without it: a program carries the frames."""
        ip = self.switch.ip
        ip("link", "add", f"i-{name}", "type", "veth", "peer", "name", f"o-{name}")
        for link in (f"i-{name}", f"o-{name}"):
            ip("link", "set", link, "addrgenmode", "none")
            ip("link", "set", link, "up")
        for box, link in ((self.hosts[name], "lan0"), (self.switch, f"i-{name}")):
            box.run(sys.executable, str(HERE / "cable.py"), "--plain", link)
        carrier = [sys.executable, str(HERE / "cable.py"), f"p-{name}", f"o-{name}"]
        self._help(f"cable-{name}", *carrier, *map(str, figures))
        ip("link", "set", f"p-{name}", "nomaster")
        ip("link", "set", f"i-{name}", "master", "br0")

    def serve_names(self) -> None:
        """Start a DNS, and let every host ask it."""
        self._help("dns", sys.executable, str(HERE / "dns.py"), DNS, str(self._zone))
        for host in self.hosts.values():
            host.mount("--bind", str(self._resolv), "/etc/resolv.conf")

    def hang_dns(self) -> None:
        """Let it take every question, and answer none."""
        self._helpers["dns"].send_signal(signal.SIGSTOP)

    def _help(self, name: str, *command: str) -> None:
        helper = subprocess.Popen(
            [*self.switch.inside, *command],
            stdout=subprocess.PIPE,
            text=True,
            env=clean_environment({}),
        )
        self._helpers[name] = helper
        assert helper.stdout is not None
        assert helper.stdout.readline() == "ready\n", f"{name} did not start"

    def remove(self) -> None:
        for helper in self._helpers.values():
            helper.kill()
            helper.communicate()
        for box in (*self.hosts.values(), self.switch):
            with contextlib.suppress(subprocess.SubprocessError):
                box.remove()


def remove_left_over() -> None:
    """Remove the namespaces of tests that were killed."""
    for line in run("ip", "netns", "list").splitlines():
        namespace = line.split()[0]
        if namespace.startswith(f"{PREFIX}-"):
            pid = namespace.removeprefix(f"{PREFIX}-").partition("-")[0]
            if not Path(f"/proc/{pid}").exists():
                subprocess.run(["ip", "netns", "del", namespace], check=False)


def missing() -> str:
    """Return what this machine lacks for it; empty if nothing."""
    lacks = [tool for tool in ("ip", "nsenter", "mount", "sysctl") if shutil.which(tool) is None]
    if lacks or os.geteuid() != 0:
        return f"needs root and {', '.join(lacks) or 'nothing else'}"
    try:
        remove_left_over()
        box = Box(f"{PREFIX}-{os.getpid()}", "probe")
        try:
            box.make()
            box.mount("-t", "tmpfs", "tmpfs", "/mnt")
        finally:
            box.remove()
    except subprocess.CalledProcessError as error:
        return f"no namespaces here: {error.stderr}"
    return ""
