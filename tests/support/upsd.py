"""A real upsd with real dummy-ups drivers behind it, on loopback, to be driven by a test.

    with Upsd({"rack": "battery.charge: 83\nups.status: OL\n"}) as upsd:
        upsd.set_status("OB LB")

What a driver is given is `upsc` output, as in NUT's collection of device dumps. Each variable in it
can be set, at once.
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
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from daemons import eventually, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

UPSD = Path("/lib/nut/upsd")  # /usr/sbin/upsd only starts it where /etc/nut/nut.conf says so
DRIVER = Path("/lib/nut/dummy-ups")
ON_MAINS = "battery.charge: 100\nbattery.runtime: 1800\nbattery.voltage: 27.2\nups.status: OL\n"


class Upsd:
    """upsd and one driver for each of `upses`; a context manager that leaves nothing behind.

    Attributes:
        port: Where upsd listens on 127.0.0.1; the same after a restart.
    """

    def __init__(self, upses: Mapping[str, str] | None = None, *, max_age: int = 15) -> None:
        self.port = free_port()
        # Not below pytest's own: the path of a Unix socket has 107 characters at most.
        self._directory = Path(tempfile.mkdtemp(prefix="nut-"))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._upses = dict(upses or {"ups": ON_MAINS})
        self._write(max_age)

    def __enter__(self) -> Self:
        try:
            self.start_upsd()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process, and remove what they wrote."""
        for name in list(self._processes):
            self._end(name)
        shutil.rmtree(self._directory, ignore_errors=True)

    def start_upsd(self) -> None:
        """Start upsd again, and its drivers; what was set stays set."""
        for ups in self._upses:
            if f"driver {ups}" not in self._processes:
                self._run_driver(ups)
        self._run("upsd", [str(UPSD), "-F", "-u", getpass.getuser()])
        for ups in self._upses:
            self._await_reading(ups)

    def stop_upsd(self) -> None:
        """Kill upsd: its connections are closed, its port is free.

        Its drivers go with it: dummy-ups 2.8.0 dies at the first change after its upsd has gone
        ("bit out of range 0 - FD_SETSIZE").
        """
        for name in list(self._processes):
            self._end(name)

    def start_driver(self, ups: str = "ups") -> None:
        """Start the driver of a UPS, and wait until upsd has it; what was set stays set."""
        self._run_driver(ups)
        self._await_reading(ups)

    def stop_driver(self, ups: str = "ups") -> None:
        """Kill the driver of a UPS, and wait until upsd has noticed."""
        self._end(f"driver {ups}")
        self._await(ups, "ERR DRIVER-NOT-CONNECTED")

    @contextlib.contextmanager
    def frozen(self, what: str = "upsd") -> Iterator[None]:
        """Let a process hang: `upsd`, or `driver NAME`."""
        process = self._processes[what]
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def await_stale(self, ups: str = "ups") -> None:
        """Wait until upsd has heard nothing from the driver for its MAXAGE."""
        self._await(ups, "ERR DATA-STALE")

    def set_status(self, words: str, ups: str = "ups") -> None:
        """Let the UPS say of itself what `words` say: `OL CHRG`, `OB LB`."""
        self.set("ups.status", words, ups)

    def set(self, variable: str, value: str, ups: str = "ups") -> None:
        """Let a variable of the dump have a value, and wait until upsd says so.

        Empty: it is gone, and can't be set again.
        """
        expected = f'VAR {ups} {variable} "{value}"' if value else "ERR VAR-NOT-SUPPORTED"
        sent_at = 0.0

        def so() -> bool:
            nonlocal sent_at
            # After a SIGSTOP upsd connects to its driver anew, and says OK to what it then loses.
            if time.monotonic() > sent_at + 1:
                sent_at = time.monotonic()
                said = self.ask(
                    "USERNAME test", "PASSWORD test", f'SET VAR {ups} {variable} "{value}"'
                )
                assert "READONLY" not in said or not value, f"{variable} is not in the dump"
            return self.ask(f"GET VAR {ups} {variable}").startswith(expected)

        eventually(f"{variable} is {value!r}", so)
        lines = self._upses[ups].splitlines(keepends=True)
        line = f"{variable}: {value}\n" if value else ""
        self._upses[ups] = "".join(
            line if each.startswith(f"{variable}:") else each for each in lines
        )

    def ask(self, *questions: str) -> str:
        """Return what upsd answers to lines of its protocol; nothing while it is down."""
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection,
        ):
            connection.sendall("".join(f"{line}\n" for line in (*questions, "LOGOUT")).encode())
            said = b""
            while chunk := connection.recv(4096):
                said += chunk
            return said.decode()
        return ""

    def _await(self, ups: str, answer: str) -> None:
        eventually(
            f"{answer} said of {ups}",
            lambda: self.ask(f"GET VAR {ups} ups.status").startswith(answer),
        )

    def _await_reading(self, ups: str) -> None:
        def read() -> bool:
            said = self.ask(f"GET VAR {ups} ups.status")
            # WAIT is what upsd says of a driver that has not told it all yet.
            return said.startswith("VAR") and '"WAIT"' not in said

        eventually(f"{ups} can be read", read)

    def _write(self, max_age: int) -> None:
        (self._directory / "upsd.conf").write_text(
            f"LISTEN 127.0.0.1 {self.port}\nMAXAGE {max_age}\n"
        )
        (self._directory / "upsd.users").write_text("[test]\npassword = test\nactions = SET\n")
        section = '[{0}]\ndriver = dummy-ups\nport = {1}/{0}.dev\ndesc = "of a test"\n'
        (self._directory / "ups.conf").write_text(
            "".join(section.format(ups, self._directory) for ups in self._upses)
        )
        for path in self._directory.iterdir():
            path.chmod(0o600)

    def _run_driver(self, ups: str) -> None:
        (self._directory / f"{ups}.dev").write_text(self._upses[ups])
        user = getpass.getuser()
        self._run(f"driver {ups}", [str(DRIVER), "-F", "-a", ups, "-u", user])

    def _run(self, name: str, command: list[str]) -> None:
        assert name not in self._processes, f"{name} is running"
        directory = str(self._directory)
        environment = {
            **os.environ,
            "NUT_CONFPATH": directory,
            "NUT_STATEPATH": directory,
            "NUT_ALTPIDPATH": directory,
        }
        with (self._directory / f"{name.replace(' ', '-')}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _end(self, name: str) -> None:
        process = self._processes.pop(name)
        process.kill()
        process.wait()
        if name.startswith("driver "):
            # Left behind by the kill; upsd would take it for a driver that refuses it.
            (self._directory / f"dummy-ups-{name.split()[1]}").unlink(missing_ok=True)
