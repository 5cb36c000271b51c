"""How long the program takes to say something, and a client to be connected.

The unit is what no program in Python with PyYAML can do without: the start of the bare interpreter
and `import yaml`, taken in turns with ours, with the same interpreter. Installed by pip that is the
virtual environment's, in one file the one that the launcher finds.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import deployed
from .fleet import Fleet, client_config
from .result import OURS, Goal, Result, Series

if TYPE_CHECKING:
    from collections.abc import Sequence

RUNS, QUICK_RUNS = 60, 12
CONNECTS, QUICK_CONNECTS = 20, 5
MOST = 1.5
BARE, UNIT = "the bare interpreter", "the bare interpreter and import yaml"
# By command: why it is missed, where it is.
GOALS = {
    "--version": "",
    "check-config client.yml": "pathlib, typing, dataclasses and argparse take almost half of the "
    "unit, before anything of ours; to read, judge and word the file takes the rest",
}
# As in the examples of the inventory: a waiting host with commands of its own.
CLIENT = """\
fleet: home
servers: [192.0.2.7]
policy: {after: 300}
wait_for: [web, db]
shutdown:
  via: unit
  commands:
    - command: [systemctl, stop, nfs-server]
      timeout: 30
"""
SERVER = "fleet: home\nupses: {rack: {sensor: gpio, gpio: {pin: 4}}}\nclients: [web, db, nas]\n"


@dataclass(frozen=True)
class Took:
    """One run of a program: seconds from its start to its end, and on a processor."""

    wall: float
    cpu: float


def run(*, quick: bool) -> Result:
    """Time every command in turns, many times."""
    series: list[Series] = []
    goals: list[Goal] = []
    left_out: list[str] = []
    notes: list[str] = []
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="powmonman-bench-")))
        (place / "client.yml").write_text(CLIENT, "utf-8")
        (place / "server.yml").write_text(SERVER, "utf-8")
        for product, prepare in (
            (f"{OURS}, by pip", _installed),
            (f"{OURS}, one file", _in_one_file),
        ):
            try:
                commands = prepare(place)
            except deployed.UnavailableError as error:
                left_out.append(str(error))
                continue
            notes.append(f"{product}: {commands[BARE][0]}")
            took = _in_turns(commands, QUICK_RUNS if quick else RUNS, product)
            for name, runs in took.items():
                for kind in ("wall", "cpu"):
                    values = tuple(getattr(each, kind) * 1000 for each in runs)
                    series.append(Series(_titled(name, kind), "ms", values, product))
            unit = _median(took[UNIT])
            goals += [
                Goal(
                    f"{name} to {UNIT}; {product}",
                    _median(took[name]) / unit,
                    MOST,
                    "times",
                    why=why,
                )
                for name, why in GOALS.items()
            ]
        connects = QUICK_CONNECTS if quick else CONNECTS
        series.append(Series("exec to connected", "ms", _connects(place, connects), OURS))
    return Result("startup", tuple(series), tuple(goals), tuple(notes), tuple(left_out))


def _titled(name: str, kind: str) -> str:
    return name if kind == "wall" else f"{name}: CPU"


def _median(runs: Sequence[Took]) -> float:
    return statistics.median(each.wall for each in runs)


def _installed(place: Path) -> dict[str, Sequence[str]]:
    python = str(deployed.installed(place / "venv"))
    program = str(Path(python).with_name("powmonman"))
    return {
        BARE: (python, "-c", "pass"),
        UNIT: (python, "-c", "import yaml"),
        **_ours(program, place),
    }


def _in_one_file(place: Path) -> dict[str, Sequence[str]]:
    root = place / "root"
    root.mkdir()
    program = str(deployed.in_one_file(root))
    python = deployed.unit_python()
    yaml = deployed.plain_yaml(place / "yaml", python)
    found = f"import sys; sys.path.insert(0, {str(yaml)!r}); import yaml"
    return {
        BARE: (python, "-I", "-c", "pass"),
        UNIT: (python, "-I", "-c", found),
        **_ours(program, place),
    }


def _ours(program: str, place: Path) -> dict[str, Sequence[str]]:
    return {
        "--version": (program, "--version"),
        "check-config client.yml": (program, "check-config", str(place / "client.yml")),
        "check-config server.yml": (program, "check-config", str(place / "server.yml")),
    }


def _in_turns(commands: dict[str, Sequence[str]], runs: int, product: str) -> dict[str, list[Took]]:
    """Run every command once, and all of them again: what slows the machine slows them all."""
    took: dict[str, list[Took]] = {name: [] for name in commands}
    for at in range(-2, runs):
        if at % 20 == 0:
            print(f"{product}: {at} of {runs} runs", file=sys.stderr)
        for name, command in commands.items():
            one = _timed(command)
            # The first ones fill the caches.
            if at >= 0:
                took[name].append(one)
    return took


def _timed(command: Sequence[str]) -> Took:
    environment = {"PATH": deployed.UNIT_PATH, "LANG": "C.UTF-8"}
    nowhere = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1)]
    began = time.perf_counter()
    pid = os.posix_spawn(command[0], tuple(command), environment, file_actions=nowhere)
    _, status, used = os.wait4(pid, 0)
    wall = time.perf_counter() - began
    if status:
        raise RuntimeError(f"{' '.join(command)}: status {status}")
    return Took(wall, used.ru_utime + used.ru_stime)


def _connects(place: Path, times: int) -> tuple[float, ...]:
    """Start a deployed client again and again; return the milliseconds until it is protected."""
    took = []
    with Fleet(clients=1) as fleet, tempfile.TemporaryDirectory(dir=deployed.volatile()) as run_dir:
        root = place / "host"
        root.mkdir()
        command = deployed.in_one_file(root)
        config = client_config(
            root,
            port=fleet.port,
            identity=fleet.identity(fleet.names[0]),
            runtime=Path(run_dir) / "run",
        )
        for _ in range(times):
            with deployed.Service([command, "client", "--config", config], root) as service:
                took.append((service.says("connected to") - service.began) * 1000)
    return tuple(took)
