"""The client's process: one thread that decides, and never waits for anything else.

It sleeps in a selector until the server speaks, a signal comes, the connector hands a connection
over, or the plan wants to be looked at. Whatever may block (names, connects, handshakes, users'
terminals, the commands themselves) happens elsewhere.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import threading
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from powmonman import __version__
from powmonman.client import connector, halting, shutdown
from powmonman.client.budget import Budget
from powmonman.client.diary import Diary
from powmonman.client.kept import load_plan
from powmonman.client.link import Link, LinkError
from powmonman.client.request import Request
from powmonman.client.telling import Telling, status_of
from powmonman.config.apart import read_apart
from powmonman.config.client_schema import ClientConfig
from powmonman.config.faults import ConfigError
from powmonman.core import lost_contact, policy
from powmonman.core.announcing import limit, names
from powmonman.core.messages import Ack, Error, Hello, Message, Ping, State
from powmonman.core.plan import (
    NEVER,
    Acknowledge,
    Alone,
    Ask,
    Now,
    OnLostContact,
    Phase,
    Plan,
    Rules,
    Run,
    Say,
    Warn,
)
from powmonman.core.power import PowerState
from powmonman.core.timeline import Kind
from powmonman.net.tls import IdentityError, client_context
from powmonman.service import notify
from powmonman.service.clock import boot_id, now
from powmonman.service.harmless import harmless
from powmonman.service.logs import Logs

if TYPE_CHECKING:
    import ssl

    from powmonman.client.drill import Rehearsing
    from powmonman.client.evidence import Evidence

log = logging.getLogger("powmonman.client")

AFTER_ERROR = 0.5
LEAVE_TIMEOUT = 1.0


class Agent:
    """One client; `run` returns its exit code."""

    def __init__(self, path: Path, config: ClientConfig, logs: Logs) -> None:
        self._path = path
        self._config = config
        # Now, while nothing hangs on it: not in the last minute.
        self._commands = shutdown.in_full(config.shutdown)
        self._rules = rules_of(config)
        self._logs = logs
        self._runtime = Path(config.runtime_dir)
        self._plan = load_plan(self._runtime, now())
        self._diary = Diary(self._runtime, Path(config.state_dir))
        # First what may fail, then what would have to be closed.
        self._connector = self._new_connector(client_context(Path(config.tls.identity)))
        self._link: Link | None = None
        self._greeted = False
        self._proved = False
        self._checked = self._awake = time.monotonic()
        self._arrived: deque[tuple[connector.Connector, Link]] = deque()
        self._telling = Telling(self._runtime)
        self._stopping = False
        self._reload_due = False
        self._reload_fault = ""
        self._request = Request(self._runtime, self._save)
        self._budget = Budget(Path(config.state_dir), committed=self._committed)
        self._remembering: threading.Thread | None = None
        self._drill: Rehearsing | None = None
        self._evidence = self._new_evidence()
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()

    def _new_connector(self, context: ssl.SSLContext) -> connector.Connector:
        return connector.Connector(self._config, context, self._hand_over)

    def _hand_over(self, source: connector.Connector, link: Link) -> None:
        """Take a connection over from the connector's thread."""
        self._arrived.append((source, link))
        self._wake_up()

    def _wake_up(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake.send(b"\0")

    def _new_evidence(self) -> Evidence | None:
        """Return what looks for evidence of lost contact, where the operator has chosen it."""
        if not self._rules.on_lost_contact.chosen:
            return None
        from powmonman.client.evidence import Evidence

        host, _ = connector.last_server(self._config) or ("", 0)
        return Evidence(self._config.on_lost_contact, host, self._wake_up)

    def run(self) -> int:
        """Protect this host until SIGTERM or SIGINT."""
        for sock in (self._wake, self._woken):
            sock.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._want_reload)
        self._introduce()
        self._see_through()
        self._connector.start()
        notify.ready("looking for the server")
        while not self._stopping:
            try:
                self._turn()
            except Exception:
                # The countdown must outlive whatever nobody thought of. What fails with every turn
                # is ended by the watchdog, which is petted after a whole one only.
                log.exception("an error that nobody thought of; the countdown goes on")
                self._lose(LinkError("given up after the error"))
                time.sleep(AFTER_ERROR)
        log.info("stopping%s", "" if self._plan.phase is Phase.IDLE else ": the plan is kept")
        self._save()
        self._connector.stop()
        if self._evidence is not None:
            self._evidence.stop()
        self._leave()
        self._budget.close()
        self._diary.close()
        if self._drill is not None:
            self._drill.close()
        self._view()
        return 0

    def _see_through(self) -> None:
        """See to the request of an earlier client: it is made to the end, or it is void.

        What was committed to and never run is not decided any more, but may be decided again.
        """
        alone = self._plan.ordered or self._plan.alone.holds
        grounds = self._plan.power is PowerState.ON_BATTERY or alone
        if self._committed and grounds and not self._config.dry_run and not self._request.is_old():
            self._request.finish(self._commands, self._plan.outage)
        elif self._request.disown() and self._committed:
            on_battery = self._plan.power is PowerState.ON_BATTERY
            phase = Phase.COUNTING if on_battery else Phase.IDLE
            last = self._plan.last
            # The time away counts as a stall, and as no silence: it needs news, or a whole lease.
            self._plan = replace(
                self._plan,
                phase=phase,
                ordered=False,
                alone=Alone(),
                silent=0.0,
                wake_at=last.running if last else NEVER,
            )

    def _leave(self) -> None:
        """Hang up; the server is told if this host does not come back."""
        link, self._link = self._link, None
        told = link is not None and self._proved
        going = (told or self._plan.outage) and halting.is_going_down(committed=self._committed)
        if going:
            log.warning("this host is going down", extra={"outage": self._plan.outage})
        if link is not None and told and going:
            link.leave(replace(status_of(self._plan), phase="halting"), LEAVE_TIMEOUT)
        elif link is not None:
            link.close()
        if going:
            self._diary.note(self._plan.outage, Kind.HALTING, spent=self._plan.spent)

    @property
    def _committed(self) -> bool:
        return self._plan.phase is Phase.COMMITTED and not self._plan.rehearsed

    def _introduce(self) -> None:
        config = self._config
        after = f"{config.policy.after:g} s" if config.policy.after else "the fleet's time"
        where = ", ".join(config.servers) or "discovery"
        lost = config.on_lost_contact
        log.info(
            "version %s · fleet %s · server by %s · shutdown after %s on battery%s%s%s",
            __version__,
            config.fleet,
            where,
            after,
            f", and after {names(config.wait_for)}" if config.wait_for else "",
            f", or after {lost.shutdown_after:g} s of {' and '.join(lost.only_if)} without contact"
            if lost.shutdown_after
            else "",
            " · DRY RUN: no command is run" if config.dry_run else "",
        )
        if config.shutdown.via == "direct" and os.geteuid() != 0 and not config.dry_run:
            log.warning("not root, and shutdown.via is direct: the commands may not be permitted")

    def _stop(self, *_: Any) -> None:
        self._stopping = True

    def _want_reload(self, *_: Any) -> None:
        self._reload_due = True

    def _turn(self) -> None:
        """One pass: sleep, take what has come, decide, tell."""
        drilled = self._drill.wake_at if self._drill is not None else None
        wake_at = self._plan.wake_at if drilled is None else min(self._plan.wake_at, drilled)
        due = max(self._checked, wake_at)
        ready = self._selector.select(max(0.0, due - time.monotonic()))
        self._awake = min(due, time.monotonic())
        if self._reload_due:
            self._reload()
        for key, mask in ready:
            if key.fileobj is self._woken:
                with contextlib.suppress(BlockingIOError):
                    self._woken.recv(4096)
            elif key.fileobj is self._link:
                self._serve_link(mask)
        self._check_link()
        while self._arrived:
            self._adopt(*self._arrived.popleft())
        connected = self._link is not None
        self._take(policy.passed(self._plan, self._rules, now(), connected=connected))
        self._look()
        if self._drill is not None:
            self._drill.passed(self._plan, now())
        alone = self._plan.ordered or self._plan.alone.holds
        over = self._plan.power is PowerState.ON_MAINS and not alone
        self._request.watch(self._commands, over=over)
        self._tell()
        if not self._committed:
            self._budget.cancel()
            if not self._config.dry_run:
                self._request.reserve()
        notify.alive()

    def _look(self) -> None:
        """Take what evidence has been found, and have more looked for while contact is lost."""
        if self._evidence is None:
            return
        for facts, began in self._evidence.found():
            outage = os.urandom(16).hex()
            step = policy.looked(self._plan, facts, began, self._rules, now(), outage=outage)
            self._take(step)
        self._evidence.want(lost_contact.asks(self._plan, self._rules))

    def _serve_link(self, mask: int) -> None:
        if self._link is None:
            return
        try:
            if mask & selectors.EVENT_WRITE:
                self._link.flush()
                self._watch_link(self._link)
            if mask & selectors.EVENT_READ:
                for message in self._link.receive():
                    self._hear(message)
        except LinkError as error:
            self._lose(error)

    def _hear(self, message: Message) -> None:
        if isinstance(message, State):
            self._diary.began(message.upses)
            before, moment = self._plan, now()
            self._take(policy.heard(before, message, self._rules, moment))
            self._rehearse(message, before, moment)
            if self._link is not None and not self._proved:
                self._prove(self._link)
                self._compare(message)
            self._diary.hand_over(message.own.noted, self._send)
        elif isinstance(message, Error):
            raise LinkError(f"the server refuses: {message.reason}", refused=True)

    @harmless
    def _rehearse(self, state: State, before: Plan, moment: Now) -> None:
        """Let a drill hear what the real plan has heard."""
        if self._drill is None:
            if state.drill is None:
                return
            from powmonman.client.drill import Rehearsing

            self._drill = Rehearsing(self._config, self._rules)
        self._drill.heard(state, before, self._plan, moment)

    def _prove(self, link: Link) -> None:
        """Only a state proves that the server has let this host in."""
        self._proved = True
        self._diary.contact(self._plan)
        self._connector.works()
        self._remember(link)
        if self._evidence is not None:
            self._evidence.met(link.host)
        left = self._plan.left(self._rules)
        log.info(
            "server found · %s port %d · shutdown after %g s on battery · power now: %s%s",
            link.host,
            link.port,
            self._plan.after,
            self._plan.power.replace("_", " "),
            "" if left is None else f", shutdown in {limit(self._plan, left)}",
        )
        if link.peer.expired:
            log.warning("the server's certificate looks expired, or this host's clock is wrong")
        notify.notify(STATUS=f"connected to {link.host}")

    def _compare(self, state: State) -> None:
        """Say which of this host's rules the server's make void."""
        mine, counts = self._rules.confirm, state.policy.restore_confirm
        if mine > counts:
            log.warning(
                "policy.confirm is %g s, but the server takes the mains for back after %g s "
                "(restore_confirm): %g s count",
                mine,
                counts,
                counts,
            )

    def _remember(self, link: Link) -> None:
        """Keep the server's address; the disk may take its time."""
        if self._remembering is None or not self._remembering.is_alive():
            arguments = (self._config, link.host, link.port)
            self._remembering = threading.Thread(
                target=connector.remember, args=arguments, name="remember", daemon=True
            )
            self._remembering.start()

    def _check_link(self) -> None:
        """A server that says nothing for a lease is gone, whatever TCP believes."""
        self._checked = moment = time.monotonic()
        lease = self._plan.lease
        if self._link is None or moment - self._link.heard <= lease:
            return
        # This process may have stood still itself, and what was said lies in the socket.
        self._serve_link(selectors.EVENT_READ)
        if self._link is None or moment - self._link.heard <= lease:
            return
        if moment - self._awake > lease / 5:
            self._link.heard = moment
        else:
            self._lose(LinkError(f"the server said nothing for {lease:g} s"))

    def _adopt(self, source: connector.Connector, link: Link) -> None:
        if self._link is not None or source is not self._connector:
            link.close()
            return
        self._link, self._greeted, self._proved = link, False, False
        self._telling.new_server()
        if self._drill is not None:
            self._drill.reconnected()
        self._selector.register(link, selectors.EVENT_READ)
        self._take(policy.connected(self._plan, now(), self._rules))

    def _lose(self, error: LinkError) -> None:
        link, self._link = self._link, None
        if link is None:
            return
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(link)
        link.close()
        self._plan = policy.disconnected(self._plan)
        self._diary.contact(self._plan, lost=str(error))
        level = logging.WARNING if self._proved or error.refused else logging.DEBUG
        log.log(level, "connection to %s lost: %s", link.host, error)
        notify.notify(STATUS="looking for the server")
        self._connector.want(refused=error.refused and not self._proved)

    def _take(self, step: policy.Step) -> None:
        """Carry out what was decided, in the order in which it was."""
        before, (self._plan, commands) = self._plan, step
        outage = before.outage
        # The line about its end belongs to the outage too.
        fields = {"outage": self._plan.outage or outage}
        for command in commands:
            match command:
                case Say(level, text):
                    log.log(level, text, extra=fields)
                case Warn(text):
                    if self._config.warn_users:
                        self._telling.warn_users(text)
                case Acknowledge(seq, nonce):
                    self._send(Ack(seq, nonce))
                case Ask(nonce):
                    self._send(Ping(nonce) if self._greeted else self._hello(nonce))
                    self._greeted = True
                case Run(reason):
                    self._shut_down(reason)
        # After the request: nothing that is only for the record may come before it.
        self._diary.follow(before, self._plan, self._rules)

    def _hello(self, nonce: int) -> Hello:
        return Hello(
            **vars(self._rules),
            nonce=nonce,
            version=__version__,
            boot_id=boot_id(),
            macs=connector.mac_addresses(),
            shutdown_takes=self._budget.shutdown_takes,
        )

    def _send(self, message: Message) -> None:
        if self._link is None:
            return
        try:
            self._link.send(message)
        except LinkError as error:
            self._lose(error)
        else:
            self._watch_link(self._link)

    def _watch_link(self, link: Link) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if link.unsent else 0)
        if self._selector.get_key(link).events != events:
            self._selector.modify(link, events)

    def _tell(self) -> None:
        """Report what has changed to the server, and keep it for the next process."""
        if self._proved and (status := self._telling.status(self._plan, self._rules)):
            self._send(status)
        if self._drill is not None and self._proved and (drilled := self._drill.news()):
            self._send(drilled)
        if self._telling.due(self._plan, connected=self._proved and self._link is not None):
            self._save()
            self._view()

    def _save(self) -> None:
        self._telling.save(self._plan)

    def _view(self) -> None:
        if alone := lost_contact.described(self._plan, self._rules):
            notify.notify(STATUS=alone)
        fault = self._reload_fault
        self._telling.show(self._plan, self._rules, self._link, self._proved, fault)

    def _shut_down(self, reason: str) -> None:
        if self._config.dry_run:
            shutdown.rehearse(self._commands)
            self._save()
        else:
            self._request.make(self._commands, reason, self._plan.outage)
            self._budget.begin()

    def _reload(self) -> None:
        """Apply a good configuration; keep the running one on a bad one."""
        self._reload_due = False
        notify.reloading()
        try:
            config, _ = read_apart(self._path, ClientConfig)
            context = client_context(Path(config.tls.identity))
        except (ConfigError, IdentityError, OSError) as error:
            self._reload_fault = str(error)
            log.error("reload refused, the running configuration stays:\n%s", error)
        else:
            self._reload_fault = ""
            self._apply(config, context)
            log.info("reloaded %s", self._path)
        self._view()
        notify.ready("reloaded")

    def _apply(self, config: ClientConfig, context: ssl.SSLContext) -> None:
        for name in ("state_dir", "runtime_dir"):
            if getattr(config, name) != getattr(self._config, name):
                log.warning("%s has changed: it takes effect with the next restart", name)
        self._config, self._rules = config, rules_of(config)
        self._commands = shutdown.in_full(config.shutdown)
        if self._drill is not None:
            self._drill.reconfigure(config, self._rules)
        self._logs.apply(config.log)
        self._introduce()
        if self._evidence is not None:
            self._evidence.stop()
        self._evidence = self._new_evidence()
        self._connector.stop()
        self._connector = self._new_connector(context)
        if self._link is not None:
            self._selector.unregister(self._link)
            self._link.close()
            self._link = None
            self._plan = policy.disconnected(self._plan)
        self._connector.start()


def rules_of(config: ClientConfig) -> Rules:
    """Return what of the configuration decides."""
    return Rules(
        **vars(config.policy),
        upses=config.upses,
        min_supplies=config.min_supplies,
        wait_for=config.wait_for,
        wait_timeout=config.wait_timeout,
        dry_run=config.dry_run,
        on_lost_contact=OnLostContact(
            config.on_lost_contact.shutdown_after, config.on_lost_contact.only_if
        ),
    )


def run(path: Path) -> int:
    """Run the client with the configuration in `path`.

    Raises:
        ConfigError: The configuration can't be used.
        IdentityError: The certificate can't be used.
        OSError: The runtime directory can't be used.
    """
    config, warnings = read_apart(path, ClientConfig)
    logs = Logs("powmonman")
    logs.apply(config.log)
    for warning in warnings:
        log.warning("%s", warning)
    for directory in (config.runtime_dir, config.state_dir):
        Path(directory).mkdir(mode=0o750, parents=True, exist_ok=True)
    try:
        return Agent(path, config, logs).run()
    finally:
        logs.close()
