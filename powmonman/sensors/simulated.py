"""Mains as a file says, for drills, tests and the demo.

The file may be written by `powmonman simulate` or by hand, while it is read:

    mains: off          # on, off or unknown
    charge: 80          # percent, optional
    runtime: 1200       # seconds left on battery, optional
    low_battery: false  # optional

Whatever is wrong with it gives *unknown* and the reason.
"""

from __future__ import annotations

import math
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from powmonman.core.power import Reading, unknown

if TYPE_CHECKING:
    from powmonman.config.sources import Simulated

# A reading takes a few dozen bytes; the bound keeps the parser short, whatever it is fed.
MAX_BYTES = 1024

# YAML 1.1 takes on, off, yes and no for booleans, YAML 1.2 does not, and editors write either.
_WORDS = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}
_KEYS = ("mains", "charge", "runtime", "low_battery")

_Stamp = tuple[int, int, int, int]


class SimulationError(ValueError):
    """The file does not say what the mains are to be."""


class SimulatedSensor:
    """Reads the file only when it has changed."""

    def __init__(self, settings: Simulated) -> None:
        self._path = Path(settings.file)
        self._poll = settings.poll
        self._stamp: _Stamp | None = None
        self._settled = False
        self._reading = unknown("not read yet")

    patience = 5.0
    verify_takes = 0.0

    @property
    def poll(self) -> float:
        """Seconds between two calls of `read`."""
        return self._poll

    def describe(self) -> str:
        """Return one line for the log."""
        return f"simulated: mains as {self._path} says, looked at every {self._poll:g} s"

    async def read(self) -> Reading:
        """Return what the file says now."""
        try:
            stamp = _stamp(self._path.stat())
            if stamp != self._stamp or not self._settled:
                self._load()
        except OSError as error:
            self._stamp = None
            self._reading = self._faulty((error.strerror or str(error)).lower())
        return self._reading

    async def verify(self) -> Reading:
        """Return `read()`: a file has no wire to check."""
        return await self.read()

    def close(self) -> None:
        """Forget the file; nothing is held open between reads."""
        self._stamp = None

    def _load(self) -> None:
        stamp, data = _contents(self._path)
        # Two writes in one tick of the file system's clock leave the same stamp, so a changed
        # file is read once more at the next poll.
        self._settled = stamp == self._stamp
        self._stamp = stamp
        try:
            self._reading = parse(data)
        except SimulationError as error:
            self._reading = self._faulty(str(error))

    def _faulty(self, why: str) -> Reading:
        return unknown(
            f"{self._path}: {why}; to mend it: powmonman simulate on --file {self._path}"
        )


def parse(data: bytes) -> Reading:
    """Return the reading that the bytes of a file hold.

    Raises:
        SimulationError: It holds none; the message says why, on one line.
    """
    values = _scalars(_text(data))
    if "mains" not in values:
        raise SimulationError("no key 'mains' (on, off or unknown)")
    word = values["mains"].lower()
    if word != "unknown" and word not in _WORDS:
        raise SimulationError(f"mains: {word[:20]!r} is none of on, off, unknown")
    return Reading(
        mains=_WORDS.get(word),
        charge=_number(values, "charge", 100.0),
        runtime=_number(values, "runtime", math.inf),
        low_battery=_flag(values, "low_battery"),
        reason="the file says unknown" if word == "unknown" else "",
    )


def render(
    mains: str, charge: float | None = None, runtime: float | None = None, *, low_battery: bool
) -> str:
    """Return the text of a file that `parse` understands; `mains` is on, off or unknown."""
    lines = [f"mains: {mains}"]
    if charge is not None:
        lines.append(f"charge: {charge:g}")
    if runtime is not None:
        lines.append(f"runtime: {runtime:g}")
    if low_battery:
        lines.append("low_battery: true")
    return "\n".join(lines) + "\n"


def _contents(path: Path) -> tuple[_Stamp, bytes]:
    # Without O_NONBLOCK a FIFO of this name would block the server for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("not a regular file")
        return _stamp(status), os.read(descriptor, MAX_BYTES + 1)
    finally:
        os.close(descriptor)


def _stamp(status: os.stat_result) -> _Stamp:
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _text(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise SimulationError(f"longer than {MAX_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise SimulationError("not a text file") from None


def _scalars(text: str) -> dict[str, str]:
    try:
        return _pairs(_words(text))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SimulationError(f"line {line}: {error.problem or 'not YAML'}") from None
    except (yaml.YAMLError, OverflowError):
        raise SimulationError("not YAML") from None


def _words(text: str) -> list[yaml.ScalarEvent]:
    # Events instead of values: a scalar keeps the letters that were typed, and whatever nests
    # ends the reading at once, however deep it goes.
    words: list[yaml.ScalarEvent] = []
    inside: bool | None = None
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.MappingStartEvent) and inside is None:
            inside = True
        elif isinstance(event, yaml.MappingEndEvent):
            inside = False
        elif isinstance(event, yaml.ScalarEvent) and inside:
            words.append(event)
        elif isinstance(event, yaml.NodeEvent):
            raise SimulationError(f"line {_line(event)}: not a plain 'key: value'")
    if inside is None:
        raise SimulationError("empty")
    return words


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _pairs(words: list[yaml.ScalarEvent]) -> dict[str, str]:
    values: dict[str, str] = {}
    for key, value in zip(words[::2], words[1::2], strict=True):
        if key.value not in _KEYS:
            raise SimulationError(f"line {_line(key)}: unknown key (known: {', '.join(_KEYS)})")
        if key.value in values:
            raise SimulationError(f"line {_line(key)}: {key.value} is there twice")
        values[key.value] = value.value
    return values


def _number(values: dict[str, str], key: str, maximum: float) -> float | None:
    text = values.get(key, "")
    if text in {"", "~", "null"}:
        return None
    try:
        number = float(text)
    except ValueError:
        raise SimulationError(f"{key}: {text[:20]!r} is no number") from None
    if not math.isfinite(number) or not 0 <= number <= maximum:
        bound = f"0 to {maximum:g}" if math.isfinite(maximum) else "0 or more"
        raise SimulationError(f"{key}: {text[:20]} is not {bound}")
    return number


def _flag(values: dict[str, str], key: str) -> bool:
    text = values.get(key, "").lower()
    if text in {"", "~", "null"}:
        return False
    if text not in _WORDS:
        raise SimulationError(f"{key}: {text[:20]!r} is neither true nor false")
    return _WORDS[text]
