"""What tests need that start the daemons of others."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from benchmarks.daemons import eventually, free_port

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["eventually", "free_port", "needs"]


def needs(*programs: Path, package: str) -> None:
    """Skip the test where `programs` are missing; in CI, fail."""
    missing = [str(program) for program in programs if not program.exists()]
    if not missing:
        return
    reason = f"no {missing[0]}: apt install {package}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
