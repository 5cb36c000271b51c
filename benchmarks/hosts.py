"""Hosts for the roll-out: containers of the lab (docs/lab.md) that boot systemd, reached by ssh.

They are new, as nothing was ever installed on them. Keys, the fleet CA and the archives lie in a
directory that goes with them.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[1]
LAB = (sys.executable, str(ROOT / "molecule" / "lab"))
ANSIBLE = Path(sys.executable).parent
NAME = f"{os.environ.get('POWMONMAN_LAB_NAME') or 'powmonman'}-bench"
# Beside those of the lab's other fleets.
NET = "10.74.50"
PORT = 22210

_RECAP = re.compile(r"(?m)^(\w+) +: ok=(\d+) +changed=(\d+) .*skipped=(\d+)")
# What ansible says with -vvv of each command on a host; the last words stand for a Python module.
_MODULE = re.compile(
    r"(?m)^<127\.0\.0\.1> SSH: EXEC .* -o Port=(\d+) .*python[\d.]*['\" ]+&& sleep 0"
)


@dataclass(frozen=True)
class Play:
    """What one run of Ansible took.

    Attributes:
        wall: Seconds from its start to its end.
        cpu: Seconds on the control node's processors, those of ssh in the background left out.
        output: What it printed.
    """

    wall: float
    cpu: float
    output: str

    def tasks(self) -> dict[str, int]:
        """Return how many tasks each host had, skipped ones included."""
        return {name: int(ok) + int(left) for name, ok, _, left in _RECAP.findall(self.output)}

    def modules(self, port: int) -> int:
        """Return how many Python modules ran on the host with that port, of a play with -vvv."""
        return _MODULE.findall(self.output).count(str(port))

    def changed(self) -> int:
        """Return how many tasks have changed something."""
        return sum(int(changed) for _, _, changed, _ in _RECAP.findall(self.output))


class Hosts:
    """A server `pi` and `clients` clients; context manager. Nothing of them is left at its end."""

    def __init__(self, clients: int) -> None:
        self.names = ("pi", *(f"host{number:02}" for number in range(1, clients + 1)))
        self._kept = tempfile.TemporaryDirectory(prefix="powmonman-bench-")
        self.directory = Path(self._kept.name)
        self._lab = {
            "name": NAME,
            "directory": str(self.directory / "lab"),
            "network": NAME,
            "subnet": f"{NET}.0/24",
            "port": PORT,
            "hosts": self.names,
            "addresses": [f"{NET}.{10 + place}" for place in range(len(self.names))],
            "packages": [[] for _ in self.names],
        }
        self._inventory = self.directory / "hosts.json"
        # Ansible's connections, which outlive its runs.
        self._connections = self.directory / "cp"

    def __enter__(self) -> Self:
        """Boot them.

        Raises:
            RuntimeError: They can't be made here; the text says why.
        """
        # What a run that was killed has left.
        _lab("destroy", self._lab)
        try:
            _lab("create", self._lab)
        except BaseException:
            self.__exit__()
            raise
        self._inventory.write_text(json.dumps(self._described(), indent=1), "utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        for path in self._connections.glob("*"):
            leave = ("ssh", "-o", f"ControlPath={path}", "-O", "exit", "127.0.0.1")
            subprocess.run(leave, capture_output=True, check=False)
        _lab("destroy", self._lab)
        self._kept.cleanup()

    def ping(self) -> Play:
        """Run the module `ping` on all, the least that Ansible can do on a host."""
        return self._play("ansible", "all", "-m", "ping")

    def site(self, *options: str) -> Play:
        """Roll out, as an operator does."""
        return self._play("ansible-playbook", str(ROOT / "site.yml"), *options)

    def modules(self, play: Play) -> dict[str, int]:
        """Return how many Python modules ran on each host, of a play with -vvv."""
        return {name: play.modules(PORT + place) for place, name in enumerate(self.names)}

    def _play(self, program: str, *arguments: str) -> Play:
        mine = {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self._connections),
            "NO_COLOR": "1",
        }
        command = (str(ANSIBLE / program), "-i", str(self._inventory), *arguments)
        before, began = _cpu_of_children(), time.monotonic()
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | mine, capture_output=True, text=True, check=False
        )
        wall = time.monotonic() - began
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}\n{(done.stdout + done.stderr)[-3000:]}")
        return Play(wall, _cpu_of_children() - before, done.stdout)

    def _described(self) -> dict[str, object]:
        lab = self.directory / "lab"
        hosts = {name: {"ansible_port": PORT + place} for place, name in enumerate(self.names)}
        return {
            "powmonman_server": {"hosts": {"pi": hosts["pi"]}},
            "powmonman_client": {"hosts": {name: hosts[name] for name in self.names[1:]}},
            "all": {
                "vars": {
                    "ansible_host": "127.0.0.1",
                    "ansible_user": "admin",
                    "ansible_python_interpreter": "/usr/bin/python3",
                    "ansible_ssh_private_key_file": str(lab / "id_ed25519"),
                    "ansible_ssh_common_args": f"-o UserKnownHostsFile={lab / 'known_hosts'} "
                    "-o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=/dev/null "
                    "-o IdentitiesOnly=yes",
                    "powmonman_fleet": "bench",
                    "powmonman_network_on_ups": True,
                    "powmonman_server_upses": {"rack": {"sensor": "simulated"}},
                    "powmonman_ca_dir": str(self.directory / "ca"),
                    "powmonman_cache_dir": str(self.directory / "build"),
                }
            },
        }


def missing() -> str:
    """Return what is missing for such hosts here; empty: nothing."""
    if not (ANSIBLE / "ansible-playbook").exists():
        return "no Ansible beside this Python"
    done = subprocess.run((*LAB, "check"), capture_output=True, text=True, check=False)
    return " ".join(done.stderr.split()) if done.returncode != 0 else ""


def _lab(command: str, described: dict[str, object]) -> None:
    done = subprocess.run(
        (*LAB, command),
        input=json.dumps(described),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the lab can't {command} its hosts: {done.stderr.strip()[-2000:]}")


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
