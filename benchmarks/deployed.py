"""The program as the roll-out installs it: one file, started by its launcher."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from powmonman.bundle import program

if TYPE_CHECKING:
    from pathlib import Path


def install(directory: Path) -> Path:
    """Write the program into `directory`, to be run by this very Python; return its path."""
    content = program((sys.executable,))
    path = directory / "powmonman.pyz"
    path.write_bytes(content)
    path.chmod(0o755)
    return path
