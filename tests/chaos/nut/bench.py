"""What both products are put through: a LAN, and faults in seconds after the loss of the mains.

The verbs are those of `tests/chaos/scenario.py`, and a few that only make sense beside NUT. Nothing
is scaled: NUT's times are whole seconds, most with a default of many.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from powmonman.service.clock import boottime

from ..lan import NETWORK, Lan

# Both products are told to go down after this long on battery: longer than NUT's DEADTIME and than
# the minute that a client of PowMonMan must have seen itself, and short enough to be waited for.
AFTER = 90.0
# RestartSec of PowMonMan's units.
RESTART = 2.0
# For a start: many are set up at the same time.
PATIENCE = 240.0
# Should all of it be killed, nothing lasts longer.
LONGEST = 900

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Host:
    """A host that is to go down.

    Attributes:
        servers: Where it is told that its server is; each has a UPS of its own that feeds it.
        by_name: By the names of these in the DNS instead of their addresses.
        trusted: False: what it proves itself with is wrong.
        up: False: it is off until `boot`.
        stubborn: Its final command fails the first time.
    """

    name: str = "nas"
    servers: tuple[str, ...] = ("pi",)
    by_name: bool = False
    trusted: bool = True
    up: bool = True
    stubborn: bool = False


@dataclass(frozen=True)
class Layout:
    """Who is there."""

    host: Host = Host()
    servers: tuple[str, ...] = ("pi",)


class Bench(ABC):
    """One product on a LAN of its own, from `open` to `close`.

    Attributes:
        layout: Who is there.
        directory: Where its files are.
        lost_at: When the mains were first lost, on CLOCK_BOOTTIME; not a number if never.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        # Not below a long path: that of a Unix socket has 107 characters at most.
        self.directory = Path(tempfile.mkdtemp(prefix="chaos-"))
        self.lan = Lan(next(_numbers), self.directory, lasts=LONGEST)
        self.lost_at = math.nan
        self._trace = self.directory / "ran"
        self._stack = contextlib.ExitStack()
        self._children: list[subprocess.Popen[bytes]] = []

    def open(self) -> None:
        """Set all of it up, and leave nothing behind where that fails."""
        try:
            self.lan.lay([*self.layout.servers, self.layout.host.name])
            for name in self.lan.hosts:
                self._empty_run(name)
            if self.layout.host.by_name:
                self.lan.serve_names()
            self.set_up()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End every process, and remove all of it."""
        self._stack.close()
        for name in self.lan.hosts:
            self._end_all(name)
        for child in self._children:
            child.wait()
        self.lan.remove()
        shutil.rmtree(self.directory, ignore_errors=True)

    @abstractmethod
    def set_up(self) -> None:
        """Start everything, mains good."""

    @abstractmethod
    def sense(self, *, good: bool, low: bool = False) -> None:
        """Let the sensor read this of the mains, and of the battery."""

    @abstractmethod
    def lose_sensor(self) -> None:
        """Let there be nothing any more that reads the mains."""

    @abstractmethod
    def kill(self, name: str) -> None:
        """End a server by SIGKILL; nobody starts it again."""

    @abstractmethod
    def pause(self, name: str) -> None:
        """Stop a server by SIGSTOP."""

    @abstractmethod
    def restart_client(self) -> None:
        """End the client on the host by SIGKILL, and start it again soon after."""

    @abstractmethod
    def kill_countdown(self) -> None:
        """End what counts the time on the host by SIGKILL; its service manager does its part."""

    @abstractmethod
    def start_client(self) -> None:
        """Start what runs on the host."""

    def boot(self) -> None:
        """Start the host, which is down or was never up, with nothing in /run."""
        name = self.layout.host.name
        self._end_all(name)
        self.lan.hosts[name].run("umount", "/run")
        self._empty_run(name)
        self.start_client()

    def start_clock(self) -> None:
        """Let times count from now, although the mains are good."""
        self.lost_at = boottime()

    def mains(self, *, good: bool) -> None:
        """Lose the mains, or give them back. Times count from the first loss."""
        self.sense(good=good)
        if not good and math.isnan(self.lost_at):
            self.start_clock()

    def low_battery(self) -> None:
        """Let the battery be nearly empty."""
        self.sense(good=False, low=True)

    def link(self, name: str, *, up: bool) -> None:
        """Pull or plug the cable of a host; of `switch`, its power."""
        if name == "switch":
            self.lan.power(up=up)
        else:
            self.lan.plug(name, up=up)

    def new_address(self, name: str) -> None:
        """Give a host another address, and take its own."""
        self.lan.readdress(name)

    def black_hole(self, name: str) -> None:
        """Let a host still be there for the switch, and answer nobody."""
        for half in (f"{NETWORK}.0/25", f"{NETWORK}.128/25"):
            self.lan.hosts[name].ip("route", "add", "blackhole", half)

    def poor_link(self, name: str, loss: int) -> None:
        """Let a cable lose so many per cent of all frames, both ways."""
        self.lan.poor(name, loss=loss, delay=0, jitter=0, duplicate=0)

    def stand_still(self, *, still: bool) -> None:
        """Stop everything on the host, as a paused machine, or let it go on."""
        for pid in self.pids(self.layout.host.name):
            os.kill(pid, signal.SIGSTOP if still else signal.SIGCONT)

    def until(self, seconds: float) -> None:
        """Wait for a moment, in seconds after the first loss."""
        time.sleep(max(0.0, self.lost_at + seconds - boottime()))

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)

    def runs(self) -> list[float]:
        """Return when the host has run its final command, in seconds after the loss."""
        lines = self._trace.read_text("utf-8").splitlines() if self._trace.exists() else []
        traces = [line.split() for line in lines]
        return [float(at) - self.lost_at for name, at in traces if name == self.layout.host.name]

    @property
    def where(self) -> list[str]:
        """The addresses of the host's servers, or their names, as it is configured."""
        host = self.layout.host
        if host.by_name:
            return [f"{server}.lan" for server in host.servers]
        return [self.lan.addresses[server] for server in host.servers]

    def final(self, name: str) -> str:
        """Return the path of a host's final command, which only leaves a trace."""
        path = self.directory / f"poweroff-{name}"
        lines = ["#!/bin/sh"]
        if self.layout.host.stubborn:
            lines.append(f'mkdir "{path}-tried" && exit 1')
        lines += ["read at _ < /proc/uptime", f'echo {name} $at >> "{self._trace}"']
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o755)
        return str(path)

    def pids(self, name: str, program: str = "") -> list[int]:
        """Return the processes on a host; only those of a program where one is named."""
        listed = subprocess.run(
            ["ip", "netns", "pids", self.lan.hosts[name].namespace],
            check=False,
            capture_output=True,
            text=True,
        )
        return [pid for pid in map(int, listed.stdout.split()) if program in ("", _program(pid))]

    def _end_all(self, name: str) -> None:
        for pid in self.pids(name):
            # `sleep` holds the namespaces.
            if _program(pid) != "sleep":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _empty_run(self, name: str) -> None:
        host = self.lan.hosts[name]
        host.mount("-t", "tmpfs", "tmpfs", "/run")
        host.run("mkdir", "/run/nut")


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8").strip()
    except OSError:
        return ""
