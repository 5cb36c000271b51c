"""Takes events, and sees to it that every target gets them: later, if it can't be now.

Rules:

1. `tell` returns at once and never raises. Nothing here is waited for by a shutdown.
2. The loop never touches the disk or a process; both may hang, and each does so in a thread.
3. Events within `coalesce` make one message. It is in the spool from its first event on.
4. Each target has its own lane: its messages in order, its own back-off. A dead target holds up
   nobody else's messages.
5. Where nothing waits, nothing wakes up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from powmonman.config.faults import ConfigError
from powmonman.core.durations import duration
from powmonman.notify.aside import aside
from powmonman.notify.errand import Errand
from powmonman.notify.job import Job, Result, Sending
from powmonman.notify.spool import Message, Spool
from powmonman.service.clock import boot_id, boottime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from powmonman.config.notify_keys import Notify
    from powmonman.core.events import Event
    from powmonman.notify.targets import Target

log = logging.getLogger("powmonman.notify")

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
# A process takes 50 to 60 MB; two that hang must leave room for a third that doesn't.
AT_ONCE = 3
BATCH = 10
CLOSING = 2.0


@dataclass
class Lane:
    """One target's messages on their way.

    Attributes:
        pause: Seconds to wait before the next try; 0 while all is well.
        changed: Set when the configuration has changed that the last try went by.
        since: When it began to fail (monotonic), and the last `reason`.
    """

    target: str
    pause: float = 0.0
    since: float = 0.0
    reason: str = ""
    task: asyncio.Task[None] | None = None
    errand: Errand | None = None
    changed: asyncio.Event | None = None


class Courier:
    """The way from events to targets. `fleet` and `server` are names for the texts."""

    def __init__(
        self,
        config: Notify,
        directory: Path,
        *,
        fleet: str = "",
        server: str = "",
        program: Sequence[str] = (),
    ) -> None:
        self._configure(config)
        self._fleet, self._server = fleet, server
        self._program = program
        self.spool = Spool(directory, config.keep)
        self._lanes: dict[str, Lane] = {}
        self._file_fault = ""
        self._said: set[str] = set()
        self._news = asyncio.Event()
        self._changed = asyncio.Event()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._closing = False
        if len(self.spool):
            log.info("%d notifications wait from before", len(self.spool))
            self._news.set()

    def tell(self, events: Iterable[Event]) -> None:
        """Have events told, those of them that the configuration wants told."""
        switches = self._config.events
        wanted = [event for event in events if getattr(switches, event.kind, True)]
        if not wanted or not self._config.enabled:
            return
        now, newest = boottime(), self.spool.newest()
        if newest is not None and newest.targets is None and not self._is_closed(newest, now):
            self.spool.replace(newest.with_events(wanted))
        else:
            self.spool.add(boot_id(), now, time.time(), wanted)
        self._news.set()

    def reconfigure(self, config: Notify) -> None:
        """Go on with another configuration; what waits is tried again at once."""
        self._configure(config)
        self.spool.keep = config.keep
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        self._news.set()

    def _configure(self, config: Notify) -> None:
        self._config = config
        if config.enabled:
            # YAML's parser comes with it, 1 MB that most servers don't need. Now, not when there is
            # something to tell: by then the disk may be gone.
            from powmonman.notify.targets import load

            self._load: Callable[[str], dict[str, Target]] = load

    @property
    def faults(self) -> list[str]:
        """What keeps messages from their targets, one line each."""
        if not self._config.enabled:
            return []
        found = []
        if self.spool.fault:
            found.append(f"notify: {self.spool.fault}: messages are kept in memory only")
        if self._file_fault:
            found.append(f"notify: {self._file_fault}; {len(self.spool)} waiting")
        for lane in self._lanes.values():
            if lane.reason:
                ago = duration(time.monotonic() - lane.since)
                waiting = len(self.spool.waiting(lane.target))
                told = f"not delivered since {ago}: {lane.reason}; {waiting} waiting"
                found.append(f"notify: {lane.target}: {told}")
        return found

    async def run(self) -> None:
        """Deliver until cancelled; what is left then waits on disk for the next process."""
        self._closing = False
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                if not self._config.enabled:
                    continue
                self._start_lanes()
                await self._assign()
                self._start_lanes()
        finally:
            await self._close()

    async def _close(self) -> None:
        """End soon. What is just being sent is let finish, else it would be sent again."""
        self._closing = True
        sending = [lane.task for lane in self._lanes.values() if lane.task and lane.errand]
        if sending:
            await asyncio.wait(sending, timeout=CLOSING)
        tasks = [lane.task for lane in self._lanes.values() if lane.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await aside(partial(self.spool.settle, CLOSING))

    def _is_closed(self, message: Message, now: float) -> bool:
        """Whether the message takes no more events, and so can be sent."""
        age = now - message.moment
        return message.boot != boot_id() or not 0 <= age < self._config.coalesce

    async def _assign(self) -> None:
        """Say who gets the messages of which nobody has said it yet."""
        pause = FIRST_PAUSE
        while self._config.enabled and (unassigned := self.spool.unassigned()):
            now = boottime()
            closed = [each.number for each in unassigned if self._is_closed(each, now)]
            if not closed:
                await _wait(unassigned[-1].moment + self._config.coalesce - now, self._changed)
                continue
            changed = self._changed
            try:
                targets = await aside(partial(self._load, self._config.targets))
            except (ConfigError, OSError) as error:
                self._cannot_read(str(error).splitlines()[0])
                await _wait(pause, changed)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            self._file_fault = ""
            for message in self.spool.unassigned():
                if message.number in closed:
                    names = [name for name, each in targets.items() if each.wants(message.events)]
                    self.spool.assign(message.number, tuple(names))
            self._start_lanes()

    def _cannot_read(self, fault: str) -> None:
        if fault != self._file_fault:
            log.error("nobody is notified: %s", fault)
        self._file_fault = fault
        self.spool.retry()

    def _start_lanes(self) -> None:
        for target in self.spool.targets():
            lane = self._lanes.setdefault(target, Lane(target))
            if lane.task is None or lane.task.done():
                lane.task = asyncio.create_task(self._drive(lane))

    @property
    def _may_send(self) -> bool:
        return self._config.enabled and not self._closing

    async def _drive(self, lane: Lane) -> None:
        """Send what waits for one target until nothing does."""
        while self._may_send and self.spool.waiting(lane.target):
            if lane.pause:
                await _wait(lane.pause, lane.changed or self._changed)
            async with self._slots:
                # What gave way meanwhile isn't sent, what came is.
                if self._may_send and (messages := self.spool.waiting(lane.target)[:BATCH]):
                    await self._go(lane, messages)

    async def _go(self, lane: Lane, messages: list[Message]) -> None:
        config, lane.changed = self._config, self._changed
        job = Job(
            file=config.targets,
            target=lane.target,
            sendings=tuple(self._sending(message) for message in messages),
            timeout=config.timeout,
            fleet=self._fleet,
            server=self._server,
            dropped=self.spool.dropped(lane.target),
        )
        errand = lane.errand = Errand(job, config.templates, self._program)
        loop = asyncio.get_running_loop()

        def tell(result: Result) -> None:
            # The loop may have ended meanwhile.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._took, lane, result)

        try:
            await aside(partial(errand.run, tell))
        except Exception as error:
            log.debug("an errand failed", exc_info=True)
            self._failed(lane, f"{type(error).__name__}: {error}")
        finally:
            errand.call_off()
            lane.errand = None

    def _sending(self, message: Message) -> Sending:
        wall = time.time()
        age: float | None = wall - message.wall
        shift = 0.0
        if message.boot == boot_id():
            age = boottime() - message.moment
            shift = wall - age - message.wall
        elif age is not None and age < 0:
            age = None
        late = age is None or age >= self._config.late_after
        return Sending(message, age, late, shift)

    def _took(self, lane: Lane, result: Result) -> None:
        for fault in result.faults:
            if fault not in self._said:
                self._said.add(fault)
                log.warning("template %s · the default words are used", fault)
        if result.gone:
            log.warning("%s is no target any longer: what waited for it is dropped", lane.target)
            self.spool.forget(lane.target)
            lane.reason, lane.pause = "", 0.0
            return
        if not result.sent:
            self._failed(lane, result.reason)
            return
        self.spool.sent(result.number, lane.target)
        if lane.reason:
            ago = duration(time.monotonic() - lane.since)
            log.info("%s takes notifications again, after %s", lane.target, ago)
        lane.reason, lane.pause = "", 0.0
        if result.title:
            log.info("told %s: %s · in %.1f s", lane.target, result.title, result.took)

    def _failed(self, lane: Lane, reason: str) -> None:
        if not lane.reason:
            lane.since = time.monotonic()
        level = logging.DEBUG if reason == lane.reason else logging.WARNING
        lane.reason = reason
        lane.pause = min(max(FIRST_PAUSE, 2 * lane.pause), LONGEST_PAUSE)
        waiting = len(self.spool.waiting(lane.target))
        told = f"{reason} · {waiting} waiting, next try in {duration(lane.pause)}"
        log.log(level, "%s is not notified: %s", lane.target, told)
        self.spool.retry()


async def _wait(seconds: float, changed: asyncio.Event) -> None:
    """Wait, but no longer than until the configuration has changed."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await changed.wait()
