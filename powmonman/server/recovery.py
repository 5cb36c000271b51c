"""Brings back what an outage took down: keeps the record on disk, looks, wakes, says what it does.

What is decided is decided in `core.recovery`. The record is written before anybody hears of an
outage, with every step, and now and then, so that a disk that takes nothing is reported long before
it matters. A disk that hangs costs an outage's beginning two seconds and nothing else.

A process that ends says so in the record. One of an earlier boot that did not ended in a power cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from powmonman.core import recovery
from powmonman.core.due import (
    Action,
    Due,
    Fate,
    Known,
    Limits,
    Present,
    Recovered,
    Recovery,
    Scene,
    Settled,
    Supply,
    Woken,
)
from powmonman.core.events import RecoverySeen
from powmonman.core.records import RecordError, from_json, printable, to_json
from powmonman.core.timeline import Kind
from powmonman.net.wake import digits
from powmonman.server import waking
from powmonman.server.disk import Disk, File
from powmonman.service.clock import boot_id, boottime
from powmonman.service.files import read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from powmonman.config.schema import ServerConfig
    from powmonman.core.messages import Hello
    from powmonman.server.monitor import Monitor
    from powmonman.server.roster import Host, Roster

log = logging.getLogger("powmonman.server")

FILE = "server-recovery.json"
UNWRITTEN = "server-recovery-unwritten.json"
# Of more hosts than can be connected.
LARGEST = 64 * 1024 * 1024
# Who has come and who has left is written this much after the last write, at the latest; and the
# disk is tried this often.
CAME_EVERY = 5.0
LEFT_EVERY = 60.0
PROBE_EVERY = 600.0
RETRY_EVERY = 30.0
AWAKE = frozenset({"idle", "counting", "waiting"})
MOST_NAMES, MOST_MACS = 64, 16

T = TypeVar("T")


class Waker:
    """The recovery of one fleet."""

    def __init__(
        self,
        config: ServerConfig,
        roster: Roster,
        monitors: Mapping[str, Monitor],
        state_id: Callable[[], str],
        note: Callable[[str, Kind, str, str], None] = lambda *_: None,
    ) -> None:
        """Take up the record that an earlier process kept.

        `note` is given what belongs into the story of an outage: its id, what, the host, a text.
        """
        self._config = config
        self._roster = roster
        self._monitors = monitors
        self._state_id = state_id
        self._note = note
        loss = "a power cut would leave hosts down for good"
        self._disk = Disk(Path(config.state_dir) / FILE, loss)
        loss = "a restart would leave hosts down for good"
        self._unwritten = File(Path(config.runtime_dir) / UNWRITTEN, loss)
        self._faults: dict[str, str] = {}
        self._known: dict[str, tuple[Hello, str, Known]] = {}
        self._seen: dict[str, Present] = {}
        self._seen_of: object = None
        self._commands: dict[str, asyncio.Task[None]] = {}
        self._written: object = None
        self._written_connected: dict[str, Known] = {}
        self._written_at = boottime()
        self._due = asyncio.Event()
        self._going = self._error = ""
        self._ordered_at: float | None = None
        self._record = self._recalled() if self.enabled else Recovery()

    @property
    def enabled(self) -> bool:
        """Whether anybody is woken."""
        return self._config.recovery.enabled

    @property
    def faults(self) -> list[str]:
        """What is wrong, one line each, for the server's report."""
        if not self.enabled:
            return []
        found = [f"{self._disk.path}: {self._disk.fault}"] if self._disk.fault else []
        found += [f"recovery: {self._error}"] if self._error else []
        return found + [f"{name} can't be woken: {why}" for name, why in self._faults.items()]

    def reconfigure(self, config: ServerConfig) -> None:
        """Go on with another configuration; `state_dir` takes effect with a restart."""
        before, self._config = self._config, replace(config, state_dir=self._config.state_dir)
        if self.enabled and not before.recovery.enabled:
            self._record = self._recalled()
        elif not self.enabled:
            self._record = Recovery()
        if config.clients:
            here = {name for name, host in self._roster.hosts.items() if host.connected}
            gone = {*self._record.hosts, *self._record.connected} - here - {*config.clients}
            self._record = recovery.forgotten(self._record, gone)
        self._faults, self._known, self._seen_of = {}, {}, None
        self._due.set()

    async def begin(self, monitor: Monitor) -> None:
        """An outage has begun: note who may go down; returns when that is on disk, or can't be."""
        outage = monitor.supply.outage
        if not self.enabled or outage is None:
            return
        with self._survived():
            scene = self._scene()
            # A reload may have removed it meanwhile; its outage has begun all the same.
            scene.upses.setdefault(monitor.name, _supply(monitor, scene.now))
            self._record = recovery.begun(self._record, monitor.name, outage.began, scene)
            if self._marks() != self._written:
                await self._write()

    def obstacle(self, name: str) -> str:
        """Return why `name` could not be woken now, were it off; empty if it could be."""
        if not self.enabled:
            return "recovery is not enabled"
        known = self._known_of(self._roster.hosts[name])
        fault = self.means(name).fault
        return fault or recovery.unready(self._record, known, self._scene(), self._limits)

    async def expose(self, name: str) -> None:
        """`name` is about to be shut down on the operator's word, and woken once it is `gone`."""
        known = self._known_of(self._roster.hosts[name])
        self._going, self._record = name, recovery.exposed(self._record, name, known)
        await self._write()

    def gone(self) -> None:
        """Who was exposed is down, or nobody knows: it is woken from now on."""
        self._going = ""
        self.look()

    @property
    def open(self) -> bool:
        """Whether hosts are being brought back."""
        return bool(self._record.open)

    def order(self) -> None:
        """The operator has ordered the fleet to shut down."""
        self._ordered_at = boottime()
        if self.enabled:
            with self._survived():
                self._record = recovery.ordered(self._record, self._scene())
            self._due.set()

    def look(self) -> None:
        """Take the fleet as it is, about once a second and whenever a UPS changes; never waits."""
        if not self.enabled:
            return
        with self._survived():
            scene = self._scene()
            self._record, actions = recovery.look(self._record, scene, self._limits)
            for action in actions:
                self._carry_out(action)
            if self._marks() != self._written or self._is_late():
                self._due.set()

    @contextlib.contextmanager
    def _survived(self) -> Iterator[None]:
        """Let an error cost no host the news of an outage, which is told after this."""
        try:
            yield
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            if text != self._error:
                log.exception("an error that nobody thought of: recovery may not go on")
            self._error = text
        else:
            self._error = ""

    async def run(self) -> None:
        """Keep the record on disk until cancelled."""
        self._tell_again()
        while True:
            if self.enabled:
                self._due.clear()
                await self._write()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_EVERY if self._disk.fault else PROBE_EVERY):
                    await self._due.wait()

    def _tell_again(self) -> None:
        """Tell what the story may lack if the last process was killed in the midst of it."""
        if not self._record.open:
            return
        for name, due in self._record.hosts.items():
            if due.wakes:
                self._noted(due.outage, Kind.WOKEN, name, _by(self.means(name)))
            if due.fate is Fate.BACK:
                self._noted(due.outage, Kind.BACK, name, _times(due))
            elif due.fate is Fate.GIVEN_UP:
                self._noted(due.outage, Kind.GIVEN_UP, name, _times(due))

    async def close(self) -> None:
        """End: what is due is kept, and that this is no power cut."""
        for task in self._commands.values():
            task.cancel()
        await asyncio.gather(*self._commands.values(), return_exceptions=True)
        if self.enabled:
            await self._write(clean=True)

    def seen(self) -> RecoverySeen:
        """Return what people may have to be told of; whoever had a host shut down sees it come."""
        if not self._record.cause:
            return RecoverySeen(given_up=self._record.those(Fate.GIVEN_UP))
        back = self._record.those(Fate.BACK)
        return RecoverySeen(
            open=len(self._record.open),
            back=len(back),
            given_up=self._record.those(Fate.GIVEN_UP),
            seconds=max((self._record.hosts[name].good for name in back), default=0.0),
        )

    def report(self) -> dict[str, Any]:
        """Return what `powmonman status` shows."""
        why = recovery.hindrances(self._record, self._scene(), self._limits)
        return {
            "enabled": self.enabled,
            "cause": self._record.cause,
            "open": list(self._record.open),
            "hosts": [
                self._row(name, due, why.get(name, ""))
                for name, due in sorted(self._record.hosts.items())
            ],
        }

    def means(self, name: str) -> waking.Means:
        """Return what there is to wake the host `name` with, be it due or not."""
        due, host = self._record.hosts.get(name), self._roster.hosts.get(name)
        known = self._known_of(host) if host is not None and host.hello else None
        if known is None:
            known = due.known if due else self._record.connected.get(name, Known())
        return waking.means(self._config.recovery, name, known)

    def _row(self, name: str, due: Due, why: str) -> dict[str, Any]:
        open_ = due.fate is Fate.DUE
        waking_ = open_ and due.wakes > 0 and not why
        return {
            "name": name,
            "phase": "waking" if waking_ else str(due.fate),
            "up": open_ and not due.committed and self._is_up(name, due),
            "wakes": due.wakes,
            "good": round(due.good, 1),
            "next": round(max(0.0, due.pause), 1) if waking_ else None,
            "why": why,
            "method": self.means(name).method,
            "fault": self._faults.get(name, ""),
            "outage": due.outage,
            "committed": due.committed,
            "boot_id": due.known.boot,
        }

    def _is_up(self, name: str, due: Due) -> bool:
        """Whether a host that is due is still connected as it was when it became due."""
        host = self._roster.hosts.get(name)
        return host is not None and host.connected and host.boot_id == due.known.boot

    @property
    def _limits(self) -> Limits:
        wanted = self._config.recovery
        return Limits(wanted.wake_after, wanted.reserve, wanted.repeat, wanted.give_up)

    def _scene(self) -> Scene:
        now = boottime()
        return Scene(
            now,
            {name: _supply(monitor, now) for name, monitor in self._monitors.items()},
            self._presents(),
            self._going,
        )

    def _presents(self) -> dict[str, Present]:
        """Return the hosts as they are, as before where nothing has become known of any since.

        Of a thousand that sit on good mains nothing has, and each look is one a second.
        """
        state_id, in_order = self._state_id(), self._in_order
        ground = (self._roster.changes, self._roster.understood, state_id, in_order)
        if ground != self._seen_of:
            self._seen_of = ground
            self._seen = {
                name: self._present(host, state_id, in_order=in_order)
                for name, host in self._roster.hosts.items()
                if host.hello is not None
            }
        return self._seen

    def _present(self, host: Host, state_id: str, *, in_order: bool) -> Present:
        phase = host.status.phase if host.spoke else ""
        rehearses = host.hello is not None and host.hello.dry_run
        return Present(
            known=self._known_of(host),
            connected=host.connected,
            since=host.since,
            awake=host.connected and phase in AWAKE,
            committed=phase == "committed" and not rehearses,
            told=host.connected and host.told == state_id,
            obeys=host.connected
            and in_order
            and host.spoke
            and host.status.ordered
            and not rehearses,
        )

    @property
    def _in_order(self) -> bool:
        """Whether somebody may be obeying the order to the whole fleet; a live drill's is none."""
        at = self._ordered_at
        return at is not None and boottime() - at < recovery.ORDER_LASTS

    def _known_of(self, host: Host) -> Known:
        hello, kept = host.hello, self._known.get(host.name)
        if hello is None:
            return Known()
        if kept is not None and kept[0] is hello and kept[1] == host.address:
            return kept[2]
        place = self._config.order.hosts.get(host.name)
        known = Known(
            boot=hello.boot_id[:64],
            upses=tuple(name[:64] for name in hello.upses[:MOST_NAMES]),
            min_supplies=hello.min_supplies,
            wait_for=tuple(
                name[:253]
                for name in (hello.wait_for or (place.wait_for if place else ()))[:MOST_NAMES]
            ),
            macs=tuple(filter(None, map(digits, hello.macs)))[:MOST_MACS],
            address=host.address[:64],
        )
        self._known[host.name] = (hello, host.address, known)
        return known

    def _carry_out(self, action: Action) -> None:
        if isinstance(action, Woken):
            self._wake(action.host)
        elif isinstance(action, Settled):
            self._settled(action.host, action.fate)
        elif self._record.cause:
            _say_recovered(action)
            self._noted(self._record.cause, Kind.RECOVERED, "", f"{action.back} back")

    def _noted(self, outage: str, kind: Kind, name: str, text: str) -> None:
        """Add to the story of an outage; a power cut has none."""
        if outage and outage != boot_id():
            self._note(outage, kind, name, text)

    def _settled(self, name: str, fate: Fate) -> None:
        due, extra = self._record.hosts[name], self._extra(name)
        self._faults.pop(name, None)
        if fate is Fate.BACK:
            after = f" {due.good:.0f} s after its mains" if self._record.cause else ""
            log.info("%s is back%s, %s", name, after, _times(due), extra=extra)
            self._noted(due.outage, Kind.BACK, name, _times(due))
        elif fate is Fate.STAYED:
            log.info("%s was not taken down", name, extra=extra)
        else:
            log.error(
                "%s is given up: woken %d times in %.0f s, and not back · look at the host, its "
                "cable, and Wake-on-LAN in its firmware",
                name,
                due.wakes,
                due.tried,
                extra=extra,
            )
            self._noted(due.outage, Kind.GIVEN_UP, name, _times(due))

    def _wake(self, name: str) -> None:
        due, given = self._record.hosts[name], self.means(name)
        what = f"{name}: waking no. {due.wakes}, {given.say()}"
        if due.wakes == 1:
            self._noted(due.outage, Kind.WOKEN, name, _by(given))
        if given.fault:
            self._fault(name, given.fault)
        elif given.method == "command":
            if name not in self._commands:
                log.info("%s · again in %.0f s", what, due.pause, extra=self._extra(name))
                task = asyncio.create_task(self._command(name, given))
                self._commands[name] = task
                task.add_done_callback(lambda _: self._commands.pop(name, None))
        else:
            by, wrong = waking.send(given, self._config.recovery)
            if by:
                text = "%s, by %s · again in %.0f s"
                log.info(text, what, by, due.pause, extra=self._extra(name))
            self._fault(name, wrong)

    async def _command(self, name: str, given: waking.Means) -> None:
        try:
            wrong = await waking.run(given)
        except Exception as error:  # noqa: BLE001 - no command may end the server
            wrong = f"{type(error).__name__}: {error}"
        due = self._record.hosts.get(name)
        if due is not None and due.fate is Fate.DUE:
            self._fault(name, wrong)

    def _fault(self, name: str, wrong: str) -> None:
        """Say it once."""
        if wrong and wrong != self._faults.get(name):
            log.error("%s can't be woken: %s", name, wrong, extra=self._extra(name))
        if wrong:
            self._faults[name] = wrong
        else:
            self._faults.pop(name, None)

    def _extra(self, name: str) -> dict[str, str]:
        return {"host": name, "outage": self._record.hosts[name].outage}

    def _is_late(self) -> bool:
        """Whether it is time to write who is connected."""
        before, here = self._written_connected, self._record.connected
        if here == before:
            return False
        came = any(known != before.get(name) for name, known in here.items())
        return boottime() - self._written_at >= (CAME_EVERY if came else LEFT_EVERY)

    def _marks(self) -> object:
        """Return what is written at once when it changes; the rest goes with it."""
        record = self._record
        return record.cause, {
            name: (due.known, due.fate, due.outage, due.committed, due.wakes)
            for name, due in record.hosts.items()
        }

    async def _write(self, *, clean: bool = False) -> None:
        """Write the record; never takes longer than `disk.TIMEOUT`."""
        record = self._record.lasting()
        self._written, self._written_connected = self._marks(), record.connected
        self._written_at = boottime()
        body = {"boot_id": boot_id(), "clean": clean, "recovery": to_json(record)}
        await self._disk.write(body)
        # What the disk does not take is kept for the next process of this boot at least.
        if self._disk.fault:
            self._unwritten.put(body)
        else:
            with contextlib.suppress(OSError):
                self._unwritten.path.unlink(missing_ok=True)

    def _kept(self) -> dict[str, Any]:
        newer = read_json(self._unwritten.path, LARGEST) or {}
        if boot_id() and newer.get("boot_id") == boot_id() and _record(newer.get("recovery"))[1]:
            return newer
        return read_json(self._disk.path, LARGEST) or {}

    def _recalled(self) -> Recovery:
        kept = self._kept()
        record, whole = _record(kept.get("recovery"))
        if not whole:
            if not os.path.lexists(self._disk.path):
                return Recovery()
            log.error("%s can't be read: every host that is known is due", self._disk.path)
            return replace(record, hosts=self._assumed() | record.hosts, cause=boot_id())
        record = recovery.resumed(record)
        same_boot = bool(boot_id()) and kept.get("boot_id") == boot_id()
        if not same_boot and kept.get("clean") is not True:
            log.warning("this host was not shut down: whoever was connected then is due")
            record = recovery.power_cut(record, boot_id())
        if record.open:
            log.warning("due to be brought back: %s", ", ".join(sorted(record.open)))
        return record

    def _assumed(self) -> dict[str, Due]:
        names = {*self._config.clients, *self._config.recovery.hosts}
        places = self._config.order.hosts
        return {
            name: Due(Known(wait_for=places[name].wait_for if name in places else ()))
            for name in names
        }


def _record(kept: object) -> tuple[Recovery, bool]:
    """Return as much of a record as can be read, and whether it is one at all.

    One host must not cost the others, nor be forgotten: one that can't be read is due.
    """
    part = kept if isinstance(kept, dict) else {}
    hosts, connected, cause = part.get("hosts"), part.get("connected"), part.get("cause")
    there = {name: _one(Known, value) or Known() for name, value in _named(connected).items()}
    due = {name: _one(Due, value) for name, value in _named(hosts).items()}
    record = Recovery(
        hosts={name: each or Due(there.get(name, Known())) for name, each in due.items()},
        connected=there,
        cause=cause if isinstance(cause, str) else "",
    )
    return record, isinstance(hosts, dict) and isinstance(connected, dict)


def _named(kept: object) -> dict[str, Any]:
    found = kept if isinstance(kept, dict) else {}
    return {printable(name): value for name, value in found.items()}


def _one(cls: type[T], value: object) -> T | None:
    with contextlib.suppress(RecordError):
        return from_json(cls, value) if isinstance(value, dict) else None
    return None


def _supply(monitor: Monitor, now: float) -> Supply:
    news = monitor.supply.news(now)
    return Supply(
        state=news.state,
        outage=news.outage,
        spent=news.spent,
        full=monitor.supply.full_runtime,
        charge=news.charge,
        recharge_reserve=monitor.ups.recharge_reserve,
    )


def _by(given: waking.Means) -> str:
    return given.fault or given.say()


def _times(due: Due) -> str:
    if not due.wakes:
        return "without being woken"
    return "woken once" if due.wakes == 1 else f"woken {due.wakes} times"


def _say_recovered(action: Recovered) -> None:
    lost = f" · given up: {', '.join(action.given_up)}" if action.given_up else ""
    log.info(
        "recovery is complete: %d back after %.0f s on mains%s", action.back, action.seconds, lost
    )
