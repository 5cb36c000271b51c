"""Where lines go, in which form, and that nothing waits for them."""

from __future__ import annotations

import io
import logging
import os
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from powmonman.config.schema import Log
from powmonman.service import logs
from powmonman.service.logs import JournalHandler, Logs, colour_wanted, under_journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAME = "powmonman.logtest"


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    logger = logging.getLogger(NAME)
    yield logger
    Logs(NAME).close()
    logger.propagate, logger.level = True, logging.NOTSET


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    """Return the socket on which a journal listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "journal"))
        sock.settimeout(5)
        yield sock


@pytest.fixture
def to_journal(log: logging.Logger, journal: socket.socket) -> Iterator[logging.Logger]:
    handler = JournalHandler(journal.getsockname())
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    yield log
    log.removeHandler(handler)
    handler.close()


class TestTheJournal:
    def test_a_line_carries_its_level_and_what_one_can_search_by(
        self, to_journal: logging.Logger, journal: socket.socket
    ) -> None:
        to_journal.warning("on battery · %s", "3f2a", extra={"outage": "3f2a77", "ups": "rack"})
        assert journal.recv(4096).decode().splitlines() == [
            "MESSAGE=on battery · 3f2a",
            "PRIORITY=4",
            f"SYSLOG_IDENTIFIER={NAME}",
            "POWMONMAN_OUTAGE=3f2a77",
            "POWMONMAN_UPS=rack",
        ]

    @pytest.mark.parametrize(
        ("level", "priority"),
        [("debug", 7), ("info", 6), ("warning", 4), ("error", 3), ("critical", 3)],
    )
    def test_levels_are_syslogs(
        self, to_journal: logging.Logger, journal: socket.socket, level: str, priority: int
    ) -> None:
        getattr(to_journal, level)("x")
        assert f"PRIORITY={priority}\n" in journal.recv(4096).decode()

    def test_a_line_break_forges_no_field(
        self, to_journal: logging.Logger, journal: socket.socket
    ) -> None:
        to_journal.info("a\nPRIORITY=0")
        text = b"a\nPRIORITY=0"
        assert journal.recv(4096).startswith(
            b"MESSAGE\n" + len(text).to_bytes(8, "little") + text + b"\nPRIORITY=6\n"
        )

    def test_one_that_takes_nothing_is_not_waited_for(
        self, to_journal: logging.Logger, journal: socket.socket
    ) -> None:
        assert journal
        began = time.monotonic()
        for _ in range(2000):
            to_journal.info("x" * 1000)
        assert time.monotonic() - began < 10

    def test_it_is_known_by_the_stream_that_systemd_names(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with (tmp_path / "stream").open("w", encoding="utf-8") as stream:
            monkeypatch.setattr(sys, "stderr", stream)
            status = os.fstat(stream.fileno())
            for value, expected in (
                (f"{status.st_dev}:{status.st_ino}", True),
                (f"{status.st_dev}:{status.st_ino + 1}", False),
                ("nonsense", False),
                ("", False),
            ):
                monkeypatch.setenv("JOURNAL_STREAM", value)
                assert under_journal() is expected


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestTheTerminal:
    def test_only_a_terminal_has_colours_and_only_if_nobody_minds(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("NO_COLOR", raising=False)
        assert colour_wanted(Screen())
        assert not colour_wanted(io.StringIO())
        monkeypatch.setenv("NO_COLOR", "1")
        assert not colour_wanted(Screen())

    @pytest.mark.parametrize(("stream", "coloured"), [(Screen(), True), (io.StringIO(), False)])
    def test_warnings_stand_out(
        self,
        log: logging.Logger,
        monkeypatch: pytest.MonkeyPatch,
        stream: io.StringIO,
        *,
        coloured: bool,
    ) -> None:
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setattr(sys, "stderr", stream)
        handlers = Logs(NAME)
        handlers.apply(Log())
        log.warning("beware")
        handlers.close()
        line = stream.getvalue()
        assert line.startswith("\033[33m") is coloured
        assert "WARNING beware" in line

    def test_one_that_is_stopped_stops_nobody(
        self, log: logging.Logger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Ctrl-S, or a pipe that nobody reads, must not hold a countdown."""
        monkeypatch.setattr(logs, "CLOSING", 0.1)
        unread, full = os.pipe()
        os.set_blocking(full, False)
        with open(full, "wb", buffering=0) as pipe, open(unread, "rb"):
            while pipe.write(b"x" * 4096):
                pass
            os.set_blocking(full, True)
            monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(pipe, write_through=True))
            handlers = Logs(NAME)
            handlers.apply(Log())
            began = time.monotonic()
            for _ in range(3000):
                log.warning("x")
            handlers.close()
            assert time.monotonic() - began < 10
            os.read(unread, 1 << 20)
            time.sleep(0.2)
            sys.stderr.detach()  # type: ignore[attr-defined]


class TestTheFile:
    def test_lines_reach_it_before_the_end(self, log: logging.Logger, tmp_path: Path) -> None:
        file = tmp_path / "log"
        handlers = Logs(NAME)
        handlers.apply(Log(file=str(file)))
        for number in range(100):
            log.info("line %d", number)
        handlers.close()
        lines = file.read_text("utf-8").splitlines()
        assert [line.rsplit(" ", 2)[-2:] for line in lines] == [
            ["line", str(number)] for number in range(100)
        ]

    def test_only_what_is_wanted_is_logged(self, log: logging.Logger, tmp_path: Path) -> None:
        file = tmp_path / "log"
        handlers = Logs(NAME)
        handlers.apply(Log(file=str(file), level="warning"))
        log.info("quiet")
        log.warning("loud")
        handlers.close()
        assert [line.split()[-1] for line in file.read_text("utf-8").splitlines()] == ["loud"]

    def test_a_reload_moves_to_another(self, log: logging.Logger, tmp_path: Path) -> None:
        handlers = Logs(NAME)
        for name in ("one", "two"):
            handlers.apply(Log(file=str(tmp_path / name)))
            log.info("in %s", name)
        handlers.close()
        assert (tmp_path / "one").read_text("utf-8").endswith("in one\n")
        assert (tmp_path / "two").read_text("utf-8").endswith("in two\n")
        assert log.handlers == []

    def test_a_disk_that_hangs_stops_nobody(
        self, log: logging.Logger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        release = threading.Event()

        def hang(*_: object) -> None:
            release.wait(60)

        monkeypatch.setattr(logging.handlers.RotatingFileHandler, "emit", hang)
        monkeypatch.setattr(logs, "_console", logging.NullHandler)
        monkeypatch.setattr(logs, "CLOSING", 0.1)
        handlers = Logs(NAME)
        handlers.apply(Log(file=str(tmp_path / "log")))
        began = time.monotonic()
        for _ in range(5000):
            log.info("x")
        handlers.apply(Log())
        assert time.monotonic() - began < 10
        release.set()

    @pytest.mark.parametrize("kind", ["link", "directory", "fifo", "missing directory"])
    def test_what_is_no_plain_file_is_reported_and_done_without(
        self,
        log: logging.Logger,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        kind: str,
    ) -> None:
        place = tmp_path / "log"
        make: dict[str, Callable[[], object]] = {
            "link": lambda: place.symlink_to("/etc/hostname"),
            "directory": place.mkdir,
            "fifo": lambda: os.mkfifo(place),
            "missing directory": lambda: None,
        }
        make[kind]()
        if kind == "missing directory":
            place = tmp_path / "nowhere" / "log"
        handlers = Logs(NAME)
        handlers.apply(Log(file=str(place)))
        log.info("on the terminal")
        handlers.close()
        said = capsys.readouterr().err
        assert f"can't log to {place}: " in said
        assert "log.file is ignored" in said
        assert "on the terminal" in said
