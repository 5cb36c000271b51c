"""`powmonman guard`: a laptop, or any single machine, that guards itself from one small file.

It runs `powmonman server` on loopback and `powmonman client`, starts again whichever of them ends,
and sleeps. It decides nothing: if it is killed, the two go on, and the next guard replaces them
without losing a countdown, which the client keeps.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import selectors
import signal
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from powmonman import __version__
from powmonman.client.shutdown import check_trusted
from powmonman.config.loader import ConfigError, Fault, read
from powmonman.config.schema import GuardConfig
from powmonman.guard import prepare
from powmonman.guard.child import Child
from powmonman.guard.derive import places
from powmonman.guard.prepare import KINDS, Account, GuardError
from powmonman.service import notify
from powmonman.service.logs import Logs

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

log = logging.getLogger("powmonman.guard")

CONFIG = Path("/etc/powmonman/guard.yml")
OK, FAILED, USAGE = 0, 1, 2
PAUSE = 2.0
# A process that says nothing for one to two of these after the first hangs, and is started anew.
LOOK_EVERY = 30.0
# What can't change while the two processes are connected, and own their directories.
FIXED = ("port", "user", "state_dir", "runtime_dir")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `powmonman guard`."""
    parser.description = (
        "Guard this one machine: server and client in one, no network, no second host. As root "
        "it can shut the machine down; the part that listens (on 127.0.0.1) is never root."
    )
    parser.add_argument(
        "--config", type=Path, default=CONFIG, metavar="FILE", help="configuration (%(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Guard this machine until SIGTERM or SIGINT; return the exit code."""
    logs = Logs("powmonman")
    try:
        with contextlib.closing(logs):
            return _run(args.config.absolute(), logs)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return USAGE
    except (GuardError, OSError) as error:
        print(f"powmonman guard: {error}", file=sys.stderr)
        return FAILED


def _run(path: Path, logs: Logs) -> int:
    config, warnings = _load(path)
    # The log file is the client's.
    logs.apply(replace(config.log, file=""))
    for warning in warnings:
        log.warning("%s", warning)
    where = places(config)
    account = Account.named(config.user)
    prepare.directories(where, account)
    with _only_one(where.lock):
        name = prepare.name_and_keys(where)
        prepare.files(config, path, where, name, account)
        log.info(
            "version %s · guards %s · the server part runs as %s",
            __version__,
            name,
            config.user if account else "this user too",
        )
        return Guard(path, config, name, account, logs).run()


def _load(path: Path) -> tuple[GuardConfig, tuple[Fault, ...]]:
    """Read the configuration.

    Raises:
        ConfigError: It can't be used.
        GuardError: Others than root can change what root would run.
    """
    loaded = read(path, GuardConfig)
    try:
        check_trusted(path)
    except OSError as error:
        raise GuardError(f"{path} names commands that root runs, but {error}") from None
    return loaded.config, loaded.warnings


@contextlib.contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Hold the lock of this machine's guard.

    Raises:
        GuardError: Another one holds it.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise GuardError(f"a guard is running already: it holds {lock}") from None
    try:
        yield
    finally:
        os.close(descriptor)


class Guard:
    """Keeps the two processes running; `run` returns its exit code."""

    def __init__(
        self, path: Path, config: GuardConfig, name: str, account: Account | None, logs: Logs
    ) -> None:
        self._path = path
        self._config = config
        self._name = name
        self._account = account
        self._logs = logs
        where = places(config)
        self._children = [
            Child(kind, where.config(kind), account if kind == "server" else None) for kind in KINDS
        ]
        self._stopping = False
        self._reload_due = False
        self._announced = False
        self._look_at = time.monotonic() + LOOK_EVERY
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()

    def run(self) -> int:
        """Guard until SIGTERM or SIGINT."""
        for sock in (self._wake, self._woken):
            sock.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._take_signal)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._want_reload)
        for child in self._children:
            for pid in child.replace_leftovers():
                log.warning(
                    "an earlier guard left its %s running (process %d): replaced%s",
                    child.kind,
                    pid,
                    ", the countdown is kept" if child.kind == "client" else "",
                )
            self._start(child)
        while not self._stopping:
            self._turn()
        log.info("stopping")
        for child in reversed(self._children):
            child.signal(signal.SIGTERM)
        for child in self._children:
            child.stop()
        return OK

    def _stop(self, *_: Any) -> None:
        self._stopping = True

    def _want_reload(self, *_: Any) -> None:
        self._reload_due = True

    def _take_signal(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)

    def _turn(self) -> None:
        """Sleep until something happens or is due, and see to it."""
        due = [self._look_at, *(c.again_at for c in self._children if c.again_at is not None)]
        for key, _ in self._selector.select(max(0.0, min(due) - time.monotonic())):
            key.data()
        if self._reload_due:
            self._reload()
        now = time.monotonic()
        for child in self._children:
            if child.again_at is not None and child.again_at <= now:
                self._start(child)
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY
            self._look()

    def _start(self, child: Child) -> None:
        try:
            ear = child.start()
        except OSError as error:
            child.again_at = time.monotonic() + PAUSE
            log.error("the %s can't be started: %s · again in %g s", child.kind, error, PAUSE)
            return
        self._selector.register(child.ending, selectors.EVENT_READ, lambda: self._ended(child))
        self._selector.register(ear, selectors.EVENT_READ, lambda: self._heard(child, ear))

    def _heard(self, child: Child, ear: socket.socket) -> None:
        child.listen()
        if not child.ready:
            return
        # It goes on to say that it is alive, every second: that wakes nobody up.
        self._selector.unregister(ear)
        log.debug("the %s is ready", child.kind)
        if all(each.ready for each in self._children):
            if self._announced:
                log.info("the %s is back", child.kind)
                notify.notify(STATUS=f"guards {self._name}")
            else:
                self._announced = True
                notify.ready(f"guards {self._name}")

    def _ended(self, child: Child) -> None:
        self._selector.unregister(child.ending)
        if child.ear is not None:
            with contextlib.suppress(KeyError):
                self._selector.unregister(child.ear)
        how = child.ended()
        child.again_at = time.monotonic() + PAUSE
        goes_on = "the client counts on alone" if child.kind == "server" else "the plan is kept"
        log.warning("the %s %s · again in %g s · %s", child.kind, how, PAUSE, goes_on)
        notify.notify(STATUS=f"the {child.kind} {how}")

    def _look(self) -> None:
        """End who hangs; its end has it started again."""
        for child in self._children:
            if child.hangs():
                log.error("the %s hangs: killed", child.kind)
                child.signal(signal.SIGKILL)

    def _reload(self) -> None:
        """Apply a good configuration; keep the running one on a bad one."""
        self._reload_due = False
        notify.reloading()
        try:
            config, warnings = _load(self._path)
            kept = replace(config, **{name: getattr(self._config, name) for name in FIXED})
            prepare.files(kept, self._path, places(kept), self._name, self._account)
        except (ConfigError, GuardError, OSError) as error:
            log.error("reload refused, the running configuration stays:\n%s", error)
        else:
            self._logs.apply(replace(config.log, file=""))
            for warning in warnings:
                log.warning("%s", warning)
            for name in FIXED:
                if getattr(config, name) != getattr(self._config, name):
                    log.warning("%s has changed: it takes effect with the next restart", name)
            self._config = kept
            for child in self._children:
                child.signal(signal.SIGHUP)
            log.info("reloaded %s", self._path)
        if self._announced:
            notify.ready(f"guards {self._name}")
