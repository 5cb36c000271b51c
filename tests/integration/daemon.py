"""One process of a fleet, its log, and waiting for what it does."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

import powmonman
from powmonman.service.clock import boottime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 20.0

T = TypeVar("T")


def wait_for(what: str, check: Callable[[], T], within: float = PATIENCE) -> T:
    """Return the first true value of `check()`; fail with `what` if none comes in time."""
    end = time.monotonic() + within
    while not (value := check()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {within:g} s: {what}")
        time.sleep(0.02)
    return value


def sleep_until(moment: float) -> None:
    """Wait for a moment on the clock that counts."""
    time.sleep(max(0.0, moment - boottime()))


class Daemon:
    """One process, started with `powmonman KIND --config FILE`."""

    def __init__(self, kind: str, directory: Path, settings: dict[str, Any]) -> None:
        self.kind = kind
        self.directory = directory
        self.config = directory / f"{kind}.yml"
        self.state = Path(settings["state_dir"])
        self.runtime = Path(settings["runtime_dir"])
        self.environment: dict[str, str] = {}
        self.prefix: list[str] = []
        self.settings = settings
        self._output = directory / "output"
        self._process: subprocess.Popen[bytes] | None = None
        self.configure()

    def configure(self, **changes: Any) -> None:
        """Write the configuration file; a key with dots goes into its section."""
        for key, value in changes.items():
            *sections, last = key.split("__")
            section = self.settings
            for name in sections:
                section = section.setdefault(name, {})
            section[last] = value
        self.config.write_text(yaml.safe_dump(self.settings), encoding="utf-8")

    def begins_with(self, script: str) -> None:
        """Let it run `script` before anything of its own."""
        startup = self.directory / "startup"
        startup.mkdir()
        (startup / "sitecustomize.py").write_text(script, encoding="utf-8")
        self.environment["PYTHONPATH"] = f"{startup}:{program()}"

    def start(self) -> Daemon:
        """Start it, and return at once."""
        assert not self.running
        with self._output.open("ab") as output:
            program = [sys.executable, "-m", "powmonman"]
            self._process = subprocess.Popen(
                [*self.prefix, *program, self.kind, "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=clean_environment(self.environment),
            )
        return self

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it without a chance to say anything."""
        self.signal(signal.SIGKILL)
        self.ended()

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        """Wait for its end; return its exit code."""
        assert self._process is not None
        return self._process.wait(PATIENCE)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stop its clock for as long as the context lasts."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def reload(self) -> None:
        """Make it read its configuration again, and wait until it has."""
        before = len(self.said("reload"))
        self.signal(signal.SIGHUP)
        self._wait_for_more("reload", before + 1, PATIENCE)

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self._output.read_text("utf-8", errors="replace") if self._output.exists() else ""

    def said(self, pattern: str) -> list[str]:
        """Return the lines of its log that match."""
        return [line for line in self.log.splitlines() if re.search(pattern, line)]

    def says(self, pattern: str, within: float = PATIENCE) -> str:
        """Wait for a line that matches, and return it."""
        self._wait_for_more(pattern, 1, within)
        return self.said(pattern)[0]

    def says_again(self, pattern: str) -> str:
        """Wait for one more line that matches than there is now, and return it."""
        before = len(self.said(pattern))
        self._wait_for_more(pattern, before + 1, PATIENCE)
        return self.said(pattern)[before]

    def _wait_for_more(self, pattern: str, count: int, within: float) -> None:
        def found() -> bool:
            running = self.running
            if len(self.said(pattern)) >= count:
                return True
            assert running, f"{self.directory.name} has ended and never said {pattern!r}"
            return False

        wait_for(f"{self.directory.name} says {pattern!r}", found, within)

    def cleanup(self) -> None:
        """End it, whatever it is doing."""
        if self.running:
            self.signal(signal.SIGKILL)
            self.ended()


def powmonman_command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `powmonman ARGUMENTS` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "powmonman", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=clean_environment(environment),
    )


def clean_environment(changes: dict[str, str]) -> dict[str, str]:
    """Return an environment without what the tests themselves may run under."""
    foreign = {"NOTIFY_SOCKET", "JOURNAL_STREAM", "WATCHDOG_USEC", "POWMONMAN_CA_PASSPHRASE"}
    inherited = {name: value for name, value in os.environ.items() if name not in foreign}
    return {**inherited, "PYTHONPATH": program(), "PYTHONSAFEPATH": "1", **changes}


def program() -> str:
    """Return where the package is that is tested."""
    return str(Path(powmonman.__path__[0]).parent)
