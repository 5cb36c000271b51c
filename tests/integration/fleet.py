"""A fleet of real processes on this machine: a server, clients, a plug to pull.

Times are scaled: a lease of 1.5 s, a debounce of 0.3 s, shutdowns a few seconds after the loss.
Commands of a shutdown write their name and the time to one file, so that a test sees what was run,
in which order and when. All times are on the clock that counts, CLOCK_BOOTTIME.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from powmonman.sensors.simulated import render
from powmonman.service.clock import boottime
from powmonman.simulate import write
from powmonman.status import StatusError, fetch

from .cable import unavailable
from .daemon import PATIENCE, Daemon, powmonman_command, wait_for

if TYPE_CHECKING:
    from .authority import Authority

LEASE = 1.5
CONFIRM = 0.3


@dataclass(frozen=True)
class Ran:
    """One command that was run: by which host, which one, and when."""

    host: str
    what: str
    at: float


class Fleet:
    """A server, its clients and the mains; `close` ends every process."""

    def __init__(self, root: Path, authority: Authority, stranger: Authority) -> None:
        self._root = root
        self.authority = authority
        self.stranger = stranger
        self._reservation = _reserve()
        self._daemons: list[Daemon] = []
        self._open_places: list[Path] = []
        self._plug = root / "mains.yml"
        self._ran = root / "ran"
        self._tools = root / "tools"
        self._tools.mkdir()
        for tool in ("systemctl", "wall"):
            self.tool(tool)
        self.port: int = self._reservation.getsockname()[1]
        self._path = f"{self._tools}:{os.environ.get('PATH', os.defpath)}"
        self.mains("on")

    def mains(
        self,
        word: str,
        charge: float | None = None,
        runtime: float | None = None,
        *,
        low_battery: bool = False,
    ) -> float:
        """Set what the sensor reads; return when."""
        write(self._plug, render(word, charge, runtime, low_battery=low_battery))
        return boottime()

    def garble(self, data: bytes) -> None:
        """Put something else into the sensor's file."""
        self._plug.write_bytes(data)

    def path(self, name: str) -> Path:
        """Return a place for a file of this fleet."""
        return self._root / name

    def tool(self, name: str, exit_code: int = 0, says: str = "") -> None:
        """Put a program of this name before the real one: no test may touch this machine."""
        calls = self._tools / f"{name}.calls"
        script = f'#!/bin/sh\necho "$@" >> "{calls}"\necho "{says}"\nexit {exit_code}\n'
        (self._tools / name).write_text(script, encoding="utf-8")
        (self._tools / name).chmod(0o755)

    def calls(self, tool: str) -> list[str]:
        """Return the arguments of each call of a tool."""
        calls = self._tools / f"{tool}.calls"
        return calls.read_text("utf-8").splitlines() if calls.exists() else []

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `powmonman ARGUMENTS` as on a host of this fleet."""
        return powmonman_command(*arguments, PATH=self._path)

    def server(self, name: str = "server", **changes: Any) -> Daemon:
        """Return a server that is not started yet."""
        settings = {
            "fleet": "test",
            "upses": {
                "ups": {
                    "sensor": "simulated",
                    "simulated": {"file": str(self._plug), "poll": 0.05},
                    "confirm": CONFIRM,
                    "restore_confirm": CONFIRM,
                }
            },
            "policy": {"after": 4},
            "lease": LEASE,
            "listen": {"address": "127.0.0.1", "port": self.port},
            "announce": {"enabled": False},
            # Nobody's real host is to be woken by a test.
            "recovery": {"interfaces": ["lo"]},
            "log": {"level": "debug"},
        }
        return self._new("server", name, self.authority.server, settings, changes)

    def client(self, name: str, *commands: Any, **changes: Any) -> Daemon:
        """Return a client that is not started yet; its final command is called `poweroff`.

        Each of `commands` is a name, or a whole entry of `shutdown.commands`.
        """
        settings = {
            "fleet": "test",
            "servers": [f"127.0.0.1:{self.port}"],
            "port": self.port,
            "discovery": {"enabled": False},
            "policy": {"min_observe": 1, "confirm": CONFIRM},
            "shutdown": {
                "commands": [
                    entry if isinstance(entry, dict) else self.command(name, entry)
                    for entry in commands
                ],
                "final": self.command(name, "poweroff"),
            },
            "warn_users": False,
            "log": {"level": "debug"},
        }
        return self._new("client", name, self.authority.client(name), settings, changes)

    def guard(self, *commands: str, **changes: Any) -> Daemon:
        """Return a guard of a machine of its own, `laptop`, that is not started yet.

        Its server part runs as another user, who gets at nothing below pytest's directories.
        """
        if os.geteuid() == 0 and not _everybody_can_run(sys.executable):
            unavailable(f"the guard's server part is nobody, who can't run {sys.executable} here")
        place = Path(tempfile.mkdtemp(prefix="powmonman-guard-"))
        place.chmod(0o755)
        self._open_places.append(place)
        self._plug, self._ran = place / "mains.yml", place / "ran"
        self.mains("on")
        settings = {
            "ups": {
                "sensor": "simulated",
                "simulated": {"file": str(self._plug), "poll": 0.05},
                "confirm": CONFIRM,
                "restore_confirm": CONFIRM,
            },
            "policy": {"after": 4, "min_observe": 1, "confirm": CONFIRM},
            "shutdown": {
                "commands": [self.command("laptop", entry) for entry in commands],
                "final": self.command("laptop", "poweroff"),
            },
            "warn_users": False,
            "port": self.port,
            "state_dir": str(place / "state"),
            "runtime_dir": str(place / "run"),
            "log": {"level": "debug"},
        }
        daemon = Daemon("guard", place, settings)
        daemon.environment["PATH"] = self._path
        daemon.configure(**changes)
        self._daemons.append(daemon)
        return daemon

    def command(self, host: str, what: str, then: str = "", **options: Any) -> dict[str, Any]:
        """Return a command that leaves a trace, and goes on with the shell script `then`.

        All on one line, as the log has it.
        """
        script = f'read at _ < /proc/uptime; echo "{host} {what} $at" >> {self._ran}; {then}'
        return {"command": ["sh", "-c", script], **options}

    def _new(
        self,
        kind: str,
        name: str,
        identity: Path,
        settings: dict[str, Any],
        changes: dict[str, Any],
    ) -> Daemon:
        directory = self._root / name
        for part in ("state", "run"):
            (directory / part).mkdir(parents=True)
        settings["tls"] = {"identity": str(identity)}
        settings["state_dir"] = str(directory / "state")
        settings["runtime_dir"] = str(directory / "run")
        daemon = Daemon(kind, directory, settings)
        daemon.environment["PATH"] = self._path
        daemon.configure(**changes)
        self._daemons.append(daemon)
        return daemon

    def up(self, server: Daemon, *clients: Daemon) -> None:
        """Start a server and clients, and wait until every client knows the state of the mains."""
        server.start().says("listening on")
        for client in clients:
            client.start()
        for client in clients:
            client.says("(now:|INFO   ) on mains|on battery · outage")
        # What the server has to say of this push is said by then.
        wait_for("all are told", lambda: self._all_told(server, len(clients)))

    @property
    def history(self) -> list[Ran]:
        """Every command that was run, in order."""
        if not self._ran.exists():
            return []
        rows = [line.split() for line in self._ran.read_text("utf-8").splitlines()]
        return [Ran(host, what, float(at)) for host, what, at in rows]

    def ran(self, host: str) -> list[str]:
        """Return the names of the commands that `host` has run, in order."""
        return [ran.what for ran in self.history if ran.host == host]

    def down(self, host: str, within: float = PATIENCE) -> float:
        """Wait until `host` has run its final command; return when it did."""

        def moment() -> float | None:
            times = [r.at for r in self.history if (r.host, r.what) == (host, "poweroff")]
            return times[0] if times else None

        return wait_for(f"{host} powers off", moment, within) or 0.0

    def report(self, daemon: Daemon) -> dict[str, Any]:
        """Return what `powmonman status --json` prints; empty if nobody answers."""
        try:
            return fetch(daemon.config)
        except StatusError:
            return {}

    def row(self, server: Daemon, name: str) -> dict[str, Any]:
        """Return what the server knows of one host; empty if nothing."""
        rows = self.report(server).get("clients", [])
        return next((row for row in rows if row["name"] == name), {})

    def _all_told(self, server: Daemon, count: int) -> bool:
        told = [row["told"] for row in self.report(server).get("clients", []) if row["connected"]]
        return len(told) >= count and all(told)

    def close(self) -> None:
        """End every process, and whatever a shutdown command left behind."""
        for daemon in self._daemons:
            daemon.cleanup()
        self._reservation.close()
        for place in (self._root, *self._open_places):
            for pid in _mentioning(f"{place}/"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for place in self._open_places:
            shutil.rmtree(place, ignore_errors=True)

    def logs(self) -> str:
        """Return every log, for a test that failed."""
        return "\n".join(f"--- {d.directory.name}\n{d.log}" for d in self._daemons)


@cache
def _everybody_can_run(program: str) -> bool:
    try:
        subprocess.run([program, "-c", ""], user="nobody", check=True)
    except PermissionError:
        return False
    return True


def _reserve() -> socket.socket:
    """Return a socket that keeps a free port for us, and still lets a server listen on it."""
    while True:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        with contextlib.suppress(OSError), socket.socket(type=socket.SOCK_DGRAM) as probe:
            probe.bind(("", sock.getsockname()[1]))
            return sock
        sock.close()


def _mentioning(text: str) -> list[int]:
    """Return the processes whose command line names `text`; nobody else's do."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if text.encode() in (place / "cmdline").read_bytes() and int(place.name) != os.getpid():
                found.append(int(place.name))
    return found
