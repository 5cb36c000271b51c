"""The course of a soak: outages and returns, one after the other, on real processes.

A server, and three clients with real sockets and certificates. The mains fail, every client is
told; they return, every client is told; and so on, as fast as that goes. Now and then:

- `nas` commits, as a dry run, so that it lives on;
- `hv` commits in earnest with a harmless command, ends, is woken, and comes back in a new boot;
- nobody takes notifications, so that they pile up on the disk as far as they may.

At the end the server is restarted again and again, on mains and in mid-outage.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import yaml

from powmonman.service.clock import boottime
from tests.integration.daemon import Daemon, wait_for

from .ear import BACK, FOUND, LOST, RECOVERED, REHEARSED, Ear
from .figures import Figures, figures, size

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.fleet import Fleet

POLL = CONFIRM = 0.01
PATIENCE = 60.0
BOOT_ID = "/proc/sys/kernel/random/boot_id"
# Processes share their machine's boot id, but a host that boots has a new one.
IN_A_BOOT = f'mount --bind "$0" {BOOT_ID} && exec "$@"'


@dataclass(frozen=True)
class Pace:
    """How long the course is, and what happens how often, in outages; 0: never.

    Attributes:
        restarts: Of the server, after the outages.
        keep: Outages that the record keeps, `spool` the messages that wait.
        settle: Seconds before each measurement, for what comes later than the outage.
    """

    outages: int = 10_000
    sample: int = 100
    rehearse: int = 100
    commit: int = 1_000
    restarts: int = 10
    keep: int = 200
    spool: int = 50
    settle: float = 3.0


@dataclass(frozen=True)
class Sample:
    """What was measured after so many outages; of what is counted, since the sample before.

    Attributes:
        told: Seconds from the loss, and from the return, until the last client knew: the median.
        slowest: The longest of these.
        lines: Of the log, per outage, by process; `said` in bytes.
        cpu: Seconds per outage, by process.
        record: Bytes of the server's database, `spool` of the messages that wait.
    """

    outages: int
    seconds: float
    told: float
    slowest: float
    lines: dict[str, float]
    said: dict[str, float]
    cpu: dict[str, float]
    record: int
    spool: int
    processes: dict[str, Figures]


@dataclass
class Course:
    """A soak on one fleet; `run` returns what was measured."""

    fleet: Fleet
    pace: Pace
    progress: Callable[[str], None] = field(default=lambda _: None)

    def __post_init__(self) -> None:
        self.samples: list[Sample] = []
        self.restarted: list[Sample] = []
        self.boots = self.done = 0
        self.may_boot = can_boot(self.fleet)
        self.woken = self.fleet.path("woken")
        self.server = self._observed(self.fleet.server(**self._server()))
        common = {
            "policy__confirm": CONFIRM,
            "policy__low_battery": False,
            "log__level": "info",
        }
        self.nas = self.fleet.client("nas", dry_run=True, **common | {"policy__low_battery": True})
        self.db = self.fleet.client("db", **common)
        self.hv = self.fleet.client("hv", "stop-guests", **common, policy__charge_below=50)
        self.clients = [self.nas, self.db, self.hv]
        for each in self.clients:
            self._observed(each)
        self.ears = {each.directory.name: Ear(each) for each in [self.server, *self.clients]}
        self._times: list[float] = []
        self._cpu: dict[str, float] = {}
        self._counted: dict[str, tuple[int, int]] = {}
        self._measured = 0

    def run(self) -> list[Sample]:
        """Play the whole course."""
        began = time.monotonic()
        self._boot(self.hv)
        self.fleet.up(self.server, *self.clients)
        self._measure(began, [])
        for number in range(1, self.pace.outages + 1):
            if self.may_boot and _due(number, self.pace.commit):
                self._commit()
            elif _due(number, self.pace.rehearse):
                self._rehearse()
            else:
                self.outage()
            self.done = number
            if _due(number, self.pace.sample):
                self._measure(began, self.samples)
        for number in range(self.pace.restarts):
            self._restart(in_outage=bool(number % 2))
            for _ in range(5):
                self.outage()
                self.done += 1
            self._measure(began, self.restarted)
        return self.samples

    def outage(self) -> None:
        """Lose the mains and get them back, and wait until everybody knows of each."""
        self._lose()
        self._return()

    def _lose(self, charge: float = 100, *, low_battery: bool = False) -> None:
        self._listen()
        self._all_hear(LOST, self.fleet.mains("off", charge, low_battery=low_battery))

    def _return(self, *, without: Daemon | None = None) -> None:
        self._listen()
        self._all_hear(BACK, self.fleet.mains("on", 100), without=without)

    def _listen(self) -> None:
        for ear in self.ears.values():
            ear.listen()

    def _all_hear(self, words: bytes, at: float, without: Daemon | None = None) -> None:
        deaf = [c.directory.name for c in self.clients if c is not without]
        end = time.monotonic() + PATIENCE
        while deaf := [name for name in deaf if not self.ears[name].heard(words)]:
            if time.monotonic() > end:
                raise AssertionError(f"{', '.join(deaf)}: never said {words.decode()!r}")
            time.sleep(0.002)
        self._times.append(boottime() - at)

    def _rehearse(self) -> None:
        self._lose(low_battery=True)
        self._hears(self.nas, REHEARSED)
        self._return()

    def _commit(self) -> None:
        """`hv` goes down, is woken, and comes back."""
        before = len(self.fleet.ran("hv"))
        woken = self._woken()
        self._lose(charge=40)
        wait_for("hv goes", lambda: self.fleet.ran("hv")[before:][-1:] == ["poweroff"], PATIENCE)
        self.hv.stop()
        self._return(without=self.hv)
        wait_for("hv is woken", lambda: self._woken() > woken, PATIENCE)
        self._boot(self.hv).start()
        self._hears(self.hv, FOUND)
        self._hears(self.server, RECOVERED)

    def _restart(self, *, in_outage: bool) -> None:
        if in_outage:
            self._lose()
        self.server.stop()
        self._listen()
        self._observed(self.server).start()
        self._cpu.pop("server", None)
        for client in self.clients:
            self._hears(client, FOUND)
        if in_outage:
            self._return()

    def _hears(self, daemon: Daemon, words: bytes) -> None:
        ear = self.ears[daemon.directory.name]
        wait_for(f"{daemon.directory.name} says {words!r}", lambda: ear.heard(words), PATIENCE)

    def _woken(self) -> int:
        return len(self.woken.read_bytes()) if self.woken.exists() else 0

    def _measure(self, began: float, samples: list[Sample]) -> None:
        time.sleep(self.pace.settle)
        outages = max(1, self.done - self._measured)
        processes, lines, said, cpu = {}, {}, {}, {}
        for daemon in (self.server, *self.clients):
            name = daemon.directory.name
            seen = figures(daemon.pid, _observer(daemon), daemon.state, daemon.runtime)
            processes[name] = seen
            cpu[name] = (seen.cpu - self._cpu.get(name, 0.0)) / outages
            self._cpu[name] = seen.cpu
            ear = self.ears[name]
            ear.listen()
            before = self._counted.get(name, (0, 0))
            lines[name] = (ear.lines - before[0]) / outages
            said[name] = (ear.bytes - before[1]) / outages
            self._counted[name] = (ear.lines, ear.bytes)
        times = self._times or [0.0]
        state = self.server.state
        sample = Sample(
            outages=self.done,
            seconds=time.monotonic() - began,
            told=median(times),
            slowest=max(times),
            lines=lines,
            said=said,
            cpu=cpu,
            record=size(*state.glob("history.sqlite*")),
            spool=size(state / "notify"),
            processes=processes,
        )
        self._times, self._measured = [], self.done
        samples.append(sample)
        self.progress(_said(sample))

    def _observed(self, daemon: Daemon) -> Daemon:
        _observer(daemon).unlink(missing_ok=True)
        observed = Path(__file__).with_name("observed.py")
        daemon.prefix = [sys.executable, str(observed), str(_observer(daemon))]
        return daemon

    def _boot(self, daemon: Daemon) -> Daemon:
        """Give it the next boot, in which it is to be started; /run is empty after it."""
        self._observed(daemon)
        self._cpu.pop(daemon.directory.name, None)
        if not self.may_boot:
            return daemon
        self.boots += 1
        kept = self.fleet.path("boot")
        kept.write_text(f"00000000-0000-4000-8000-{self.boots:012}\n", "ascii")
        daemon.prefix = ["unshare", "--mount", "sh", "-c", IN_A_BOOT, str(kept), *daemon.prefix]
        for path in daemon.runtime.iterdir():
            path.unlink()
        return daemon

    def _server(self) -> dict[str, Any]:
        targets = self.fleet.path("notify.yml")
        # The discard port of this machine, where nobody listens.
        targets.write_text(yaml.safe_dump({"targets": {"me": "json://127.0.0.1:9/"}}), "utf-8")
        targets.chmod(0o600)
        wake = ["sh", "-c", f"printf w >> {shlex.quote(str(self.woken))}"]
        return {
            "upses__ups__simulated__poll": POLL,
            "upses__ups__confirm": CONFIRM,
            "upses__ups__restore_confirm": CONFIRM,
            "policy__after": 86400,
            "lease": 3,
            "limits__messages": 10_000,
            "history__keep": self.pace.keep,
            "recovery__wake_after": 0.5,
            "recovery__reserve": 0,
            "recovery__repeat": 0.5,
            "recovery__hosts": {"hv": {"method": "command", "command": wake}},
            # Each event is a message of its own: else their size would hang on the pace.
            "notify": {
                "enabled": True,
                "targets": str(targets),
                "keep": self.pace.spool,
                "coalesce": 0,
            },
            "log__level": "info",
        }


def can_boot(fleet: Fleet) -> bool:
    """Whether processes here can have a boot id of their own."""
    kept = fleet.path("trial")
    kept.write_text("x\n", "ascii")
    command = ["unshare", "--mount", "sh", "-c", IN_A_BOOT, str(kept), "true"]
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def _observer(daemon: Daemon) -> Path:
    return daemon.directory / "observer"


def _due(number: int, every: int) -> bool:
    return every > 0 and number % every == 0


def _said(sample: Sample) -> str:
    server = sample.processes["server"]
    clients = max(p.uss for name, p in sample.processes.items() if name != "server")
    return (
        f"{sample.outages:6} outages · {sample.seconds:5.0f} s"
        f" · told in {sample.told * 1000:.0f} ms"
        f" · server {server.uss} KiB, {server.descriptors} fd, {server.threads} threads,"
        f" {server.tasks} tasks, {server.objects} objects · largest client {clients} KiB"
        f" · record {sample.record // 1024} KiB"
    )
