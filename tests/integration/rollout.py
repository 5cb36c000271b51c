"""The real playbooks, with an inventory of the test's own below a directory of the test's own."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
ANSIBLE = shutil.which("ansible-playbook", path=f"{Path(sys.executable).parent}:{os.defpath}") or ""
FLEET = (
    "powmonman_server: {hosts: {pi: {ansible_host: 127.0.0.11}}}\n"
    "powmonman_client: {hosts: {database: {ansible_host: 127.0.0.14}}}\n"
)

needs_ansible = pytest.mark.skipif(not ANSIBLE, reason="ansible-playbook is missing")


@dataclass(frozen=True)
class Run:
    """What a playbook said."""

    code: int
    output: str

    def changed(self, host: str) -> int:
        found = re.search(rf"(?m)^{host} +: ok=\d+ +changed=(\d+)", self.output)
        assert found, self.output
        return int(found[1])

    def modules(self, address: str) -> int:
        """Return how many modules ran on a host, of a run with -vvv."""
        return len(re.findall(rf"(?m)^<{address}> EXEC .*python[\d.]* && sleep 0", self.output))

    @property
    def text(self) -> str:
        """The output without its line breaks, which fall anywhere."""
        return " ".join(self.output.split())


class Rollout:
    """An inventory below a directory, and playbooks run with it.

    Keys and archives lie where an operator's would, but for the home directory.
    """

    def __init__(self, directory: Path, hosts: str = FLEET) -> None:
        self.stage = directory / ".demo"
        self.config = directory / "config"
        self.inventory = directory / "inventory"
        shutil.copytree(REPOSITORY / "inventory.demo", self.inventory)
        (self.inventory / "hosts.yml").write_text(hosts)
        self._port = reserved_port()

    def run(self, *options: str, playbook: str = "site.yml", **variables: Any) -> Run:
        variables["powmonman_port"] = self._port
        given = ["-i", str(self.inventory), "-e", json.dumps(variables)]
        return play(playbook, *given, *options, XDG_CONFIG_HOME=str(self.config))

    def program(self, host: str, *arguments: str) -> Run:
        program = self.stage / host / "usr" / "local" / "bin" / "powmonman"
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        return Run(done.returncode, done.stdout)

    def files(self) -> list[str]:
        """Return what is below the stage: the hosts, and the control node's cache."""
        found = (path for path in self.stage.rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self.stage)) for path in found)

    def stop(self) -> None:
        """End whatever a failed test left running."""
        for pid_file in self.stage.glob("*/run/powmonman/*.pid"):
            self.program(pid_file.parts[-4], "process", "stop", "--pid-file", str(pid_file))


def play(playbook: str | Path, *options: str, **environment: str) -> Run:
    """Run a playbook from the root of the repository."""
    mine = {"ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "NO_COLOR": "1"}
    done = subprocess.run(
        [ANSIBLE, playbook, *options],
        cwd=REPOSITORY,
        env=os.environ | mine | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Run(done.returncode, done.stdout)


@cache
def reserved_port() -> int:
    """Return a TCP port that is free where the servers listen, and kept free for them."""
    while True:
        kept: list[socket.socket] = []
        port = 0
        try:
            for address in ("127.0.0.11", "127.0.0.1"):
                kept.append(socket.socket())
                # A server may listen there all the same.
                kept[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                kept[-1].bind((address, port))
                port = kept[0].getsockname()[1]
        except OSError:
            for each in kept:
                each.close()
        else:
            for each in kept:
                atexit.register(each.close)
            return port
