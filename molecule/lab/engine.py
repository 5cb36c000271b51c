"""Podman on this machine: the binary, the runtime and the options that work here.

Environment variables decide where they are set; docs/lab.md lists them.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

CAP_SYS_RESOURCE = 24
SBIN = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"


class LabError(Exception):
    """The lab can't do what was asked; the text says what helps."""


@dataclass(frozen=True)
class Engine:
    """One podman, and how to call it."""

    binary: str

    @classmethod
    def find(cls) -> Engine:
        """Return the podman of this machine.

        Raises:
            LabError: There is none.
        """
        binary = os.environ.get("POWMONMAN_LAB_PODMAN", "podman")
        if shutil.which(binary) is None:
            raise LabError(
                f"no {binary} on this machine. The lab's hosts are podman containers:\n"
                "  sudo apt install podman netavark aardvark-dns iptables mmdebstrap\n"
                "(and runc where the kernel runs cgroup v1), or name another binary in "
                "POWMONMAN_LAB_PODMAN."
            )
        return cls(binary)

    def check(self) -> None:
        """Look for what podman needs, before it fails halfway.

        Raises:
            LabError: Something is missing; the text says what installs it.
        """
        if self.runtime and shutil.which(self.runtime) is None:
            raise LabError(f"no {self.runtime}, which cgroup v1 needs: sudo apt install runc")
        if shutil.which("ssh-keygen") is None:
            raise LabError("no ssh, which reaches the hosts: sudo apt install openssh-client")
        # netavark says no more than "No such file or directory" without it.
        if not self.rootless and shutil.which("iptables", path=SBIN) is None:
            raise LabError("no iptables, which podman's networks need: sudo apt install iptables")

    @cached_property
    def info(self) -> dict[str, Any]:
        """What podman says of its host."""
        answer = self.call("info", "--format", "json", plain=True)
        return dict(json.loads(answer)["host"])

    @cached_property
    def runtime(self) -> str:
        """The OCI runtime to ask for; empty: podman's own choice.

        crun refuses hybrid cgroups ("drop all controllers from cgroupv2"), so cgroup v1 needs runc.
        """
        asked = os.environ.get("POWMONMAN_LAB_RUNTIME")
        if asked is not None:
            return asked
        return "runc" if self.info["cgroupVersion"] == "v1" else ""

    @cached_property
    def run_options(self) -> list[str]:
        """Options that `podman run` needs here."""
        asked = os.environ.get("POWMONMAN_LAB_RUN_OPTIONS")
        if asked is not None:
            return shlex.split(asked)
        if may_raise_limits():
            return []
        # Podman asks for higher limits than this process may grant, and the container fails.
        return ["--ulimit", "nofile=8192:8192", "--ulimit", "nproc=8192:8192"]

    @property
    def rootless(self) -> bool:
        """Whether the containers belong to a user namespace of ours."""
        return bool(self.info["security"]["rootless"])

    def command(self, *arguments: str, plain: bool = False) -> list[str]:
        """Return the argument list of one podman call; `plain`: with no runtime chosen."""
        runtime = [] if plain or not self.runtime else ["--runtime", self.runtime]
        return [self.binary, *runtime, *arguments]

    def call(self, *arguments: str, given: str | None = None, plain: bool = False) -> str:
        """Run podman and return what it printed.

        Raises:
            LabError: It failed; the text holds the command and its complaint.
        """
        command = self.command(*arguments, plain=plain)
        done = subprocess.run(
            command, input=given or "", capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise LabError(f"{shlex.join(command)}\n{done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def succeeds(self, *arguments: str) -> bool:
        """Run podman for its exit code."""
        command = self.command(*arguments, plain=True)
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def enter(self, pid: int, script: str) -> bool:
        """Run a shell script in a container's mounts, with the engine's own rights."""
        unshare = [self.binary, "unshare"] if self.rootless else []
        command = [*unshare, "nsenter", "--target", str(pid), "--mount", "sh", "-c", script]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def may_raise_limits() -> bool:
    """Whether this process holds CAP_SYS_RESOURCE, or podman's defaults need none."""
    if os.geteuid() != 0:
        return True
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("CapBnd:"):
            return bool(int(line.split()[1], 16) >> CAP_SYS_RESOURCE & 1)
    return True
