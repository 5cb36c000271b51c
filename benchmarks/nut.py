"""NUT beside us: a real upsd with its dummy-ups driver, and any number of upsmon.

All of it runs on loopback in a directory of its own, as whoever runs the benchmark. The status is
changed as that of our simulated sensor is: the file that the driver reads is replaced.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from .daemons import PATIENCE, eventually, free_port, make_room
from .machine import debian_version

# /usr/sbin/upsd only starts it where /etc/nut/nut.conf says so.
UPSD, DRIVER, UPSMON = (Path("/lib/nut") / name for name in ("upsd", "dummy-ups", "upsmon"))
# It writes its process id here, and nowhere else, where it may.
_PID = Path("/run/nut/upsmon.pid")
# No process has this one: upsmon is not to look for another in the file above.
_NO_PID = str(2**22 + 1)
ON_MAINS, ON_BATTERY = "OL", "OB"

_UPSMON_CONF = """\
MONITOR ups@127.0.0.1:{port} 1 host right secondary
MINSUPPLIES 1
SHUTDOWNCMD "/bin/true"
POWERDOWNFLAG {place}/killpower
RUN_AS_USER {user}
POLLFREQ {poll}
POLLFREQALERT {poll}
NOTIFYCMD "echo {number} $NOTIFYTYPE >{told}; :"
"""
_NOTICES = ("ONLINE", "ONBATT", "LOWBATT", "FSD", "COMMOK", "COMMBAD", "SHUTDOWN", "NOCOMM")
_USERS = "[host]\npassword = right\nupsmon secondary\n"


@dataclass(frozen=True)
class Settings:
    """How NUT is set up.

    Attributes:
        name: As the tables name the product.
        poll: POLLFREQ and POLLFREQALERT of upsmon, in seconds.
        driver_poll: `pollinterval` of the driver, in seconds.
    """

    name: str
    poll: int = 5
    driver_poll: int = 2


DEFAULT = Settings("NUT, default")
# Whole seconds are all that NUT takes.
FASTEST = Settings("NUT, fastest", poll=1, driver_poll=1)


@dataclass(frozen=True)
class Told:
    """One run of a NOTIFYCMD: by which upsmon, of what, and when (seconds of CLOCK_MONOTONIC)."""

    monitor: int
    notice: str
    at: float


def missing() -> str:
    """Return why NUT can't be measured here; empty if it can."""
    if gone := [str(path) for path in (UPSD, DRIVER, UPSMON) if not path.exists()]:
        return f"NUT: no {', '.join(gone)} (Debian: nut-server, nut-client)"
    with contextlib.suppress(OSError):
        process = Path("/proc") / _PID.read_text("ascii").strip()
        if (process / "comm").read_text("utf-8").strip() == UPSMON.name:
            return f"NUT: an upsmon of this host's own runs, see {_PID}"
    return ""


def versions() -> dict[str, str]:
    """Return NUT's version, for a result."""
    return {"NUT": debian_version("nut-server") or "unknown"}


class Nut:
    """upsd and its driver; a context manager that leaves nothing behind.

    Attributes:
        port: Where upsd listens on 127.0.0.1.
    """

    def __init__(self, settings: Settings = DEFAULT, *, connections: int = 1024) -> None:
        """`connections`: how many clients upsd is to have room for."""
        make_room(connections)
        self.settings = settings
        self.port = free_port()
        # The path of a Unix socket has 107 characters at most.
        self._directory = Path(tempfile.mkdtemp(prefix="nut-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        self._monitors: list[subprocess.Popen[bytes]] = []
        self._told: list[Told] = []
        self._reader: threading.Thread | None = None
        self._changes = 0

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process, and remove what they wrote."""
        if self._monitors:
            # Only that of one of ours: see `missing`.
            with contextlib.suppress(OSError):
                _PID.unlink()
        for process in (*self._monitors, *self._processes):
            # upsmon is two processes, in a session of their own.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._monitors.clear()
        self._processes.clear()
        if self._reader is not None:
            with self._fifo.open("w") as fifo:
                fifo.write("end\n")
            self._reader.join()
            self._reader = None
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def upsd(self) -> int:
        """The process id of upsd."""
        return self._processes[1].pid

    @property
    def driver(self) -> int:
        """The process id of the driver."""
        return self._processes[0].pid

    def monitors(self) -> list[tuple[int, ...]]:
        """Return the process ids of every upsmon: each is a root's stub and the one that polls."""
        return [(each.pid, *_children(each.pid)) for each in self._monitors]

    def start_monitors(self, count: int) -> None:
        """Start upsmon `count` times, spread over one interval, and wait until they poll."""
        if self._reader is None:
            os.mkfifo(self._fifo)
            # For reading and writing: its end never comes, whoever closes it.
            fifo = os.fdopen(os.open(self._fifo, os.O_RDWR), "rb")
            self._reader = threading.Thread(target=self._read, args=(fifo,), daemon=True)
            self._reader.start()
        began = time.monotonic()
        for at in range(count):
            due = began + at * self.settings.poll / count
            time.sleep(max(0.0, due - time.monotonic()))
            self._monitors.append(
                self._run(UPSMON, "-F", "-P", _NO_PID, place=self._monitor_place())
            )
        wanted = f"NUMLOGINS ups {len(self._monitors)}"
        eventually(
            "NUT: every upsmon has logged in", lambda: self.ask("GET NUMLOGINS ups") == wanted
        )
        # Its first poll tells no news; the second is an interval later.
        time.sleep(self.settings.poll + 1)

    def lose_mains(self) -> float:
        """Let the UPS be on battery; return when the driver's file said so (CLOCK_MONOTONIC).

        Whoever measures waits a random part of the intervals before, or all runs are one.
        """
        return self._set(ON_BATTERY)

    def restore_mains(self) -> float:
        """Let the UPS be on mains again; return when the driver's file said so."""
        return self._set(ON_MAINS)

    def told(self, notice: str, since: float, *, timeout: float = PATIENCE) -> list[float]:
        """Return how many seconds after `since` each upsmon told of `notice`, in its order.

        `ONBATT` and `ONLINE` are what it tells of; whoever has not within `timeout` is left out.
        """
        until = time.monotonic() + timeout
        while True:
            first: dict[int, float] = {}
            for each in list(self._told):
                if each.notice == notice and each.at >= since:
                    first.setdefault(each.monitor, each.at - since)
            if len(first) >= len(self._monitors) or time.monotonic() > until:
                return sorted(first.values())
            time.sleep(0.02)

    def ask(self, question: str) -> str:
        """Return upsd's answer to one line of its protocol; empty while it is down."""
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection,
        ):
            connection.sendall(f"{question}\n".encode())
            return connection.makefile().readline().rstrip("\n")
        return ""

    @property
    def _fifo(self) -> Path:
        return self._directory / "told"

    def _start(self) -> None:
        place, user = self._directory, getpass.getuser()
        _write(place / "upsd.conf", f"LISTEN 127.0.0.1 {self.port}\n")
        _write(place / "upsd.users", _USERS)
        poll = f"pollinterval = {self.settings.driver_poll}\n"
        _write(place / "ups.conf", f"{poll}[ups]\ndriver = dummy-ups\nport = {place}/ups.dev\n")
        self._set(ON_MAINS)
        self._processes.append(self._run(DRIVER, "-F", "-a", "ups", "-u", user))
        eventually("NUT: the driver's socket", (place / "dummy-ups-ups").exists)
        self._processes.append(self._run(UPSD, "-F", "-u", user))
        wanted = f'VAR ups ups.status "{ON_MAINS}"'
        eventually("NUT: upsd serves the UPS", lambda: self.ask("GET VAR ups ups.status") == wanted)

    def _set(self, status: str) -> float:
        fresh = self._directory / "ups.new"
        _write(fresh, f"battery.charge: 90\nups.status: {status}\n")
        # The driver reads again what has another time, in whole seconds.
        self._changes += 1
        os.utime(fresh, (self._changes, self._changes))
        fresh.rename(self._directory / "ups.dev")
        return time.monotonic()

    def _monitor_place(self) -> Path:
        number = len(self._monitors)
        place = self._directory / f"monitor-{number}"
        place.mkdir()
        settings = {
            "port": self.port,
            "place": place,
            "user": getpass.getuser(),
            "poll": self.settings.poll,
            "number": number,
            "told": self._fifo,
        }
        flags = "".join(f"NOTIFYFLAG {notice} EXEC\n" for notice in _NOTICES)
        _write(place / "upsmon.conf", _UPSMON_CONF.format(**settings) + flags)
        return place

    def _read(self, fifo: IO[bytes]) -> None:
        with fifo:
            for line in fifo:
                words = line.decode().split()
                if words == ["end"]:
                    return
                self._told.append(Told(int(words[0]), words[1], time.monotonic()))

    def _run(self, *command: Path | str, place: Path | None = None) -> subprocess.Popen[bytes]:
        place = place or self._directory
        variables = ("NUT_CONFPATH", "NUT_STATEPATH", "NUT_ALTPIDPATH")
        with (place / f"{Path(command[0]).name}.log").open("ab") as log:
            return subprocess.Popen(
                list(map(str, command)),
                env={**os.environ, **dict.fromkeys(variables, str(place))},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def _children(pid: int) -> tuple[int, ...]:
    with contextlib.suppress(FileNotFoundError):
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
        return tuple(map(int, text.split()))
    return ()


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)
