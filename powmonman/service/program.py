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
    if _in_one_file():
        return [sys.executable, "-I", str(_place())]
    return [sys.executable, "-m", "powmonman"]


def home() -> Path:
    """Return the directory in which `own_program` finds itself, whatever is on the path."""
    return Path("/") if _in_one_file() else _place()


def _place() -> Path:
    return Path(powmonman.__path__[0]).parent


def _in_one_file() -> bool:
    return _place().is_file()
