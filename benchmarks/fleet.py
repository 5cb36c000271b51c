"""A real server on loopback, as a benchmark needs it: a plug to pull, and identities of clients.

All of it lives in one directory of its own and is gone with it; nothing is announced on the LAN,
and nobody is woken but on `lo`.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from powmonman.net.tls import SERVER_NAME
from powmonman.pki.certificates import Signer
from powmonman.sensors.simulated import render
from powmonman.simulate import write
from powmonman.status import StatusError, fetch

from .deployed import SERVER_ENVIRONMENT

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).parent.parent
PATIENCE = 30.0
# Of connections that are no clients': status, and the old ones of clients that come again.
SPARE_CONNECTIONS = 64
PREFIX = "powmonman-bench-"


class Fleet:
    """A context manager: inside it the server runs, and hosts may connect.

    Attributes:
        directory: Where everything lies.
        port: Where the server listens, on 127.0.0.1.
        names: The hosts that are expected, each with an identity.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        clients: int = 0,
        lease: float = 15.0,
        confirm: float = 0.0,
        poll: float = 0.25,
        after: float = 600.0,
        program: Path | None = None,
        **settings: Any,
    ) -> None:
        """A fleet of so many `clients`; times in seconds.

        `directory` is to be an empty one, and is kept; by default it is made, and removed. The
        return of the mains is confirmed for as long as their loss. `settings` replace those of
        server.yml; a key with a double underscore goes into its section. `program` is an installed
        one, run as by its unit; by default it is the source.
        """
        self._command = [str(program)] if program else [sys.executable, "-m", "powmonman"]
        self._environment = SERVER_ENVIRONMENT if program else None
        self._own_directory = directory is None
        self.directory = Path(tempfile.mkdtemp(prefix=PREFIX)) if directory is None else directory
        self.names = tuple(f"host-{n:05}" for n in range(clients))
        self._plug = self.directory / "mains.yml"
        self._config = self.directory / "server.yml"
        self._output = self.directory / "server.log"
        self._reservation = _reserve()
        self.port: int = self._reservation.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self._others: list[subprocess.Popen[bytes]] = []
        simulated = {"file": str(self._plug), "poll": poll}
        server: dict[str, Any] = {
            "fleet": "bench",
            "upses": {
                "ups": {
                    "sensor": "simulated",
                    "simulated": simulated,
                    "confirm": confirm,
                    "restore_confirm": confirm,
                }
            },
            "policy": {"after": after},
            "clients": list(self.names),
            "lease": lease,
            "listen": {"address": "127.0.0.1", "port": self.port},
            "limits": {"connections": max(2048, clients + SPARE_CONNECTIONS)},
            "announce": {"enabled": False},
            "recovery": {"interfaces": ["lo"]},
            "tls": {"identity": str(self.identity(SERVER_NAME))},
            "state_dir": str(self.directory / "state"),
            "runtime_dir": str(self.directory / "run"),
        }
        self._settings = _with(server, settings)

    def __enter__(self) -> Self:
        try:
            self._prepare()
            self.start()
        except BaseException:
            self._clean_up()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            print(f"--- {self._output}\n{self.log[-2000:]}", file=sys.stderr)
        self._clean_up()

    @property
    def pid(self) -> int:
        """The server's process."""
        if self._process is None:
            raise RuntimeError("the server does not run")
        return self._process.pid

    @property
    def log(self) -> str:
        """What the server has written so far."""
        return self._output.read_text("utf-8", "replace") if self._output.exists() else ""

    def identity(self, name: str) -> Path:
        """Return the identity file of a host."""
        return self.directory / "identities" / f"{name}.pem"

    def lose_mains(self) -> float:
        """Replace the sensor's file; return when, by CLOCK_MONOTONIC."""
        return self._mains("off")

    def restore_mains(self) -> float:
        """Replace the sensor's file; return when, by CLOCK_MONOTONIC."""
        return self._mains("on")

    def lose_charge(self) -> float:
        """Let the mains be off and the battery be low; return as `lose_mains` does."""
        return self._mains("off", low_battery=True)

    def _mains(self, word: str, *, low_battery: bool = False) -> float:
        text = render(word, low_battery=low_battery)
        moment = time.monotonic()
        write(self._plug, text)
        return moment

    def report(self) -> dict[str, Any]:
        """Return what `powmonman status --json` prints; empty while nobody answers."""
        try:
            return fetch(self._config)
        except StatusError:
            return {}

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        self._process = self._spawn("server", self._config, self._output)
        end = time.monotonic() + PATIENCE
        while not self.report():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the server did not start:\n{self.log[-2000:]}")
            time.sleep(0.02)

    def stop(self, *, kill: bool = False) -> None:
        """End the server, with SIGTERM or with SIGKILL, and wait for its end."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        self._process.wait(PATIENCE)
        self._process = None

    def client(self, name: str, **settings: Any) -> Client:
        """Start the real client of a host; it rehearses, and shuts nothing down."""
        directory = self.directory / name
        directory.mkdir()
        config = client_config(
            directory,
            port=self.port,
            identity=self.identity(name),
            runtime=directory / "run",
            **settings,
        )
        process = self._spawn("client", config, directory / "log")
        self._others.append(process)
        return Client(name, process.pid, directory)

    def _spawn(self, kind: str, config: Path, output: Path) -> subprocess.Popen[bytes]:
        with output.open("ab") as log:
            return subprocess.Popen(
                [*self._command, kind, "--config", str(config)],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _prepare(self) -> None:
        (self.directory / "identities").mkdir(parents=True)
        self._config.write_text(json.dumps(self._settings), "utf-8")
        self._mains("on")
        signer = Signer.new()
        authority = signer.certificate()
        for name in (SERVER_NAME, *self.names):
            # Not by `powmonman ca`, which syncs the disk for each.
            pem = signer.issue(name, authority, (authority,)).pem
            self.identity(name).write_bytes(pem)

    def _clean_up(self) -> None:
        for process in (self._process, *self._others):
            if process is not None:
                process.kill()
                process.wait()
        self._process = None
        self._reservation.close()
        if self._own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)


class Client:
    """A real client's process, and its log.

    Attributes:
        name: Of its host.
    """

    def __init__(self, name: str, pid: int, directory: Path) -> None:
        self.name = name
        self.pid = pid
        self._log = directory / "log"
        self._view = directory / "run" / "client.json"

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    @property
    def view(self) -> dict[str, Any]:
        """What it shows of itself, such as `phase` and `left`; empty before it has."""
        with contextlib.suppress(OSError, ValueError):
            view: dict[str, Any] = json.loads(self._view.read_text("utf-8"))
            return view
        return {}

    def says(self, text: str, within: float = PATIENCE) -> None:
        """Wait until its log holds `text`."""
        end = time.monotonic() + within
        while text not in self.log:
            if time.monotonic() > end:
                raise RuntimeError(f"{self.name} did not say {text!r}:\n{self.log[-2000:]}")
            time.sleep(0.02)


def client_config(
    directory: Path, *, port: int, identity: Path, runtime: Path, **settings: Any
) -> Path:
    """Write client.yml of a host that finds its server on loopback; return its path.

    `settings` replace those of client.yml; a key with a double underscore goes into its section.
    """
    client: dict[str, Any] = {
        "fleet": "bench",
        "servers": [f"127.0.0.1:{port}"],
        "discovery": {"enabled": False},
        "tls": {"identity": str(identity)},
        "state_dir": str(directory / "state"),
        "runtime_dir": str(runtime),
        "warn_users": False,
        "dry_run": True,
    }
    path = directory / "client.yml"
    # JSON is YAML too.
    path.write_text(json.dumps(_with(client, settings)), "utf-8")
    return path


def _with(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    for key, value in changes.items():
        *sections, last = key.split("__")
        section = settings
        for name in sections:
            section = section.setdefault(name, {})
        section[last] = value
    return settings


def _reserve() -> socket.socket:
    """Return a socket that keeps a free port for us, and still lets a server listen on it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    return sock
