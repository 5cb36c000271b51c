"""Where log lines go: the journal under systemd, the terminal otherwise, a file on request.

The journal is spoken to in its native protocol, for levels and for fields one can search by
(`journalctl POWMONMAN_OUTAGE=ID`). Nothing here may hold up a decision: a journal that does not
take a line at once loses it, and a file and a terminal are written by threads of their own, so that
a hanging disk stops nobody.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import os
import queue
import socket
import stat
import sys
import threading
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO, cast

if TYPE_CHECKING:
    from powmonman.config.client_schema import Log

JOURNAL = "/run/systemd/journal/socket"
MOST_LINES = 1000
CLOSING = 1.0
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}
_COLOURS = {logging.WARNING: "\033[33m", logging.ERROR: "\033[31m"}
_FIELDS = ("outage", "ups", "host")


class JournalHandler(logging.Handler):
    """Send records to systemd-journald."""

    def __init__(self, path: str = JOURNAL) -> None:
        super().__init__()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._socket.connect(path)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record, or lose it: waiting would be worse."""
        fields: dict[str, Any] = {
            "MESSAGE": self.format(record),
            "PRIORITY": _PRIORITIES.get(record.levelno, 3),
            "SYSLOG_IDENTIFIER": record.name,
        }
        for name in _FIELDS:
            if value := getattr(record, name, ""):
                fields[f"POWMONMAN_{name.upper()}"] = value
        datagram = b"".join(_field(name, str(value)) for name, value in fields.items())
        with contextlib.suppress(OSError):
            self._socket.send(datagram)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        super().close()


def _field(name: str, value: str) -> bytes:
    data = value.encode(errors="replace")
    if b"\n" not in data:
        return b"%b=%b\n" % (name.encode(), data)
    return b"%b\n%b%b\n" % (name.encode(), len(data).to_bytes(8, "little"), data)


def under_journal() -> bool:
    """Whether standard error is connected to the journal (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        device, inode = os.environ.get("JOURNAL_STREAM", "").split(":")
        stream = os.fstat(sys.stderr.fileno())
        return (stream.st_dev, stream.st_ino) == (int(device), int(inode))
    except (ValueError, OSError):
        return False


class _Terminal(logging.Formatter):
    def __init__(self, *, colour: bool) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        colour = _COLOURS.get(record.levelno) if self._colour else None
        return f"{colour}{line}\033[0m" if colour else line


def colour_wanted(stream: Any) -> bool:
    """Whether `stream` is a terminal and nobody asked for no colour (no-color.org)."""
    return bool(stream.isatty()) and not os.environ.get("NO_COLOR")


class Logs:
    """The handlers that are in force; `apply` replaces them, on start and on reload."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)
        self._logger.propagate = False

    def apply(self, config: Log) -> None:
        """Log as `config` says. A file that can't be opened is reported, and done without."""
        self.close()
        self._logger.setLevel(config.level.upper())
        self._logger.addHandler(_console())
        if config.file:
            try:
                self._logger.addHandler(_Patient(_file(config)))
            except OSError as error:
                self._logger.error(
                    "can't log to %s: %s · log.file is ignored", config.file, error.strerror
                )

    def close(self) -> None:
        """Write out what is queued and let go of everything."""
        for handler in list(self._logger.handlers):
            self._logger.removeHandler(handler)
            handler.close()


class _Patient(logging.Handler):
    """Hands lines to a handler that may block, in a thread of its own; too many are lost.

    `logging.handlers.QueueListener` would wait for a disk that hangs when it is stopped, and its
    module brings pickle and more into the memory of every host.
    """

    def __init__(self, handler: logging.Handler) -> None:
        super().__init__()
        self._lines: queue.Queue[logging.LogRecord | None] = queue.Queue(maxsize=MOST_LINES)
        self._handler = handler
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line if there is room, with what its arguments are now."""
        line = copy.copy(record)
        try:
            line.msg, line.args = self.format(record), None
        except Exception:  # noqa: BLE001 (a line that can't be written ends nobody)
            self.handleError(record)
            return
        line.exc_info = line.exc_text = line.stack_info = None
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(line)

    def _run(self) -> None:
        while (record := self._lines.get()) is not None:
            # Not handle(): its lock, held by a write that hangs, would hold up the process's end.
            self._handler.emit(record)
        self._handler.close()

    def close(self) -> None:
        """Wait for what is queued, but not for ever."""
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=CLOSING)
            self._thread.join(CLOSING)
        super().close()


def _file(config: Log) -> logging.Handler:
    path = config.file
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise OSError(0, "not a regular file")
    from logging.handlers import RotatingFileHandler

    handler = RotatingFileHandler(
        path, maxBytes=config.file_kib * 1024, backupCount=config.file_keep, encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    return handler


def _console() -> logging.Handler:
    if under_journal():
        try:
            return JournalHandler()
        except OSError:
            pass
    handler = logging.StreamHandler(_unbuffered())
    handler.setFormatter(_Terminal(colour=colour_wanted(sys.stderr)))
    # A terminal is stopped by Ctrl-S, a pipe by whoever does not read it.
    return _Patient(handler)


def _unbuffered() -> TextIO:
    """Return standard error without its buffer: the interpreter's end would wait for a full one."""
    try:
        raw = io.FileIO(sys.stderr.fileno(), "w", closefd=False)
    except (OSError, ValueError):
        return sys.stderr
    return io.TextIOWrapper(
        cast("BinaryIO", raw), "utf-8", errors="backslashreplace", write_through=True
    )
