"""The server's process: puts the parts together, runs them, reloads them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import signal
import socket
import time
from pathlib import Path
from typing import Any

from powmonman import __version__, sensors
from powmonman.config.loader import ConfigError, load, read
from powmonman.config.schema import ServerConfig
from powmonman.core.messages import Policy, State
from powmonman.core.records import to_json
from powmonman.net.discovery import Announcer
from powmonman.net.tls import IdentityError, server_context
from powmonman.server.hub import Hub
from powmonman.server.local import local_socket
from powmonman.server.memory import Memory
from powmonman.server.monitor import Monitor, supply_for
from powmonman.server.roster import Roster
from powmonman.server.session import Session
from powmonman.service import notify
from powmonman.service.clock import boottime
from powmonman.service.logs import Logs

log = logging.getLogger("powmonman.server")

BACKLOG = 4096
SWEEP_EVERY = 1.0


class Server:
    """One server; `run` returns its exit code."""

    def __init__(self, path: Path, config: ServerConfig, logs: Logs) -> None:
        self._path = path
        self._config = config
        self._logs = logs
        self._started = time.monotonic()
        self._state_id = secrets.token_hex(16)
        self._memory = Memory(config.runtime_dir, config.state_dir)
        self._roster = Roster(config.clients)
        self._hub = Hub(
            server_context(Path(config.tls.identity)),
            config.limits,
            roster=self._roster,
            make_state=self._state,
            report=self.report,
            revoked=config.tls.revoked,
        )
        self._monitors: dict[str, Monitor] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._announcer: Announcer | None = None
        self._reload_fault = ""
        self._addresses: list[str] = []

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        for name, ups in self._config.upses.items():
            self._watch(name, self._memory.recall(name, supply_for(ups, self._config)))
        self._hub.publish(changed=False)
        listeners = await self._listen()
        async with local_socket(Path(self._config.runtime_dir), self.report):
            beat = asyncio.create_task(self._beat())
            sweep = asyncio.create_task(self._sweep())
            announce = asyncio.create_task(self._announce())
            log.info(
                "fleet %s · listening on %s · %d UPS",
                self._config.fleet,
                ", ".join(self._addresses),
                len(self._monitors),
            )
            notify.ready(f"fleet {self._config.fleet}")
            await stop.wait()
            log.info("stopping: clients that count down go on counting")
            for task in (beat, sweep, announce, *self._watches.values()):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        for listener in listeners:
            listener.close()
        self._hub.close()
        await self._memory.keep(self._supplies(), changed=True)
        return 0

    async def _listen(self) -> list[asyncio.Server]:
        loop = asyncio.get_running_loop()
        address, port = self._config.listen.address, self._config.listen.port
        found = socket.getaddrinfo(
            address or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listeners, fault = [], None
        for family, _, _, _, where in found:
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                sock.bind(where)
                listener = await loop.create_server(
                    lambda: Session(self._hub), sock=sock, backlog=BACKLOG
                )
            except OSError as error:
                sock.close()
                fault = error
                continue
            listeners.append(listener)
            self._addresses.append(f"{where[0]} port {port}")
        if not listeners:
            raise fault or OSError(f"no address to listen on: {address!r}")
        return listeners

    def _watch(self, name: str, supply: Any) -> None:
        ups = self._config.upses[name]
        monitor = Monitor(name, ups, sensors.create(ups), supply, self._changed)
        self._monitors[name] = monitor
        self._watches[name] = asyncio.create_task(monitor.run())

    def _supplies(self) -> dict[str, Any]:
        return {name: monitor.supply for name, monitor in self._monitors.items()}

    async def _changed(self, monitor: Monitor) -> None:
        """Remember first, then tell: what an outage takes down must be known after a power cut."""
        self._state_id = secrets.token_hex(16)
        outage = monitor.supply.outage
        if outage is not None and boottime() - outage.began < 2 * monitor.ups.confirm + 1:
            await self._memory.keep(self._supplies(), changed=True)
            self._hub.publish(changed=True)
        else:
            self._hub.publish(changed=True)
            await self._memory.keep(self._supplies(), changed=True)

    def _state(self) -> State:
        now = boottime()
        return State(
            id=self._state_id,
            lease=self._config.lease,
            policy=Policy(self._config.policy.after, self._config.refill_ratio),
            upses={name: monitor.supply.news(now) for name, monitor in self._monitors.items()},
        )

    async def _beat(self) -> None:
        """Repeat the state at a third of the lease."""
        while True:
            await asyncio.sleep(self._config.lease / 3)
            self._hub.publish(changed=False)
            await self._memory.keep(self._supplies(), changed=False)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            self._hub.sweep(self._config.lease)
            if all(monitor.looking for monitor in self._monitors.values()):
                notify.alive()

    async def _announce(self) -> None:
        """Announce the server, and answer whoever asks for it."""
        wanted = self._config.announce
        if not wanted.enabled:
            return
        loop = asyncio.get_running_loop()
        listen = self._config.listen
        announcer = Announcer(
            listen.port, self._config.fleet, wanted.interfaces, address=listen.address
        )
        try:
            for sock in announcer.sockets:
                loop.add_reader(sock.fileno(), announcer.on_readable, sock)
            while True:
                announcer.announce()
                await asyncio.sleep(wanted.interval)
        finally:
            for sock in announcer.sockets:
                loop.remove_reader(sock.fileno())
            announcer.close()

    def _reload(self) -> None:
        """Apply a good configuration; keep the running one on a bad one."""
        notify.reloading()
        try:
            config = load(self._path, ServerConfig)
            context = server_context(Path(config.tls.identity))
            for ups in config.upses.values():
                sensors.create(ups)
        except (ConfigError, IdentityError, ValueError) as error:
            self._reload_fault = str(error)
            log.error("reload refused, the running configuration stays:\n%s", error)
        else:
            self._reload_fault = ""
            self._apply(config)
            self._hub.reconfigure(context, config.limits, config.tls.revoked)
            log.info("reloaded %s", self._path)
        notify.ready(f"fleet {self._config.fleet}")

    def _apply(self, config: ServerConfig) -> None:
        before, self._config = self._config, config
        self._logs.apply(config.log)
        self._roster.expect(config.clients)
        for name in ("fleet", "listen", "announce", "state_dir", "runtime_dir"):
            if getattr(before, name) != getattr(config, name):
                log.warning("%s has changed: it takes effect with the next restart", name)
        for name in list(self._monitors):
            if name not in config.upses:
                self._watches.pop(name).cancel()
                del self._monitors[name]
        for name, ups in config.upses.items():
            earlier = self._monitors.get(name)
            if earlier is None or earlier.ups != ups or before.policy != config.policy:
                known = earlier.supply if earlier else None
                if earlier:
                    self._watches.pop(name).cancel()
                supply = supply_for(ups, config, known)
                self._watch(name, supply if known else self._memory.recall(name, supply))
        self._state_id = secrets.token_hex(16)
        self._hub.publish(changed=True)

    def report(self) -> dict[str, Any]:
        """Return all that `powmonman status` shows."""
        now = boottime()
        faults = [f"{path}: {reason}" for path, reason in self._memory.faults.items()]
        if self._reload_fault:
            faults.append(f"the last reload was refused: {self._reload_fault}")
        return {
            "fleet": self._config.fleet,
            "version": __version__,
            "server": socket.gethostname(),
            "up": round(time.monotonic() - self._started, 1),
            "after": self._config.policy.after,
            "lease": self._config.lease,
            "faults": faults,
            "last_push": self._hub.last_push,
            "upses": {
                name: {**to_json(monitor.supply.news(now)), "sensor": monitor.sensor.describe()}
                for name, monitor in self._monitors.items()
            },
            "clients": self._roster.rows(now, self._state_id),
        }


def run(path: Path) -> int:
    """Run the server with the configuration in `path`.

    Raises:
        ConfigError: The configuration can't be used.
        IdentityError: The certificate can't be used.
        OSError: The address or the runtime directory can't be used.
    """
    config, warnings = (loaded := read(path, ServerConfig)).config, loaded.warnings
    logs = Logs("powmonman")
    logs.apply(config.log)
    for warning in warnings:
        log.warning("%s", warning)
    for directory in (config.runtime_dir, config.state_dir):
        Path(directory).mkdir(mode=0o750, parents=True, exist_ok=True)
    try:
        return asyncio.run(Server(path, config, logs).run())
    finally:
        logs.close()
