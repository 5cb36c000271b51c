from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def hanging_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let nothing be synced before the event that is returned is set."""
    mended = threading.Event()
    real = os.fsync

    def fsync(descriptor: int) -> None:
        mended.wait()
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    yield mended
    mended.set()
