"""One input pin through the `RPi.GPIO` API, whichever library of the system provides it.

Two do: RPi.GPIO itself, and rpi-lgpio, its drop-in where RPi.GPIO can't work (Pi 5, kernels from
6.6 on). The runner-up, libgpiod, has two incompatible Python APIs in the supported releases and a
namesake on PyPI. Both come from apt; nothing here needs them to be there before `claim`.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import importlib.metadata
import os
import shutil
import sys
import tempfile
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from types import ModuleType

Pull = Literal["down", "up", "off"]

_MODULE = "RPi.GPIO"
_claimed: set[int] = set()


class InputPin:
    """One GPIO as an input. Any method may raise any `Exception`: the libraries share no base."""

    def __init__(self, bcm: int) -> None:
        self._bcm = bcm
        self._gpio: Any = None
        self._library = ""

    @property
    def library(self) -> str:
        """Name and version of the library that reads the pin; empty before the first claim."""
        return self._library

    @property
    def claimed(self) -> bool:
        """Whether `is_high` may be called."""
        return self._bcm in _claimed and self._gpio is not None

    def claim(self, pull: Pull) -> None:
        """Make the pin an input with this internal resistor; also changes that of a claimed pin."""
        gpio = self._gpio
        if gpio is None:
            gpio = self._gpio = _load()
            # It reads directories: not for each turn of the pull.
            self._library = _identify(gpio)
        gpio.setwarnings(False)
        gpio.setmode(gpio.BCM)
        pulls = {"down": gpio.PUD_DOWN, "up": gpio.PUD_UP, "off": gpio.PUD_OFF}
        gpio.setup(self._bcm, gpio.IN, pull_up_down=pulls[pull])
        _claimed.add(self._bcm)

    def is_high(self) -> bool:
        """Return the level of the claimed pin."""
        return bool(self._gpio.input(self._bcm))

    def release(self) -> None:
        """Give back this pin, and the chip with the last pin. Never raises."""
        gpio, self._gpio = self._gpio, None
        if gpio is None:
            return
        if self._bcm in _claimed:
            _claimed.discard(self._bcm)
            with contextlib.suppress(Exception):
                gpio.cleanup(self._bcm)
        if not _claimed:
            _close(gpio)


def _load() -> ModuleType:
    # lgpio makes its working directory the one of the whole process: go back afterwards.
    here = os.open(".", os.O_PATH | os.O_CLOEXEC)
    try:
        _choose_lgpio_directory()
        return importlib.import_module(_MODULE)
    finally:
        os.fchdir(here)
        os.close(here)


def _choose_lgpio_directory() -> None:
    # lgpio puts a FIFO into its working directory, fails to import where it can't, and keeps the
    # first directory that it was given: so it must be a good one at the first attempt.
    if "lgpio" in sys.modules:
        return
    runtime_directory = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    for directory in (os.environ.get("LG_WD", ""), runtime_directory, "/run/powmonman"):
        if os.access(directory, os.W_OK | os.X_OK):
            os.environ["LG_WD"] = directory
            return
    os.environ["LG_WD"] = directory = tempfile.mkdtemp(prefix="powmonman-lgpio-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)


def _identify(gpio: ModuleType) -> str:
    # rpi-lgpio's VERSION is that of the RPi.GPIO which it emulates.
    name = "rpi-lgpio" if hasattr(gpio, "lgpio") else "RPi.GPIO"
    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{name} (API {getattr(gpio, 'VERSION', 'unknown')})"


def _close(gpio: Any) -> None:
    try:
        gpio.cleanup()
    except Exception:  # noqa: BLE001 - lgpio.error derives from Exception only
        # rpi-lgpio asks the chip for its lines first. One that is gone does not answer; its
        # handle would stay open, and be used again when the chip is back.
        handle, lgpio = getattr(gpio, "_chip", None), getattr(gpio, "lgpio", None)
        if handle is not None and lgpio is not None:
            with contextlib.suppress(Exception):
                lgpio.gpiochip_close(handle)
        sys.modules.pop(_MODULE, None)
