"""The lab's hosts: containers that boot systemd, reached by ssh on ports of 127.0.0.1.

Ports are published because rootless containers aren't routed from their machine. The runner-up,
a connection plugin over `podman exec`, costs the control node twice the CPU.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import image
from engine import Engine, LabError

BOOT_LIMIT = 60.0
LABEL = "powmonman.lab"
# Containers share their machine's kernel and so its boot id, but a host that boots must have a
# new one. `boot` mounts a random id; init waits for it, though never for long.
INIT = """i=0
until grep -q boot_id /proc/self/mountinfo || [ $i -ge 40 ]; do i=$((i+1)); sleep 0.05; done
exec /sbin/init"""
NEW_BOOT_ID = """umask 022
cat /proc/sys/kernel/random/uuid > /run/boot_id
mount --bind -o ro /run/boot_id /proc/sys/kernel/random/boot_id"""
SETTLED = "systemctl is-system-running --wait"
FIRST_BOOT = """cat > /home/admin/.ssh/authorized_keys
chown admin: /home/admin/.ssh/authorized_keys
cat /etc/ssh/ssh_host_ed25519_key.pub"""


@dataclass(frozen=True)
class Host:
    """One container, its port on 127.0.0.1, its address among the others, and what it has."""

    name: str
    port: int
    address: str
    packages: tuple[str, ...]

    @property
    def mac(self) -> str:
        """A MAC address that stays when the container is made anew."""
        return f"02:70:6d:00:{self.port >> 8:02x}:{self.port & 255:02x}"


@dataclass(frozen=True)
class Fleet:
    """The hosts of one lab. `name` keeps several labs on one machine apart."""

    name: str
    directory: Path
    network: str
    subnet: str
    hosts: tuple[Host, ...]
    engine: Engine
    description: str

    @classmethod
    def described(cls, text: str) -> Fleet:
        """Return the fleet that a JSON object describes.

        Raises:
            LabError: Podman is missing.
        """
        said: dict[str, Any] = json.loads(text)
        ports = range(said["port"], 65536)
        packages = map(tuple, said["packages"])
        hosts = tuple(map(Host, said["hosts"], ports, said["addresses"], packages))
        return cls(
            said["name"], Path(said["directory"]), said["network"], said["subnet"], hosts,
            Engine.find(), text,
        )  # fmt: skip

    @classmethod
    def running(cls, directory: Path) -> Fleet:
        """Return the fleet that was created with this directory.

        Raises:
            LabError: There is none.
        """
        try:
            return cls.described((directory / "lab.json").read_text("utf-8"))
        except FileNotFoundError:
            raise LabError(f"no lab in {directory}: run `molecule create` first") from None

    def create(self) -> None:
        """Make the image, the network and the hosts, and boot them; those that exist stay.

        Raises:
            LabError: One of them can't be made; the text says which and why.
        """
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        images = {
            packages: image.with_packages(self.engine, packages)
            for packages in sorted({host.packages for host in self.hosts})
        }
        if not self.engine.succeeds("network", "exists", self.network):
            self.engine.call(
                "network", "create", "--label", f"{LABEL}={self.name}",
                "--subnet", self.subnet, self.network,
            )  # fmt: skip
        key = self._key()
        with ThreadPoolExecutor(4) as pool:
            host_keys = list(
                pool.map(lambda host: self._create(host, images[host.packages], key), self.hosts)
            )
        known = "".join(
            f"[127.0.0.1]:{host.port} {host_key}\n"
            for host, host_key in zip(self.hosts, host_keys, strict=True)
        )
        (self.directory / "known_hosts").write_text(known, "ascii")
        (self.directory / "lab.json").write_text(self.description, "utf-8")

    def destroy(self) -> None:
        """Remove the hosts, their network and all that was made for them; keep the image."""
        mine = f"label={LABEL}={self.name}"
        containers = self.engine.call("ps", "--all", "--quiet", "--filter", mine).split()
        if containers:
            self.engine.call("rm", "--force", "--volumes", "--time", "0", *containers)
        for network in self.engine.call(
            "network", "ls", "--quiet", "--filter", mine, plain=True
        ).split():
            self.engine.call("network", "rm", network, plain=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def container(self, host: str) -> str:
        """Return the name of a host's container."""
        return f"{self.name}-{host}"

    def state(self, host: str) -> str:
        """Return podman's word for a host: `running`, `stopping`, `exited` …"""
        return self.engine.call(
            "inspect", "--format", "{{.State.Status}}", self.container(host), plain=True
        ).strip()

    def states(self) -> dict[str, str]:
        """Return podman's word for every host, in one call."""
        names = [self.container(host.name) for host in self.hosts]
        answer = self.engine.call(
            "inspect", "--format", "{{.State.Status}}", *names, plain=True
        ).split()
        return dict(zip((host.name for host in self.hosts), answer, strict=True))

    def boot(self, host: str) -> bool:
        """Switch a host on; return whether it got a boot id of its own."""
        self.engine.call("start", self.container(host))
        return self._give_boot_id(host)

    def boot_if_off(self, host: str) -> bool | None:
        """Switch a host on as `boot` does, unless it runs or is on its way down: then None."""
        return self.boot(host) if self.state(host) == "exited" else None

    def cut(self, host: str) -> None:
        """Take a host's power away, or press its reset button long enough."""
        self.engine.call("stop", "--time", "0", self.container(host))

    def finished(self, host: str) -> float:
        """Return when a host was last off, in seconds of the wall clock."""
        name = self.container(host)
        answer = self.engine.call(
            "inspect", "--format", "{{.State.FinishedAt.UnixNano}}", name, plain=True
        )
        return int(answer) / 1e9

    def bridge(self) -> str:
        """Return the name of the network's interface on the machine that carries the lab."""
        answer = self.engine.call("network", "inspect", self.network, plain=True)
        return str(json.loads(answer)[0]["network_interface"])

    def beside_the_hosts(self, *command: str) -> list[str]:
        """Return what runs a command where the network's bridge is."""
        if self.engine.rootless:
            return [self.engine.binary, "unshare", "--rootless-netns", *command]
        return list(command)

    def run(self, host: str, *command: str, given: str | None = None) -> str:
        """Run a command as root on a host and return what it printed.

        Raises:
            LabError: It failed.
        """
        return self.engine.call(
            "exec", "--interactive", self.container(host), *command, given=given
        )

    def ssh(self, host: str) -> list[str]:
        """Return the command that logs in to a host, on a terminal."""
        port = next(known.port for known in self.hosts if known.name == host)
        return [
            "ssh", "-tt", "-i", str(self.directory / "id_ed25519"),
            "-o", f"UserKnownHostsFile={self.directory / 'known_hosts'}",
            "-o", "StrictHostKeyChecking=yes", "-p", str(port), "admin@127.0.0.1",
        ]  # fmt: skip

    def _create(self, host: Host, image_name: str, key: str) -> str:
        name = self.container(host.name)
        if not self.engine.succeeds("container", "exists", name):
            self.engine.call(
                "run", "--detach", "--name", name, "--hostname", host.name,
                "--label", f"{LABEL}={self.name}", "--systemd", "always",
                "--network", self.network, "--mac-address", host.mac, "--ip", host.address,
                "--publish", f"127.0.0.1:{host.port}:22",
                # Podman would put a tmpfs here, and the story of an outage would end with it.
                "--volume", "/var/log/journal",
                *self.engine.run_options, image_name, "/bin/sh", "-c", INIT,
            )  # fmt: skip
            self._give_boot_id(host.name)
        elif self.state(host.name) != "running":
            self.boot(host.name)
        self._wait(host.name)
        return self.run(host.name, "sh", "-c", FIRST_BOOT, given=key).strip()

    def _wait(self, host: str) -> None:
        """Wait until init answers: before that, systemctl fails at once."""
        end = time.monotonic() + BOOT_LIMIT
        while True:
            state = self.run(host, "sh", "-c", f"{SETTLED} 2>&1 || :").strip()
            if state == "running":
                return
            if state == "degraded":
                failed = self.run(host, "systemctl", "--failed", "--no-legend")
                raise LabError(f"{host} booted with failed units:\n{failed}")
            if time.monotonic() > end:
                raise LabError(f"{host} did not boot within {BOOT_LIMIT:.0f} s: {state}")
            time.sleep(0.1)

    def _give_boot_id(self, host: str) -> bool:
        name = self.container(host)
        pid = self.engine.call("inspect", "--format", "{{.State.Pid}}", name, plain=True)
        return self.engine.enter(int(pid), NEW_BOOT_ID)

    def _key(self) -> str:
        path = self.directory / "id_ed25519"
        if not path.exists():
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(path)],
                check=True,
            )
        return path.with_suffix(".pub").read_text("ascii")
