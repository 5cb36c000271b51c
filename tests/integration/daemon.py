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
from benchmarks.daemons import eventually
from powmonman.service.clock import boottime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 30.0

T = TypeVar("T")


def wait_for(what: str, check: Callable[[], T], within: float = PATIENCE) -> T:
    """Return the first true value of `check()`; fail with `what` if none comes in time."""
    return eventually(what, check, within)


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
        self._began = 0
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
        self._began = len(self.log)
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
            wait_for("it stands still", self._stands_still)
            yield
        finally:
            self.signal(signal.SIGCONT)

    def _stands_still(self) -> bool:
        threads = Path(f"/proc/{self.pid}/task").glob("*/stat")
        try:
            states = [stat.read_text("utf-8").rpartition(")")[2].split()[0] for stat in threads]
        except (FileNotFoundError, ProcessLookupError):
            return False  # one has just ended
        return set(states) == {"T"}

    def reload(self) -> None:
        """Make it read its configuration again, and wait until it has."""
        with self.says_again(f"reloaded {re.escape(str(self.config))}|reload refused"):
            self.signal(signal.SIGHUP)

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self._output.read_text("utf-8", errors="replace") if self._output.exists() else ""

    def said(self, pattern: str) -> list[str]:
        """Return the lines of its log that match, up to now; `says` if one is still on its way.

        A process writes its log in a thread of its own: what it does may be seen before the line.
        """
        return _matching(self.log, pattern)

    def says(self, pattern: str, within: float = PATIENCE) -> str:
        """Wait for a line that matches, since it was last started, and return the first."""
        return self._wait(pattern, within, self._began, 1)

    @contextlib.contextmanager
    def says_again(self, pattern: str) -> Iterator[None]:
        """Wait at the end of the context for one more line that matches than at its beginning."""
        before = len(self.said(pattern))
        yield
        self._wait(pattern, PATIENCE, 0, before + 1)

    def _wait(self, pattern: str, within: float, since: int, count: int) -> str:
        def found() -> str:
            running = self.running
            if len(lines := _matching(self.log[since:], pattern)) >= count:
                return lines[count - 1]
            assert running, f"{self.directory.name} has ended and never said {pattern!r}"
            return ""

        return wait_for(f"{self.directory.name} says {pattern!r}", found, within)

    def cleanup(self) -> None:
        """End it, whatever it is doing."""
        if self.running:
            self.signal(signal.SIGKILL)
            self.ended()


def _matching(log: str, pattern: str) -> list[str]:
    return [line for line in log.splitlines() if re.search(pattern, line)]


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
