"""PowMonMan on the same LAN: a server on `pi`, a client on the host, every time at its default."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from ...integration.daemon import Daemon
from .bench import AFTER, PATIENCE, RESTART, Bench

if TYPE_CHECKING:
    from pathlib import Path

    from ...integration.authority import Authority
    from .bench import Layout

BOOT_ID = "/proc/sys/kernel/random/boot_id"


class OurBench(Bench):
    """The settings are the few that a fleet must be given."""

    def __init__(self, layout: Layout, authority: Authority, stranger: Authority) -> None:
        super().__init__(layout)
        self._authority = authority
        self._stranger = stranger
        self._daemons: dict[str, Daemon] = {}
        self._boots = 0

    def set_up(self) -> None:
        self.sense(good=True)
        upses = {"ups": {"sensor": "simulated", "simulated": {"file": str(self._plug)}}}
        # Nobody's real host is to be woken.
        settings = {"upses": upses, "policy": {"after": AFTER}, "recovery": {"interfaces": ["lo"]}}
        server = self._daemon("server", "pi", self._authority.server, settings)
        server.start().says("ups: on mains", PATIENCE)
        host = self.layout.host
        authority = self._authority if host.trusted else self._stranger
        client = {
            "servers": self.where,
            "shutdown": {"final": {"command": [self.final(host.name)]}},
            "warn_users": False,
        }
        self._daemon("client", host.name, authority.client(host.name), client)
        if host.up:
            self.boot()
            knows = "(now:|INFO   ) on mains" if host.trusted else "no connection"
            self._daemons[host.name].says(knows, PATIENCE)

    def sense(self, *, good: bool, low: bool = False) -> None:
        self._tell(f"mains: {'on' if good else 'off'}\nlow_battery: {'true' if low else 'false'}\n")

    def lose_sensor(self) -> None:
        self._tell("?")

    def kill(self, name: str) -> None:
        self._daemons[name].kill()

    def pause(self, name: str) -> None:
        self._daemons[name].signal(signal.SIGSTOP)

    def restart_client(self) -> None:
        name = self.layout.host.name
        self.kill(name)
        self.wait(RESTART)
        self._daemons[name].start()

    def kill_countdown(self) -> None:
        # The client itself counts; its unit has Restart=always.
        self.restart_client()

    def start_client(self) -> None:
        name = self.layout.host.name
        daemon = self._daemons[name]
        daemon.cleanup()
        for path in daemon.runtime.iterdir():
            path.unlink()
        self._boots += 1
        boot_id = self.directory / f"boot-{self._boots}"
        boot_id.write_text(f"00000000-0000-4000-8000-{self._boots:012}\n")
        self.lan.hosts[name].mount("--bind", str(boot_id), BOOT_ID)
        daemon.start()

    @property
    def _plug(self) -> Path:
        return self.directory / "mains.yml"

    def _tell(self, text: str) -> None:
        fresh = self.directory / "mains.new"
        fresh.write_text(text)
        fresh.rename(self._plug)

    def _daemon(self, kind: str, name: str, identity: Path, settings: dict[str, Any]) -> Daemon:
        directory = self.directory / name
        for part in ("state", "run"):
            (directory / part).mkdir(parents=True)
        settings |= {
            "fleet": "test",
            "tls": {"identity": str(identity)},
            "state_dir": str(directory / "state"),
            "runtime_dir": str(directory / "run"),
        }
        daemon = Daemon(kind, directory, settings)
        daemon.prefix = self.lan.hosts[name].inside
        self._daemons[name] = daemon
        self._stack.callback(daemon.cleanup)
        return daemon
