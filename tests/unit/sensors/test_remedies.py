"""From what a library raises to what the admin does next."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from powmonman.sensors.remedies import describe, remedy

if TYPE_CHECKING:
    from pathlib import Path


def missing(name: str) -> ImportError:
    return ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (missing("RPi"), "install it with: apt install python3-rpi-lgpio"),
        (missing("RPi.GPIO"), "python3-rpi.gpio (before)"),
        (missing("lgpio"), "installed but broken (lgpio is missing)"),
        (
            RuntimeError("Cannot determine SOC peripheral base address"),
            "(a Pi 5?); its replacement does: apt install python3-rpi-lgpio",
        ),
        (RuntimeError("This module can only be run on a Raspberry Pi!"), "no Raspberry Pi"),
        (
            NotImplementedError("This module does not understand old-style revision codes"),
            "apt install python3-rpi.gpio",
        ),
        (FileNotFoundError(2, "No such file or directory", ".lgd-nfy-3"), "set LG_WD"),
        (RuntimeError("'bad lineinfo IOCTL'"), "the GPIO chip went away"),
        (RuntimeError("'GPIO busy'"), "gpioinfo names it"),
    ],
)
def test_each_known_failure_has_its_remedy(error: Exception, advice: str) -> None:
    assert advice in remedy(error, 17)


def test_only_gpio4_is_blamed_on_1_wire() -> None:
    busy = RuntimeError("GPIO busy")
    assert "w1-gpio" in remedy(busy, 4)
    assert "w1-gpio" not in remedy(busy, 17)


def test_a_machine_without_a_chip_is_told_so(tmp_path: Path) -> None:
    error = RuntimeError("can not open gpiochip")
    assert remedy(error, 4, tmp_path).startswith("there is no GPIO chip in /dev")


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EACCES, "not in group gpio: usermod -aG gpio powmonman"),
        (errno.EPERM, "DeviceAllow=char-gpiochip rw"),
    ],
)
def test_a_refused_device_is_told_from_a_device_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    (tmp_path / "gpiochip0").touch()

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    assert advice in remedy(RuntimeError("can not open gpiochip"), 4, tmp_path)


def test_what_nobody_foresaw_has_a_next_step_too(tmp_path: Path) -> None:
    (tmp_path / "gpiochip0").touch()
    assert remedy(Exception("unexpected error"), 4, tmp_path).startswith("see what the kernel says")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (Exception("'GPIO busy'"), "GPIO busy"),
        (RuntimeError("No access to /dev/mem.\n Try root!"), "No access to /dev/mem. Try root!"),
        (missing("RPi"), "No module named 'RPi'"),
        (KeyError(), "KeyError"),
    ],
)
def test_an_exception_becomes_one_short_line(error: Exception, line: str) -> None:
    assert describe(error) == line
