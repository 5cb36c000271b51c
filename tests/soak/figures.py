"""What one process costs at one moment: memory, descriptors, threads, objects, log, files."""

from __future__ import annotations

import json
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_TICK = os.sysconf("SC_CLK_TCK")
_ROLLUP = re.compile(r"^(\w+): +(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True)
class Figures:
    """One process at one moment. Sizes are in KiB, where the name does not say bytes.

    Attributes:
        rss: Resident memory; `pss` shares what is shared, `uss` is this process's alone.
        objects: Python objects that the collector tracks.
        cpu: Seconds of processor time since the process began.
        state: Bytes of the files in its state directory, `runtime` in its run-time directory.
    """

    rss: int
    pss: int
    uss: int
    descriptors: int
    threads: int
    tasks: int
    objects: int
    cpu: float
    state: int
    runtime: int
    kinds: dict[str, int]


def figures(pid: int, observer: Path, state: Path, runtime: Path) -> Figures:
    """Measure the process `pid`, in which `observed.py` listens at `observer`."""
    place = Path("/proc") / str(pid)
    memory = {k: int(v) for k, v in _ROLLUP.findall((place / "smaps_rollup").read_text("ascii"))}
    # The name of the program may hold spaces.
    fields = (place / "stat").read_text("utf-8").rpartition(")")[2].split()
    descriptors, threads = (len(os.listdir(place / part)) for part in ("fd", "task"))  # noqa: PTH208
    inside = _asked(observer)
    return Figures(
        rss=memory["Rss"],
        pss=memory["Pss"],
        uss=memory["Private_Clean"] + memory["Private_Dirty"],
        descriptors=descriptors,
        threads=threads,
        tasks=inside["tasks"],
        objects=inside["objects"],
        cpu=(int(fields[11]) + int(fields[12])) / _TICK,
        state=size(state),
        runtime=size(runtime),
        kinds=inside["kinds"],
    )


def size(*places: Path) -> int:
    """Return how many bytes the files at and below `places` hold."""
    return sum(_sizes(each for place in places for each in (place, *place.rglob("*"))))


def _sizes(paths: Iterable[Path]) -> Iterable[int]:
    for path in paths:
        # A file may be replaced at any moment.
        try:
            if path.is_file() and not path.is_symlink():
                yield path.stat().st_size
        except FileNotFoundError:
            continue


def _asked(observer: Path) -> dict[str, dict[str, int] | int]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(60)
        sock.connect(str(observer))
        with sock.makefile("rb") as answer:
            return json.loads(answer.read())
