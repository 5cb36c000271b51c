"""Power supplies as files: a recorded machine, made real in a directory, and changed there."""

from __future__ import annotations

import shutil
from pathlib import Path

RECORDED = Path(__file__).resolve().parents[1] / "recorded" / "power_supply"
MACHINES = sorted(path.stem for path in RECORDED.glob("*.txt"))


def recorded(machine: str) -> dict[str, str]:
    """Return what the files of a recorded machine hold, by `SUPPLY/FILE`."""
    lines = (RECORDED / f"{machine}.txt").read_text("utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {path: value for path, _, value in pairs}


class Tree:
    """A directory like /sys/class/power_supply.

    As there, each supply is a link to a directory elsewhere, and each file ends in a newline.
    """

    def __init__(self, directory: Path, machine: str = "server") -> None:
        self.root = directory / "class"
        self._devices = directory / "devices"
        for each in (self.root, self._devices):
            each.mkdir(parents=True)
        self.set(recorded(machine))

    def set(self, values: dict[str, str]) -> None:
        """Write files, by `SUPPLY/FILE`; supplies that aren't there yet appear."""
        for path, value in values.items():
            supply, _, file = path.partition("/")
            device = self._devices / supply
            device.mkdir(exist_ok=True)
            # Renamed into place: a reader must not find it empty, which sysfs never is.
            new = device / f".{file}"
            new.write_text(f"{value}\n", "utf-8")
            new.rename(device / file)
            if self.root.exists() and not (self.root / supply).exists():
                (self.root / supply).symlink_to(device)

    def remove(self, path: str) -> None:
        """Take away one supply, or one file of it."""
        supply, _, file = path.partition("/")
        if file:
            (self._devices / supply / file).unlink()
        else:
            (self.root / supply).unlink()
            shutil.rmtree(self._devices / supply)

    def spoil(self, path: str) -> None:
        """Let reading a file fail with an I/O error, as a driver's does."""
        file = self._devices / path
        file.unlink(missing_ok=True)
        # The memory at address 0 of whoever reads it.
        file.symlink_to("/proc/self/mem")
