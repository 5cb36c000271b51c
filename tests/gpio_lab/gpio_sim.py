"""A GPIO chip made by the kernel module gpio-sim, and the wires on its lines. Needs root.

The module lets a pull that a program asks for move the level, even of a line that the outside
drives. So a driven line is driven again every millisecond: the level that a real source would
hold is back long before anybody looks.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Self

CONFIGFS = Path("/sys/kernel/config/gpio-sim")
LINES = 54


class GpioSimError(Exception):
    """This kernel can't simulate a GPIO chip; the message says what to do."""


class Chip:
    """One simulated chip with the lines of a Raspberry Pi. Context manager."""

    def __init__(self, group: int, name: str = "powmonman") -> None:
        self._group = group
        self._home = CONFIGFS / name
        self._driven: dict[int, bytes] = {}
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._source = threading.Thread(target=self._keep_driving, daemon=True)

    def __enter__(self) -> Self:
        _prepare_kernel()
        if self._home.exists():
            self._remove()
        (self._home / "bank0").mkdir(parents=True)
        (self._home / "bank0" / "num_lines").write_text(f"{LINES}\n")
        (self._home / "bank0" / "label").write_text("pinctrl-bcm2711\n")
        self.insert()
        self._source.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._source.join()
        self._remove()

    @property
    def device(self) -> Path:
        """The chip's device file."""
        return Path("/dev") / (self._home / "bank0" / "chip_name").read_text().strip()

    @property
    def number(self) -> str:
        """N of /dev/gpiochipN."""
        return self.device.name.removeprefix("gpiochip")

    def insert(self) -> None:
        """Make the chip appear, usable by the group."""
        (self._home / "live").write_text("1\n")
        if shutil.which("udevadm"):
            subprocess.run(["udevadm", "settle"], check=False)
        for _ in range(200):
            if self.device.exists():
                break
            time.sleep(0.01)
        self.permit(self._group)

    def pull_out(self) -> None:
        """Make the chip disappear, whoever uses it."""
        with self._lock:
            (self._home / "live").write_text("0\n")

    def permit(self, group: int) -> None:
        """Let root and `group` use the chip, and nobody else."""
        os.chown(self.device, 0, group)
        self.device.chmod(0o660)

    def wire(self, line: int, level: str) -> float:
        """Drive the line high or low, or cut its wire; return when (monotonic seconds)."""
        with self._lock:
            self._driven.pop(line, None)
            pull = {"high": b"pull-up", "low": b"pull-down", "cut": b"pull-down"}[level]
            if level != "cut":
                self._driven[line] = pull
            self._pull(line, pull)
            return time.monotonic()

    def hold(self, line: int, level: str) -> None:
        """Set the level once, for a line whose pull nobody turns: costs no processor time."""
        with self._lock:
            self._driven.pop(line, None)
            self._pull(line, b"pull-up" if level == "high" else b"pull-down")

    def _pull(self, line: int, pull: bytes) -> None:
        device = (self._home / "dev_name").read_text().strip()
        path = f"/sys/devices/platform/{device}/{self.device.name}/sim_gpio{line}/pull"
        with contextlib.suppress(OSError):
            Path(path).write_bytes(pull)

    def _keep_driving(self) -> None:
        # A wire is never late: on a busy machine this thread would be.
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        while not self._done.wait(0.001 if self._driven else 0.1):
            with self._lock:
                for line, pull in self._driven.items():
                    self._pull(line, pull)

    def _remove(self) -> None:
        (self._home / "live").write_text("0\n")
        (self._home / "bank0").rmdir()
        self._home.rmdir()


def _prepare_kernel() -> None:
    if os.geteuid():
        raise GpioSimError("only root can make a simulated chip: run this with sudo")
    if not CONFIGFS.is_dir():
        subprocess.run(["modprobe", "gpio-sim"], check=False, capture_output=True)
    if not CONFIGFS.parent.is_mount():
        subprocess.run(
            ["mount", "-t", "configfs", "configfs", str(CONFIGFS.parent)],
            check=False,
            capture_output=True,
        )
    if not CONFIGFS.is_dir():
        raise GpioSimError(
            "this kernel has no gpio-sim (CONFIG_GPIO_SIM): see docs/gpio-lab.md for others"
        )
