"""What the figures were measured on, and how busy it was."""

from __future__ import annotations

import datetime as dt
import os
import platform
import ssl
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import powmonman

_CPUINFO = Path("/proc/cpuinfo")
# How a Raspberry Pi tells what it is.
_MODEL = Path("/proc/device-tree/model")


def described() -> dict[str, Any]:
    """Return the machine, its software, and its load now."""
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "load": [round(each, 2) for each in os.getloadavg()],
    }


def our_versions() -> dict[str, str]:
    """Return the versions of the program and of the one library that all of it needs."""
    return {"PowMonMan": powmonman.__version__, "PyYAML": metadata.version("PyYAML")}


def debian_version(package: str) -> str | None:
    """Return the installed version of a Debian package, None where there is none."""
    asked = ("dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package)
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
    except FileNotFoundError:
        return None
    return answer[1] if answer[:1] == ["installed"] else None


def _processor() -> str:
    if _MODEL.exists():
        return _MODEL.read_text("utf-8").rstrip("\0")
    for line in _CPUINFO.read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
