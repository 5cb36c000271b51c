"""`make bench`, or `python -m benchmarks [NAME ...]`: measure, print tables, keep JSON."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .machine import described, our_versions
from .table import goal_table, series_table

if TYPE_CHECKING:
    from .result import Goal, Result

# In the order in which they run; each is a module with `run(*, quick)`.
NAMES = (
    "startup",
    "detection",
    "fanout",
    "idle_server",
    "idle_client",
    "idle_guard",
    "storm",
    "scale",
    "rollout",
)


def main() -> int:
    """Run what was asked for; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure PowMonMan, and peers beside it in the same run. "
        "Everything runs on loopback or in containers made for it. Exits with 1 if a goal is "
        "missed. See docs/performance.md.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(NAMES)}")
    parser.add_argument(
        "--quick", action="store_true", help="fewer runs, small fleets: a look, never kept"
    )
    parser.add_argument("--out", type=Path, help="where to keep the JSON; default: not kept")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(NAMES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    # Whoever ends us by a signal wants no server and no container left behind either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    goals: list[Goal] = []
    for name in arguments.names or NAMES:
        result = measured(name, quick=arguments.quick)
        if arguments.quick:
            # The page is made of what is kept, and so few runs prove nothing.
            print("not kept: --quick\n")
        elif arguments.out:
            # At once: the next one may fail.
            print(f"kept: {result.save(arguments.out)}\n")
        goals += result.goals
    missed = [goal for goal in goals if not goal.met]
    print(f"{len(goals) - len(missed)} of {len(goals)} goals met")
    return 1 if missed else 0


def measured(name: str, *, quick: bool) -> Result:
    """Run one benchmark, and print what it found."""
    print(f"== {name}", flush=True)
    module = importlib.import_module(f"benchmarks.{name}")
    machine, began = described(), time.monotonic()
    found: Result = module.run(quick=quick)
    machine["load_after"] = [round(each, 2) for each in os.getloadavg()]
    result = replace(
        found,
        machine=machine,
        versions={**our_versions(), **found.versions},
        seconds=round(time.monotonic() - began, 1),
    )
    print(series_table(result.series))
    if result.goals:
        print(f"\n{goal_table(result.goals)}")
    whys = (
        f"missed: {goal.text}: {goal.why}" for goal in result.goals if goal.why and not goal.met
    )
    for text in (*whys, *result.notes, *(f"LEFT OUT: {each}" for each in result.left_out)):
        print(f"- {text}")
    print(flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
