"""NUT on a LAN: the real upsd, dummy-ups, upsmon and upssched, as Debian packages them.

Each host's upsmon is a secondary that tells upssched; what upssched starts at ONBATT, cancels at
ONLINE and does at the end is what NUT's own pages say for "shut down after N seconds".
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from daemons import eventually

from .bench import AFTER, PATIENCE, RESTART, Bench

if TYPE_CHECKING:
    from .bench import Layout

LIB = Path("/lib/nut")
PROGRAMS = (LIB / "upsd", LIB / "dummy-ups", LIB / "upsmon", Path("/sbin/upssched"))


@dataclass(frozen=True)
class Variant:
    """One way of setting NUT up.

    Attributes:
        poll: POLLFREQ and POLLFREQALERT of upsmon, in seconds.
        driver_poll: `pollinterval` of the driver, in seconds.
        dead_time: DEADTIME of upsmon, in seconds.
    """

    name: str
    poll: int = 5
    driver_poll: int = 2
    dead_time: int = 15

    def __str__(self) -> str:
        return (
            f"POLLFREQ and POLLFREQALERT {self.poll}, pollinterval {self.driver_poll}, "
            f"DEADTIME {self.dead_time}"
        )


DOCUMENTED = Variant("NUT, defaults")
FASTEST = Variant("NUT, fastest polling", poll=1, driver_poll=1)
# What somebody can do who knows of DEADTIME: let it be longer than the timer.
PATIENT = Variant(
    "NUT, fastest, long DEADTIME", poll=1, driver_poll=1, dead_time=math.ceil(AFTER) + 30
)
VARIANTS = (DOCUMENTED, FASTEST, PATIENT)

UPSMON = """\
{monitors}
MINSUPPLIES 1
SHUTDOWNCMD "{shutdown}"
POWERDOWNFLAG {place}/killpower
RUN_AS_USER root
POLLFREQ {poll}
POLLFREQALERT {poll}
HOSTSYNC 15
DEADTIME {dead_time}
FINALDELAY 5
NOTIFYCMD {place}/notify
{flags}
"""
NOTICES = ("ONLINE", "ONBATT", "LOWBATT", "FSD", "COMMOK", "COMMBAD", "SHUTDOWN", "NOCOMM")

UPSSCHED = """\
CMDSCRIPT {place}/upssched-cmd
PIPEFN /run/nut/upssched.pipe
LOCKFN /run/nut/upssched.lock
AT ONBATT * START-TIMER onbatt {after:.0f}
AT ONLINE * CANCEL-TIMER onbatt
"""
COMMAND = """\
#!/bin/sh
[ "$1" = onbatt ] && exec /lib/nut/upsmon -c fsd
"""
# What is told is told to upssched, and noted for whoever reads a run that went another way.
NOTIFY = """\
#!/bin/sh
echo "$NOTIFYTYPE $UPSNAME" >> "{place}/notices"
exec /sbin/upssched "$@"
"""

USERS = """\
[admin]
password = right
upsmon primary
[host]
password = right
upsmon secondary
"""


class NutBench(Bench):
    """A primary on each server's host, as NUT's pages have it, and a secondary on the other."""

    def __init__(self, layout: Layout, variant: Variant) -> None:
        super().__init__(layout)
        self._variant = variant

    def set_up(self) -> None:
        self.sense(good=True)
        for name in self.layout.servers:
            self._start_server(name)
            self._start_monitor(name, "MONITOR ups@127.0.0.1 1 admin right primary", timed=False)
        host = self.layout.host
        if host.up:
            self.start_client()
            # The last that is said of what a host does before it polls.
            log = "upsd.log" if host.trusted else f"../{host.name}-monitor/upsmon.log"
            said = "User host@" if host.trusted else "ACCESS-DENIED"
            for name in host.servers:
                path = self._place(name) / log
                eventually("the host has logged in", partial(_says, path, said), PATIENCE)

    def sense(self, *, good: bool, low: bool = False) -> None:
        words = "OL" if good else "OB LB" if low else "OB"
        for name in self.layout.servers:
            place = self._place(name)
            fresh = place / "ups.new"
            fresh.write_text(f"battery.charge: {5 if low else 90}\nups.status: {words}\n")
            fresh.rename(place / "ups.dev")

    def lose_sensor(self) -> None:
        self._send("pi", "dummy-ups", signal.SIGKILL)

    def kill(self, name: str) -> None:
        self._send(name, "upsd", signal.SIGKILL)

    def pause(self, name: str) -> None:
        self._send(name, "upsd", signal.SIGSTOP)

    def restart_client(self) -> None:
        # Debian's unit would not start it again.
        self._send(self.layout.host.name, "upsmon", signal.SIGKILL)
        self.wait(RESTART)
        self.start_client()

    def kill_countdown(self) -> None:
        self._send(self.layout.host.name, "upssched", signal.SIGKILL)

    def start_client(self) -> None:
        host = self.layout.host
        login = f"1 host {'right' if host.trusted else 'wrong'} secondary"
        monitors = "\n".join(f"MONITOR ups@{where} {login}" for where in self.where)
        self._start_monitor(host.name, monitors, timed=True)

    def _send(self, name: str, program: str, number: signal.Signals) -> None:
        for pid in eventually(f"{program} on {name}", lambda: self.pids(name, program)):
            os.kill(pid, number)

    def _place(self, name: str) -> Path:
        place = self.directory / name
        place.mkdir(exist_ok=True)
        return place

    def _start_server(self, name: str) -> None:
        place = self._place(name)
        driver = f"pollinterval = {self._variant.driver_poll}\nmaxretry = 3\n"
        _write(place / "ups.conf", f"{driver}[ups]\ndriver = dummy-ups\nport = {place}/ups.dev\n")
        _write(place / "upsd.conf", "LISTEN 0.0.0.0 3493\n")
        _write(place / "upsd.users", USERS)
        self._run(name, place, [LIB / "dummy-ups", "-F", "-a", "ups", "-u", "root"])
        eventually("the driver's socket", (place / "dummy-ups-ups").exists, PATIENCE)
        self._run(name, place, [LIB / "upsd", "-F", "-u", "root"])
        listening = ("ss", "-Hltn", "sport = :3493")
        eventually("upsd listens", lambda: self.lan.hosts[name].run(*listening), PATIENCE)

    def _start_monitor(self, name: str, monitors: str, *, timed: bool) -> None:
        place = self._place(f"{name}-monitor")
        does = "EXEC" if timed else "IGNORE"
        settings = {
            "monitors": monitors,
            "shutdown": self.final(name),
            "place": place,
            "poll": self._variant.poll,
            "dead_time": self._variant.dead_time,
            "after": AFTER,
            "flags": "\n".join(f"NOTIFYFLAG {notice} {does}" for notice in NOTICES),
        }
        _write(place / "upsmon.conf", UPSMON.format(**settings))
        _write(place / "upssched.conf", UPSSCHED.format(**settings))
        for script, text in (("upssched-cmd", COMMAND), ("notify", NOTIFY)):
            _write(place / script, text.format(**settings))
            (place / script).chmod(0o700)
        self._run(name, place, [LIB / "upsmon", "-F"])

    def _run(self, name: str, place: Path, command: list[Path | str]) -> None:
        variables = ("NUT_CONFPATH", "NUT_STATEPATH", "NUT_ALTPIDPATH")
        with (place / f"{Path(command[0]).name}.log").open("ab") as log:
            process = subprocess.Popen(
                [*self.lan.hosts[name].inside, *map(str, command)],
                env={**os.environ, **dict.fromkeys(variables, str(place))},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._children.append(process)


def _says(path: Path, text: str) -> bool:
    return path.exists() and text in path.read_text("utf-8", errors="replace")


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)
