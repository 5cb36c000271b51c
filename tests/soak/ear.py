"""Hears what a process logs, while it writes: phrases, lines and bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.integration.daemon import Daemon

LOST, BACK = b"on battery \xc2\xb7 outage", b"mains are back \xc2\xb7 outage"
FOUND, REHEARSED = b"server found", b"would shut down now"
RECOVERED = b"recovery is complete: 1 back"
PHRASES = (LOST, BACK, FOUND, REHEARSED, RECOVERED)


class Ear:
    """Reads what a process logs as it grows, once, and counts lines, bytes and phrases."""

    def __init__(self, daemon: Daemon) -> None:
        self._path = daemon.directory / "output"
        self._at = 0
        self._rest = b""
        self._said = dict.fromkeys(PHRASES, 0)
        self.lines = 0
        self.bytes = 0

    def heard(self, phrase: bytes) -> bool:
        """Whether it has said `phrase` since it was last asked to listen."""
        self._read()
        return self._said[phrase] > 0

    def listen(self) -> None:
        """Forget what it has said so far."""
        self._read()
        self._said = dict.fromkeys(PHRASES, 0)

    def _read(self) -> None:
        if not self._path.exists() or self._path.stat().st_size <= self._at:
            return
        with self._path.open("rb") as file:
            file.seek(self._at)
            new = file.read()
        self._at += len(new)
        self.bytes += len(new)
        self.lines += new.count(b"\n")
        whole, _, self._rest = (self._rest + new).rpartition(b"\n")
        for phrase in PHRASES:
            self._said[phrase] += whole.count(phrase)
