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
from typing import TYPE_CHECKING, Any

from powmonman import __version__, sensors
from powmonman.config.apart import read_apart
from powmonman.config.faults import ConfigError
from powmonman.config.schema import ServerConfig
from powmonman.core.messages import (
    Error,
    Message,
    Own,
    Query,
    Report,
    ShutdownFleet,
    StartDrill,
    State,
    StopDrill,
)
from powmonman.core.power import PowerState
from powmonman.core.records import to_json
from powmonman.net.tls import IdentityError, end_of_own, server_context
from powmonman.notify import Notifier
from powmonman.server.announcing import announce
from powmonman.server.drill import Fleet
from powmonman.server.drilling import Drilling
from powmonman.server.history import History
from powmonman.server.host_memory import HostMemory
from powmonman.server.hub import Hub
from powmonman.server.listen import listening, room_for
from powmonman.server.local import local_socket
from powmonman.server.memory import Memory
from powmonman.server.order import Given
from powmonman.server.ordering import Ordering
from powmonman.server.recovery import Waker
from powmonman.server.report import of_config, of_ups, policy_of
from powmonman.server.roster import Roster
from powmonman.server.scribe import Scribe
from powmonman.server.seen import View
from powmonman.server.session import Session
from powmonman.server.signals import heeding
from powmonman.server.upses import Upses
from powmonman.service import notify
from powmonman.service.clock import boottime
from powmonman.service.logs import Logs
from powmonman.service.program import place

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from powmonman.config.schema import Tls
    from powmonman.core.messages import Order
    from powmonman.server.monitor import Monitor

log = logging.getLogger("powmonman.server")

SWEEP_EVERY = 1.0
REMEMBER_EVERY = 5.0
# Of a fleet that commits as one: the rest is kept with the next sweep.
KEEP_EVERY = 0.2


class Server:
    """One server; `run` returns its exit code."""

    def __init__(self, path: Path, config: ServerConfig, logs: Logs) -> None:
        self._path = path
        self._config = config
        self._logs = logs
        self._started = time.monotonic()
        self._state_id = secrets.token_hex(16)
        self._memory = Memory(config.runtime_dir, config.state_dir)
        self._upses = Upses(self._memory, self._changed, self._keep_running)
        self._kept_at = 0.0
        self._roster = Roster(config.clients, config.order)
        self._host_memory = HostMemory(config.runtime_dir, config.state_dir)
        records, same_boot = self._host_memory.recall()
        self._roster.recall(records, boottime(), same_boot=same_boot)
        self._history = History(config.state_dir, config.history.keep)
        self._scribe = Scribe(self._history)
        self._hub = Hub(
            server_context(Path(config.tls.identity)),
            room_for(config.limits),
            roster=self._roster,
            make_state=self._state,
            own=self._own,
            report=self.report,
            scribe=self._scribe,
            revoked=config.tls.revoked,
            noticed=self._noticed,
        )
        self._ordering = Ordering(
            self._roster,
            active=self._in_outage,
            tell=self._hub.tell,
            found_down=self._scribe.down,
            packs=self._upses.packs,
            policy=lambda: policy_of(self._config),
        )
        self._notifier = Notifier(config)
        self._view = View(self._roster)
        self._waker = Waker(
            config,
            self._roster,
            self._upses.monitors,
            lambda: self._state_id,
            self._scribe.recovery,
        )
        drilled = Fleet(
            self._roster,
            lambda: self._config,
            lambda: policy_of(self._config),
            self._upses.supplies,
            self._busy,
            self._publish_news,
            self._waker.means,
        )
        self._drilling = Drilling(drilled, self._notifier, self._scribe, self._waker)
        self._hub.drilling = self._drilling.drills
        self._certificate_ends = _end_of(config.tls)
        self._reload_fault = ""
        self._order: Given | None = None
        self._stop = asyncio.Event()
        self._reloaded = asyncio.Event()
        self._broken = False

    @property
    def signals(self) -> dict[signal.Signals, Callable[[], object]]:
        """What is to be done at which signal."""
        stop = self._stop.set
        return {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: self._reload}

    async def run(self) -> int:
        """Serve until one of the `signals` ends it."""
        self._history.start()
        self._upses.watch(self._config)
        self._scribe.mains(self._upses.supplies(), started=True)
        self._hub.publish(changed=False)
        listeners, addresses = await listening(self._config.listen, lambda: Session(self._hub))
        async with local_socket(Path(self._config.runtime_dir), self._answer):
            parts = [
                self._keep_running(part)
                for part in (
                    self._beat(),
                    self._remember(),
                    self._sweep(),
                    self._waker.run(),
                    announce(self._config),
                    self._ordering.run(),
                    self._notifier.run(),
                    self._drilling.run(),
                )
            ]
            log.info(
                "fleet %s · listening on %s · %d UPS",
                self._config.fleet,
                ", ".join(addresses),
                len(self._upses.monitors),
            )
            notify.ready(f"fleet {self._config.fleet}")
            await self._stop.wait()
            log.info("stopping: clients that count down go on counting")
            self._drilling.stop("the server stops")
            # What has just happened, such as the commit of this very host, is told after the boot.
            self._look()
            tasks = (*parts, *self._upses.watches.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not self._broken:
            await self._waker.close()
        for listener in listeners:
            listener.close()
        self._hub.close()
        await self._memory.keep(self._upses.supplies(), changed=True)
        await self._host_memory.close(self._roster)
        await self._history.close()
        return 1 if self._broken else 0

    def _keep_running(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` beside; a server without one of its parts must not look alive."""
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("the server ends: %s", error, exc_info=error)
            self._broken = True
            self._stop.set()

    async def _changed(self, monitor: Monitor) -> None:
        """Remember first, then tell: what an outage takes down must be known after a power cut."""
        self._scribe.mains(self._upses.supplies())
        if monitor.supply.state is PowerState.ON_BATTERY:
            with self._upses.untold(monitor.name):
                await asyncio.gather(
                    self._memory.keep(self._upses.supplies(), changed=True),
                    self._waker.begin(monitor),
                )
            self._publish_news()
        else:
            self._publish_news()
            self._waker.look()
            await self._memory.keep(self._upses.supplies(), changed=True)
        self._look()

    def _look(self) -> None:
        """Find what people are to be told; whatever comes of it, the server goes on."""
        if self._notifier.enabled:
            now, ends = boottime(), self._certificate_ends
            recovery, order = self._waker.seen(), self._ordering.warnings
            self._notifier.observe(
                self._view.seen(
                    self._upses.supplies(),
                    policy_of(self._config),
                    ends,
                    now,
                    order=order,
                    recovery=recovery,
                )
            )

    @property
    def _ordered(self) -> Order | None:
        """The operator's order to the whole fleet, for as long as it is repeated."""
        return self._order.told() if self._order else None

    def _busy(self) -> str:
        """Return what forbids a drill beside the power; empty if nothing does."""
        if self._ordered is not None:
            return "the fleet is being shut down"
        return "hosts are being brought back" if self._waker.open else ""

    def _publish_news(self) -> None:
        """Push a state that is not the last one again."""
        self._state_id = secrets.token_hex(16)
        self._hub.publish(changed=True)

    def _state(self) -> State:
        return State(
            id=self._state_id,
            lease=self._config.lease,
            policy=policy_of(self._config),
            upses=self._upses.news(),
            drill=self._drilling.drills.told(),
        )

    def _own(self, name: str) -> Own:
        fleets, alone = self._ordered, self._drilling.live.order(name)
        return Own(
            drill_waits=self._drilling.drills.waits(name),
            waits=self._waits(name, alone=alone is not None and fleets is None),
            noted=self._history.noted.get(name, 0),
            order=fleets or alone,
        )

    def _waits(self, name: str, *, alone: bool) -> tuple[str, ...] | None:
        """Return for whom a host waits still; who is shut down `alone` would wait in vain."""
        if not self._roster.waits_for(name):
            return None
        return () if alone else self._roster.still_up(name)

    def _in_outage(self) -> bool:
        """Whether hosts may be going down: by an outage, or by the operator's order."""
        return self._ordered is not None or self._upses.in_outage

    def _noticed(self, name: str) -> None:
        """Something has become known of a host: it joined, left, or said what it does."""
        self._ordering.look([name])
        host = self._roster.hosts.get(name)
        if host is not None and host.presence.going and boottime() - self._kept_at > KEEP_EVERY:
            self._keep_hosts()

    def _keep_hosts(self) -> None:
        """Keep what is known of the hosts: of who goes down at once, of the rest every second."""
        self._kept_at = boottime()
        self._host_memory.keep(self._roster, urgent=self._in_outage())

    def _answer(self, message: Message, user: int) -> Message:
        """Answer a program on this host."""
        if isinstance(message, Query):
            return Report(self.report())
        if isinstance(message, StartDrill | StopDrill):
            refusal = self._drilling.answer(message, user)
            return Error(refusal) if refusal else Report(self.report())
        if not isinstance(message, ShutdownFleet):
            return Error("what to say here is query, shutdown-fleet, start-drill or stop-drill")
        if message.fleet != self._config.fleet:
            return Error(f"this is fleet {self._config.fleet}, not {message.fleet}")
        log.critical("the whole fleet is shut down, as ordered by the user with uid %d", user)
        self._drilling.stop("the operator shuts the fleet down")
        self._drilling.live.stop("the operator shuts the fleet down")
        self._order = Given()
        self._waker.order()
        self._publish_news()
        return Report(self.report())

    async def _beat(self) -> None:
        """Repeat the state at a third of the lease, a new lease at once included."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._config.lease / 3):
                    await self._reloaded.wait()
            self._reloaded.clear()
            self._hub.publish(changed=False)

    async def _remember(self) -> None:
        """Keep what is known, apart from the beat: that waits for no disk."""
        while True:
            await asyncio.sleep(REMEMBER_EVERY)
            self._history.watch()
            await self._memory.keep(self._upses.supplies(), changed=False)

    async def _sweep(self) -> None:
        while True:
            began = boottime()
            await asyncio.sleep(SWEEP_EVERY)
            # After a stall of this server's own, the answers lie unread in the sockets.
            if boottime() - began < SWEEP_EVERY + self._config.lease / 2:
                self._hub.sweep(self._config.lease)
                self._waker.look()
                self._look()
            self._keep_hosts()
            if self._upses.looked_at:
                notify.alive()

    def _reload(self) -> None:
        """Apply a good configuration; keep the running one on a bad one."""
        notify.reloading()
        try:
            config, _ = read_apart(self._path, ServerConfig)
            context = server_context(Path(config.tls.identity))
            for ups in config.upses.values():
                sensors.create(ups)
        except (ConfigError, IdentityError, OSError, ValueError) as error:
            self._reload_fault = str(error)
            log.error("reload refused, the running configuration stays:\n%s", error)
        else:
            self._reload_fault = ""
            self._apply(config)
            self._hub.reconfigure(context, room_for(config.limits), config.tls.revoked)
            log.info("reloaded %s", self._path)
        notify.ready(f"fleet {self._config.fleet}")

    def _apply(self, config: ServerConfig) -> None:
        before, self._config = self._config, config
        self._drilling.stop("the configuration was reloaded")
        self._logs.apply(config.log)
        self._roster.expect(config.clients, config.order)
        self._waker.reconfigure(config)
        self._notifier.reconfigure(config)
        self._history.keep(config.history.keep)
        self._certificate_ends = _end_of(config.tls)
        for name in ("fleet", "listen", "announce", "state_dir", "runtime_dir"):
            if getattr(before, name) != getattr(config, name):
                log.warning("%s has changed: it takes effect with the next restart", name)
        self._upses.watch(config, before)
        self._publish_news()
        self._reloaded.set()
        self._ordering.check()

    def report(self) -> dict[str, Any]:
        """Return all that `powmonman status` shows."""
        faults = [f"{path}: {reason}" for path, reason in self._memory.faults.items()]
        faults += [f"{path}: {reason}" for path, reason in self._host_memory.faults.items()]
        faults += self._waker.faults
        faults += self._notifier.faults
        faults += self._history.faults
        if self._reload_fault:
            faults.append(f"the last reload was refused: {self._reload_fault}")
        now, budget = boottime(), self._ordering.budget()
        return {
            **of_config(self._config),
            "policy": to_json(policy_of(self._config)),
            "version": __version__,
            "program": str(place()),
            "server": socket.gethostname(),
            "up": round(time.monotonic() - self._started, 1),
            "faults": faults,
            "warnings": self._ordering.warnings,
            "order": self._ordering.report(budget),
            "last_push": self._hub.last_push,
            "upses": {name: of_ups(monitor, now) for name, monitor in self._upses.monitors.items()},
            "clients": [
                {**row, "order": budget.row(row["name"])}
                for row in self._roster.rows(now, self._state_id)
            ],
            "recovery": self._waker.report(),
            **self._drilling.report(),
        }


def _end_of(tls: Tls) -> float | None:
    """Return when the server's own certificate ends, where anybody can tell."""
    with contextlib.suppress(IdentityError, OSError):
        return end_of_own(Path(tls.identity))
    return None


def run(path: Path) -> int:
    """Run the server with the configuration in `path`.

    Raises:
        ConfigError: The configuration can't be used.
        IdentityError: The certificate can't be used.
        OSError: The address or the runtime directory can't be used.
    """
    config, warnings = read_apart(path, ServerConfig)
    logs = Logs("powmonman")
    logs.apply(config.log)
    for warning in warnings:
        log.warning("%s", warning)
    for directory in (config.runtime_dir, config.state_dir):
        Path(directory).mkdir(mode=0o750, parents=True, exist_ok=True)
    try:
        server = Server(path, config, logs)
        with asyncio.Runner() as runner, heeding(server.signals, runner.get_loop()):
            return runner.run(server.run())
    finally:
        logs.close()
