"""A real apcupsd, with a Smart-UPS on a pseudo-terminal for its serial line.

    with SmartUps() as ups, Apcupsd(ups.line) as apcupsd:
        ups.say(status=ONBATT | LOWBATT, charge=12)

apcupsd runs no command but `true` in place of its scripts: it can't switch anything off.
"""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import tty
from pathlib import Path
from typing import TYPE_CHECKING, Self

from daemons import eventually, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).parents[2]
# Debian's apcupsd conflicts with nut-client: .ci/run unpacks it beside.
APCUPSD = next(
    (
        path
        for path in (
            Path("/sbin/apcupsd"),
            REPOSITORY / ".cache" / "apcupsd" / "sbin" / "apcupsd",
        )
        if path.exists()
    ),
    REPOSITORY / ".cache" / "apcupsd" / "sbin" / "apcupsd",
)
HOW_TO_GET_IT = (
    "apcupsd; or, beside nut-client: apt-get download apcupsd && dpkg -x apcupsd_*.deb "
    ".cache/apcupsd && apt install libusb-0.1-4"
)

# Of the status byte that a Smart-UPS sends.
CAL, TRIM, BOOST, ONLINE, ONBATT, OVERLOAD, LOWBATT, REPLACEBATT = (1 << bit for bit in range(8))


class SmartUps:
    """The far end of a serial line: it answers the questions of APC's Smart protocol.

    Attributes:
        line: The path of the near end.
        silent: Whether it answers nothing, like a line that is cut.
    """

    def __init__(self) -> None:
        self._far, self._near = pty.openpty()
        tty.setraw(self._near)
        self.line = os.ttyname(self._near)
        self.silent = False
        self._answers = {"\x01": "Smart-UPS 1000", "n": "AS0012345678", "b": "652.13.I"}
        self.say()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._near, b"\x04")  # the last question
        self._thread.join()
        os.close(self._far)
        os.close(self._near)

    def say(
        self,
        status: int = ONLINE,
        charge: float = 98,
        minutes: int = 45,
        battery: float = 27.2,
        line: float = 230.4,
    ) -> None:
        """Let it say these from now on; what is left out, as on good mains."""
        self._answers |= {
            "Q": f"{status:02X}",
            "f": f"{charge:05.1f}",
            "j": f"{minutes:04d}:",
            "B": f"{battery:04.1f}",
            "L": f"{line:05.1f}",
        }

    def _serve(self) -> None:
        while (question := os.read(self._far, 1).decode("latin-1")) != "\x04":
            if self.silent:
                continue
            if question == "Y":
                answer = "SM"
            elif question == "a":
                answer = "3.!$%+#." + "".join(self._answers)
            else:
                answer = self._answers.get(question, "NA")
            os.write(self._far, f"{answer}\r\n".encode())


class Apcupsd:
    """apcupsd on `line`, with its NIS on loopback; a context manager that leaves nothing behind.

    Attributes:
        port: Where its NIS listens on 127.0.0.1; the same after a restart.
        settings: Further lines of apcupsd.conf.
    """

    def __init__(self, line: str, *settings: str) -> None:
        self.port = free_port()
        self._directory = Path(tempfile.mkdtemp(prefix="apcupsd-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._configure(line, settings)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start it, and wait until it has heard from its UPS."""
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(APCUPSD, "-b"),
                    *("-f", self._directory / "apcupsd.conf"),
                    *("-P", self._directory / "pid"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.await_status(lambda said: bool(said.get("STATUS")))

    def stop(self) -> None:
        """Kill it: its connections are reset, its port is closed."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """End it, and remove what it wrote."""
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it hang."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        # Each of its threads stops when it is its turn: until then it may still answer.
        eventually("apcupsd stands still", self._stands_still)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _stands_still(self) -> bool:
        assert self._process is not None
        threads = Path(f"/proc/{self._process.pid}/task").glob("*/stat")
        return all(each.read_text("utf-8").rpartition(")")[2].split()[0] == "T" for each in threads)

    def status(self) -> dict[str, str]:
        """Return what it says; nothing while it is down."""
        return dict(
            (part.strip() for part in record.decode().split(":", 1))
            for record in records(self.answer())
        )

    def answer(self) -> bytes:
        """Return its answer to `status`, as sent; nothing while it is down."""
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection,
        ):
            connection.sendall(b"\x00\x06status")
            said = b""
            while not said.endswith(b"\x00\x00") and (chunk := connection.recv(4096)):
                said += chunk
            return said
        return b""

    def await_status(self, holds: Callable[[dict[str, str]], bool]) -> None:
        """Wait until what it says is so; it asks its UPS once a second."""
        eventually("apcupsd says so", lambda: (said := self.status()) and holds(said), within=60)

    def _configure(self, line: str, settings: tuple[str, ...]) -> None:
        control = self._directory / "apccontrol"
        control.write_text('#!/bin/sh\necho "$1" >>"${0%/*}/events-told"\nexit 0\n')
        control.chmod(0o700)
        places = ("LOCKFILE", "SCRIPTDIR", "PWRFAILDIR", "NOLOGINDIR")
        (self._directory / "apcupsd.conf").write_text(
            "\n".join(
                [
                    "## apcupsd.conf v1.1 ##",
                    "UPSNAME desk",
                    "UPSCABLE smart",
                    "UPSTYPE apcsmart",
                    f"DEVICE {line}",
                    "POLLTIME 1",
                    *(f"{place} {self._directory}" for place in places),
                    f"EVENTSFILE {self._directory}/events",
                    f"STATFILE {self._directory}/status",
                    "NETSERVER on",
                    "NISIP 127.0.0.1",
                    f"NISPORT {self.port}",
                    "UPSCLASS standalone",
                    "UPSMODE disable",
                    *settings,
                    "",
                ]
            )
        )


def records(answer: bytes) -> Iterator[bytes]:
    """Yield the texts of an answer of NIS."""
    at = 0
    while at + 2 <= len(answer) and (length := struct.unpack_from(">H", answer, at)[0]):
        yield answer[at + 2 : at + 2 + length]
        at += 2 + length


def framed(lines: list[str]) -> bytes:
    """Return an answer of NIS with these lines, as `apcaccess` prints them."""
    texts = [f"{line}\n".encode() for line in lines]
    return b"".join(struct.pack(">H", len(text)) + text for text in texts) + b"\x00\x00"
