"""Power supplies as the kernel shows them, for the sensor `battery`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def lay(root: Path, supplies: Mapping[str, Mapping[str, str | int]]) -> None:
    """Make the files of these supplies below `root`, which stands for /sys/class/power_supply."""
    for supply, values in supplies.items():
        (root / supply).mkdir(parents=True)
        for name, value in values.items():
            (root / supply / name).write_text(f"{value}\n", "ascii")
