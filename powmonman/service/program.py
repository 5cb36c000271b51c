"""How this very program is started again: as the module it is, or as the single file it came in."""

from __future__ import annotations

import sys
from pathlib import Path

import powmonman


def own_program() -> list[str]:
    """Return the command line that runs this program; as a module, `home` must be on its path.

    The single file is the one that the link named when this process began: an upgrade in
    mid-outage points the link elsewhere, and halves of two versions don't go together.
    """
    if in_one_file():
        return [sys.executable, "-I", str(place())]
    return [sys.executable, "-m", "powmonman"]


def home() -> Path:
    """Return the directory in which `own_program` finds itself, whatever is on the path."""
    return Path("/") if in_one_file() else place()


def place() -> Path:
    """Return the single file that this program is, or the directory that the package is in."""
    found = Path(powmonman.__path__[0]).parent
    # Compiled, it lies beside the single file: `powmonman.compiled`.
    return found.with_suffix("") if found.suffix == f".{sys.implementation.cache_tag}" else found


def in_one_file() -> bool:
    """Whether this program is the single file."""
    return place().is_file()
