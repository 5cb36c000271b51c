"""One server of the virtual fleet: what it knows, what it keeps, and what it says.

The product's own cores decide: `core.outage` and `core.power` about the mains, `core.recovery`
about whom to wake, `core.presence` about who is down, and `server.monitor` about what a reload
makes of a UPS. This file is the process around them, and its disk.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from virtual_time import CLOCKS

from powmonman.config.loader import ConfigError, parse
from powmonman.config.schema import ServerConfig
from powmonman.core import recovery
from powmonman.core.due import Known, Limits, Present, Recovery, Scene, Settled, Woken
from powmonman.core.due import Supply as Fed
from powmonman.core.messages import Order, Own, State
from powmonman.core.outage import Record
from powmonman.core.power import PowerState, Reading, unknown
from powmonman.core.presence import Answer, Bounds, Presence
from powmonman.core.records import from_json, to_json
from powmonman.server.monitor import supply_for
from powmonman.server.report import policy_of
from powmonman.service import clock

if TYPE_CHECKING:
    from world import World
    from world_host import Host

SENSOR = SimpleNamespace(poll=0.5, verify_takes=0.0)
AWAKE = ("idle", "counting", "waiting")
ORDER_LASTS = 120.0
ASK_EVERY = 5
RECOVER_EVERY = 3.0
LIMITS = Limits()


def written(record: Any) -> dict[str, Any]:
    """Return `record` as it comes back from a file: it is frozen, so this can wait for a reader."""
    body: dict[str, Any] = json.loads(json.dumps(to_json(record)))
    return body


@dataclass
class Session:
    """What the server knows of one connection."""

    heard: float
    echo: int = 0
    seq: int = 0
    sent: str = ""
    told: str = ""
    phase: str = ""


@dataclass
class Seen:
    """What the server knows of one host."""

    known: Known
    since: float
    session: Session | None
    last_phase: str = ""


class Server:
    """A process, its host, and its disk."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.config = ServerConfig()
        self.boot = 1
        self.booted = -1000.0
        self.up = True
        self.stopped_until = 0.0
        self.back_at = 0.0
        self.sensor_works = True
        self.disk_works = True
        self.reads: bool | None = None
        self.lie: frozenset[str] | None = None
        self.order: tuple[str, float] | None = None
        self.volatile: Any = None
        self.unwritten: Any = None
        self.disk: dict[str, Any] = {}
        self.written_connected: dict[str, Known] = {}
        self.start()

    @property
    def runs(self) -> bool:
        return self.up and self.stopped_until <= self.world.time

    @property
    def answers(self) -> bool:
        """Whether a client that calls is let in."""
        return self.runs

    @property
    def knows(self) -> bool:
        return self.runs and self.sensor_works and self.supply.state is not PowerState.UNKNOWN

    def now(self) -> float:
        CLOCKS.boot = self.world.time - self.booted
        CLOCKS.running = CLOCKS.boot
        return clock.boottime()

    def new_id(self) -> str:
        return f"{self.world.random.getrandbits(128):032x}"

    # Its beginning and its end.
    def start(self) -> None:
        """Take up what the process before it kept."""
        self.up, self.ran_for, self.started = True, 0.0, self.world.time
        self.seen: dict[str, Seen] = {}
        self.presence: dict[str, Presence] = {}
        self.state_id = self.new_id()
        self.beat_at = self.ask_at = self.recover_at = self.world.time
        now = self.now()
        self.supply = supply_for(self.config.upses["ups"], SENSOR, self.config)
        if (kept := self.volatile or self.disk.get("upses")) is not None:
            record = from_json(Record, written(kept[1]))
            self.supply = self.supply.resumed(record, now, same_boot=kept[0] == self.boot)
        self.record = self._recalled()
        self.keep(recovering=True)

    def _recalled(self) -> Recovery:
        if (kept := self.unwritten or self.disk.get("recovery")) is None:
            return Recovery()
        boot, record, clean = kept
        record = recovery.resumed(from_json(Recovery, written(record)))
        if boot != self.boot and not clean:
            return self.power_cut(record)
        return record

    def power_cut(self, record: Recovery) -> Recovery:
        return recovery.power_cut(record, f"{self.name}-{self.boot}")

    def keep(self, *, recovering: bool, clean: bool = False) -> None:
        """Write; a disk that takes nothing keeps what it has."""
        self.volatile = self.boot, self.supply.record(self.now())
        if recovering:
            kept = self.boot, self.record.lasting(), clean
            self.unwritten = None if self.disk_works else kept
        if not self.disk_works:
            return
        self.disk["upses"] = self.volatile
        if recovering:
            self.written_connected = self.record.connected
            self.disk["recovery"] = kept

    def end(self, seconds: float, *, how: str) -> None:
        """`how`: `restart`, `kill`, `reboot`, or `power cut`."""
        if not self.up:
            return
        if how in ("restart", "reboot") and self.runs:
            self.keep(recovering=True, clean=True)
        self.up = False
        self.back_at = self.world.time + seconds
        for host in self.world.hosts:
            if host.server is self:
                host.ended = True
        if how in ("reboot", "power cut"):
            self.boot += 1
            self.booted = self.back_at - 20.0
            self.volatile = self.unwritten = self.order = None
            self._forget_who_is_not_on_disk()

    def _forget_who_is_not_on_disk(self) -> None:
        record = self.disk["recovery"][1] if "recovery" in self.disk else Recovery()
        for host in self.world.hosts:
            if host.name not in record.open and host.name not in record.connected:
                self.world.oracle.unknown_to(self, host)

    def reload(self, text: str) -> None:
        """SIGHUP with this file; a bad one changes nothing."""
        if not self.runs:
            return
        try:
            config = parse(text, ServerConfig).config
        except ConfigError:
            return
        self.config = config
        self.supply = supply_for(config.upses["ups"], SENSOR, config, self.supply)
        self.publish()

    # One moment of its life.
    def tick(self, dt: float) -> None:
        world = self.world
        if not self.up:
            if not world.power or world.time < self.back_at:
                return
            self.start()
        if not self.runs:
            self.ran_for = 0.0
            return
        self.ran_for += dt
        now = self.now()
        for host in world.hosts:
            if host.server is self and host.linked and host.outbox:
                self._listen(host, now)
        # After a stall of its own, the answers lie unread in the sockets.
        if self.ran_for > self.config.lease / 2:
            self._sweep(now)
        before = self.supply
        self._look(now)
        if (before.state, before.outage) != (self.supply.state, self.supply.outage):
            self._changed(now)
        elif world.time >= self.beat_at:
            self.publish(new=False)
        if world.time >= self.ask_at:
            self.ask_at = world.time + ASK_EVERY
            self._ask(now)
            self.keep(recovering=self.record.connected != self.written_connected)
        if world.time >= self.recover_at:
            self._recover(now)

    def _look(self, now: float) -> None:
        on = self.world.mains if self.reads is None else self.reads
        reading = Reading(mains=on) if self.sensor_works else unknown("broken")
        self.supply = self.supply.observe(reading, now, self.new_id())
        if self.supply.debounce.wants_verify:
            self.supply = self.supply.verified(reading, now, self.new_id())

    def _changed(self, now: float) -> None:
        """Remember first, then tell."""
        if self.supply.state is PowerState.ON_BATTERY and self.supply.outage is not None:
            began = self.supply.outage.began
            self.record = self.begun(self.record, began, self.scene(now))
            self.remember()
        self.publish()
        self.keep(recovering=False)
        self._recover(now)

    def begun(self, record: Recovery, began: float, scene: Scene) -> Recovery:
        return recovery.begun(record, "ups", began, scene)

    def remember(self) -> None:
        self.keep(recovering=True)

    def publish(self, *, new: bool = True) -> None:
        if not new:
            self.beat_at = self.world.time + self.world.beat
        else:
            self.state_id = self.new_id()
        for host in self.world.hosts:
            if host.server is self and self._session(host.name) is not None:
                self._tell(host)

    def _tell(self, host: Host) -> None:
        session = self._session(host.name)
        if session is not None and host.linked and not host.asleep:
            session.seq += 1
            session.sent = self.state_id
            host.receive(self.state(host, session.echo, session.seq))

    def state(self, host: Host, echo: int, seq: int) -> State:
        now = self.now()
        news = self.news(now)
        self.world.oracle.said(self, news.state)
        order = None
        if self.order is not None and now - self.order[1] < ORDER_LASTS:
            order = Order(self.order[0], now - self.order[1])
        return State(
            self.state_id,
            self.config.lease,
            policy_of(self.config),
            {"ups": news},
            own=Own(waits=self.waits(host), order=order),
            seq=seq,
            echo=echo,
        )

    def news(self, now: float) -> Any:
        return self.supply.news(now)

    def waits(self, host: Host) -> tuple[str, ...]:
        """Whom the server says that `host` still waits for."""
        if self.lie is not None:
            return tuple(name for name in host.rules.wait_for if name not in self.lie)
        bounds = Bounds()
        return tuple(
            name
            for name in host.rules.wait_for
            if name not in self.presence or not self.presence[name].down(bounds)
        )

    # Its clients.
    def _session(self, name: str) -> Session | None:
        seen = self.seen.get(name)
        return seen.session if seen is not None else None

    def _listen(self, host: Host, now: float) -> None:
        time = self.world.time
        due = [(kind, body) for at, kind, body in host.outbox if at <= time]
        host.outbox = [entry for entry in host.outbox if entry[0] > time]
        for kind, body in due:
            session = self._session(host.name)
            if kind == "hello":
                self._joined(host, body, now)
            elif session is None:
                continue
            elif kind == "ack":
                session.heard, session.echo = now, max(session.echo, body[1])
                if body[0] == session.seq:
                    session.told = session.sent
            elif kind == "ping":
                session.heard, session.echo = now, max(session.echo, body)
                self._tell(host)
            elif kind == "status":
                session.heard, session.phase = now, str(body)
                self.seen[host.name].last_phase = session.phase
                self.presence[host.name] = self.presence[host.name].said(session.phase, now)

    def _joined(self, host: Host, nonce: int, now: float) -> None:
        known = Known(host.boot_id, wait_for=host.rules.wait_for, macs=("02",))
        before = self.seen.get(host.name)
        new = before is None or before.known.boot != known.boot
        self.seen[host.name] = Seen(known, now, Session(heard=now, echo=nonce))
        presence = self.presence.get(host.name, Presence())
        self.presence[host.name] = presence.joined(now, dry_run=False, new_boot=new)
        self.world.oracle.known_to(self, host)
        self._tell(host)

    def hung_up(self, name: str) -> None:
        seen = self.seen.get(name)
        if self.up and seen is not None and seen.session is not None:
            now = self.now()
            self.seen[name] = replace(seen, session=None, since=now)
            self.presence[name] = self.presence[name].hung_up(now)

    def _sweep(self, now: float) -> None:
        for name, seen in list(self.seen.items()):
            if seen.session is not None and now - seen.session.heard > self.config.lease:
                host = self.world.host(name)
                if host.server is self and host.linked:
                    host.ended = True
                self.hung_up(name)

    def _ask(self, now: float) -> None:
        for name, presence in self.presence.items():
            if not presence.connected:
                host = self.world.host(name)
                there = host.on and host.linked and not host.asleep
                answer = Answer.ANSWERED if there else Answer.SILENT
                self.presence[name] = presence.asked(answer, "ping", now, now)

    def give_order(self) -> None:
        """`powmonman shutdown-fleet`."""
        now = self.now()
        self.order = (self.new_id(), now)
        self.record = recovery.ordered(self.record, self.scene(now))
        self.world.oracle.ordered()
        self.publish()

    # Whom it wakes.
    def scene(self, now: float) -> Scene:
        news = self.news(now)
        outage = self.supply.outage.id if self.supply.outage else ""
        fed = Fed(news.state, outage, news.spent, self.supply.full_runtime)
        return Scene(
            now, {"ups": fed}, {name: self._present(seen) for name, seen in self.seen.items()}
        )

    def _present(self, seen: Seen) -> Present:
        session = seen.session
        phase = session.phase if session is not None else ""
        return Present(
            seen.known,
            connected=session is not None,
            since=seen.since,
            awake=phase in AWAKE,
            committed=seen.last_phase == "committed",
            told=session is not None and session.told == self.state_id,
        )

    def _recover(self, now: float) -> None:
        self.recover_at = self.world.time + RECOVER_EVERY
        self.record, actions = recovery.look(self.record, self.scene(now), LIMITS)
        if actions:
            self.keep(recovering=True)
        for action in actions:
            if isinstance(action, Woken):
                self.world.wakes(action.host)
            elif isinstance(action, Settled):
                self.world.oracle.settled(self, self.world.host(action.host), action.fate)
