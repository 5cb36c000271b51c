"""What `powmonman guard` costs a laptop that it guards, on mains, by each of its three processes.

Deployed in one file, as root, its server part as another user; all else as an empty guard.yml has
it. The adapter and the battery are files in memory that look like the kernel's, read every 2 s.
What the three share counts in parts in their PSS: the sum is what the machine pays for them, if
nothing else runs that interpreter.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from . import deployed, power_supply
from .daemons import free_port
from .idle_client import SETTLE, SLICE, SLICES, idle_costs
from .process import with_the_same_interpreter
from .result import Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

QUICK_SETTLE, QUICK_SLICE = 8.0, 10.0
SUPPLIES: dict[str, dict[str, str | int]] = {
    "AC": {"type": "Mains", "online": 1},
    "BAT0": {
        "type": "Battery",
        "present": 1,
        "status": "Full",
        "charge_full": 5_200_000,
        "charge_now": 5_200_000,
        "voltage_now": 12_350_000,
    },
}


def run(*, quick: bool) -> Result:
    """Measure for two minutes."""
    slices, length = (1, QUICK_SLICE) if quick else (SLICES, SLICE)
    with _directory(None) as place, _directory(deployed.volatile()) as in_memory:
        program, config = deployed.in_one_file(place), _config(place, in_memory)
        command = (program, "guard", "--config", config)
        with deployed.Service(command, place) as service, contextlib.ExitStack() as stack:
            # Killed, it would leave the other two behind.
            stack.callback(service.stop)
            service.says("guards ")
            processes = _processes(service.pid)
            service.rest(QUICK_SETTLE if quick else SETTLE)
            series = idle_costs(processes, service.rest, slices, length)
            others = with_the_same_interpreter(service.pid) - 2
    note = f"run by {deployed.unit_python()}, which ran {others} other processes meanwhile"
    return Result("idle_guard", tuple(series), (), (note,))


@contextlib.contextmanager
def _directory(above: str | None) -> Iterator[Path]:
    """Make a directory that the server part, who is somebody else, can read."""
    with tempfile.TemporaryDirectory(prefix="powmonman-bench-", dir=above) as path:
        Path(path).chmod(0o755)
        yield Path(path)


def _config(place: Path, in_memory: Path) -> Path:
    """Write guard.yml, and what the kernel would say of the battery; return the former's path."""
    power_supply.lay(in_memory / "power_supply", SUPPLIES)
    settings = {
        "ups": {"sensor": "battery", "battery": {"root": str(in_memory / "power_supply")}},
        "port": free_port(),
        "state_dir": str(place / "state"),
        "runtime_dir": str(in_memory / "run"),
        "dry_run": True,
        "warn_users": False,
    }
    path = place / "guard.yml"
    path.write_text(json.dumps(settings), "utf-8")
    return path


def _processes(guard: int) -> dict[str, Sequence[int]]:
    """Return the guard's processes, by what a user calls them; then all of them."""
    found: dict[str, Sequence[int]] = {"powmonman guard": (guard,)}
    for child in Path(f"/proc/{guard}/task/{guard}/children").read_text("ascii").split():
        words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        (kind,) = {b"server", b"client"} & set(words)
        found[f"powmonman {kind.decode()}"] = (int(child),)
    return found | {"all three": [pid for pids in found.values() for pid in pids]}
