"""Play every scenario on NUT and on PowMonMan, all at once, and write docs/safety-beside-nut.md.

    make chaos-nut

Needs root, iproute2, and NUT's programs: apt install nut-client nut-server. Takes about 8 minutes
on a quiet machine, nearly all of them waiting. Nothing of this machine is touched: every program
runs in network namespaces of its own, and what would switch a host off only leaves a trace.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import sys
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ...integration.authority import Authority
from .nut import PROGRAMS, VARIANTS, NutBench
from .ours import OurBench
from .page import OURS, page
from .scripts import SCRIPTS
from .table import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .bench import Bench
    from .scripts import Script

PAGE = Path(__file__).parents[3] / "docs" / "safety-beside-nut.md"
RUNS = 3
# So many are set up at the same time; two cores are busy with more, and start-ups then time out.
BUILDERS = 8
# For every host to have heard that the mains are good, whatever it polls.
SETTLE = 15.0
# The scripts start within so many seconds, so that nobody's polls keep step.
SPREAD = 5.0


@dataclass
class Part:
    """One run of one script on one product."""

    script: Script
    product: str
    make: Callable[[], Bench]
    runs: list[float] = field(default_factory=list)
    failed: str = ""


def play(part: Part, build: threading.Semaphore, logs: Path | None) -> None:
    """Play a part; what goes wrong with the stage itself is kept as its failure."""
    try:
        with build:
            bench = part.make()
            bench.open()
    except Exception:  # noqa: BLE001 - of whatever kind: this run measures nothing
        part.failed = traceback.format_exc()
        return
    try:
        time.sleep(SETTLE + random.uniform(0, SPREAD))
        part.script.play(bench)
        bench.until(part.script.watch)
        part.runs = bench.runs()
    except Exception:  # noqa: BLE001 - likewise
        part.failed = traceback.format_exc()
    finally:
        if logs:
            keep(bench, logs / f"{part.script.text} - {part.product} - {id(part)}")
        bench.close()


def keep(bench: Bench, place: Path) -> None:
    """Copy what the programs of a bench have written."""
    with contextlib.suppress(shutil.Error):  # sockets can't be copied
        shutil.copytree(bench.directory, place)


def parts(scripts: Sequence[Script], runs: int, directory: Path) -> list[Part]:
    """Return every run of every script on every product."""
    authorities = []
    for name in ("fleet", "stranger"):
        (directory / name).mkdir()
        authorities.append(Authority(directory / name))
    fleet, stranger = authorities
    made = []
    for script in list(scripts) * runs:
        ours = partial(OurBench, script.layout, fleet, stranger)
        made.append(Part(script, OURS, ours))
        made += [
            Part(script, variant.name, partial(NutBench, script.layout, variant))
            for variant in VARIANTS
        ]
    # Not one product first, while the machine is still quiet; but the longest first.
    random.shuffle(made)
    return sorted(made, key=lambda part: part.script.watch, reverse=True)


def main() -> int:
    """Return 1 if a run could not be played; what this machine lacks for all is only said."""
    parser = argparse.ArgumentParser(prog="make chaos-nut", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="of each scenario, each product")
    parser.add_argument("--only", default="", help="scenarios with these words in their text")
    parser.add_argument("--logs", type=Path, help="where the files of each run are kept")
    parser.add_argument("--page", type=Path, default=PAGE, help="where the page is written")
    options = parser.parse_args()
    if lacking := missing():
        print(f"SKIPPED: make chaos-nut needs {lacking}")
        return 0
    scripts = [script for script in SCRIPTS if options.only in script.text]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-ca-") as directory:
        played = parts(scripts, options.runs, Path(directory))
        print(f"{len(played)} runs ...", flush=True)
        build = threading.Semaphore(BUILDERS)
        with ThreadPoolExecutor(len(played)) as pool:
            list(pool.map(lambda part: play(part, build, options.logs), played))
    took = time.monotonic() - began
    for part in played:
        if part.failed:
            print(f"{part.product}: {part.script.text}:\n{part.failed}", file=sys.stderr)
    failed = sum(bool(part.failed) for part in played)
    text = page(rows(scripts, played), options.runs, failed, took)
    options.page.write_text(text, "utf-8")
    print(text)
    return 1 if failed else 0


def missing() -> str:
    """Return what this machine lacks; empty if nothing."""
    if os.geteuid() != 0:
        return "root, for network namespaces"
    if not all(map(shutil.which, ("ip", "ss", "unshare"))):
        return "iproute2 and util-linux"
    absent = [str(program) for program in PROGRAMS if not program.exists()]
    return f"{absent[0]}: apt install nut-client nut-server" if absent else ""


def rows(scripts: Sequence[Script], played: Sequence[Part]) -> list[Row]:
    """Return what was seen, a row for each script."""
    found = []
    for script in scripts:
        seen: dict[str, list[list[float]]] = {}
        for part in played:
            if part.script is script and not part.failed:
                seen.setdefault(part.product, []).append(part.runs)
        found.append(Row(script.text, script.expected, seen))
    return found


if __name__ == "__main__":
    sys.exit(main())
