"""What tests need that start the daemons of others."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATIENCE = 20.0

T = TypeVar("T")


def needs(*programs: Path, package: str) -> None:
    """Skip the test where `programs` are missing; in CI, fail."""
    missing = [str(program) for program in programs if not program.exists()]
    if not missing:
        return
    reason = f"no {missing[0]}: apt install {package}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    """Return a TCP port of loopback that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def eventually(what: str, check: Callable[[], T], within: float = PATIENCE) -> T:
    """Return the first true value of `check()`; fail with `what` if none comes in time."""
    end = time.monotonic() + within
    while not (value := check()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {within:g} s: {what}")
        time.sleep(0.01)
    return value
