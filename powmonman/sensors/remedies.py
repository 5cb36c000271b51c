"""What to do when a GPIO can't be read: from the library's exception to the admin's next step."""

from __future__ import annotations

import errno
import os
from pathlib import Path

_INSTALL = (
    "install it with: apt install python3-rpi-lgpio (Raspberry Pi OS since October 2024), "
    "or python3-rpi.gpio (before); a virtual environment needs --system-site-packages"
)
_REPLACE = (
    "RPi.GPIO does not know this board (a Pi 5?); its replacement does: "
    "apt install python3-rpi-lgpio"
)
_FOREIGN = (
    "this is no Raspberry Pi, or the service can't see /proc/device-tree; elsewhere use another "
    "sensor"
)
_ANCIENT = "rpi-lgpio does not know this old board: apt install python3-rpi.gpio"
_NO_CHIP = "there is no GPIO chip in /dev: is this a Raspberry Pi, and did its GPIO driver load?"
_GROUP = (
    "the user of the service is not in group gpio: usermod -aG gpio powmonman, "
    "then restart powmonman-server"
)
_DEVICE_POLICY = "the unit must allow it: DeviceAllow=char-gpiochip rw, DeviceAllow=/dev/gpiomem rw"
_GONE = "the GPIO chip went away or its driver failed; see what the kernel says: dmesg | grep gpio"
_FIFO = "lgpio needs a directory to write to: set LG_WD to one in the unit"
_ELSE = "see what the kernel says: gpioinfo; dmesg | grep gpio"

_BY_TEXT = (
    ("soc peripheral base", _REPLACE),
    ("old-style revision", _ANCIENT),
    ("only be run on a raspberry pi", _FOREIGN),
    (".lgd-nfy", _FIFO),
    (" ioctl", _GONE),
)


def describe(error: Exception) -> str:
    """Return the exception as one short line."""
    text = " ".join(str(error).split())
    if text[:1] == text[-1:] == "'":
        text = text[1:-1]
    return text or type(error).__name__


def remedy(error: Exception, bcm: int, devices: Path = Path("/dev")) -> str:
    """Return what mends `error`, met on GPIO `bcm`, as one clause for an admin.

    Only looks at names and permissions below `devices`; changes nothing.
    """
    if isinstance(error, ImportError):
        return _import_remedy(error)
    text = str(error).lower()
    for part, advice in _BY_TEXT:
        if part in text:
            return advice
    if "busy" in text:
        return _busy_remedy(bcm)
    return _device_remedy(devices)


def _import_remedy(error: ImportError) -> str:
    if (error.name or "").partition(".")[0] == "RPi":
        return _INSTALL
    return f"it is installed but broken ({error.name or 'unknown part'} is missing): {_INSTALL}"


def _busy_remedy(bcm: int) -> str:
    advice = f"something else holds GPIO{bcm}: gpioinfo names it"
    if bcm == 4:
        advice += "; 1-Wire takes GPIO4: remove dtoverlay=w1-gpio from config.txt, or use GPIO17"
    return advice


def _device_remedy(devices: Path) -> str:
    found = sorted(devices.glob("gpiochip*")) + sorted(devices.glob("gpiomem*"))
    if not found:
        return _NO_CHIP
    refusals = [_refusal(path) for path in found]
    if all(refusals):
        # EACCES is the file's mode, EPERM the device policy of the unit.
        return _GROUP if errno.EACCES in refusals else _DEVICE_POLICY
    return _ELSE


def _refusal(path: Path) -> int:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError as error:
        return error.errno or errno.EIO
    return 0
