"""`python -m tests.soak`: play a long course, print its figures, and judge them."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from tests.integration.authority import Authority
from tests.integration.fleet import Fleet

from .course import Course, Pace
from .verdict import judged, table


def main() -> int:
    """Return 0 if nothing grows."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    default = Pace()
    parser.add_argument("--outages", type=int, default=default.outages)
    parser.add_argument("--sample", type=int, help="outages between two measurements")
    parser.add_argument("--json", type=Path, help="write every figure to this file, as it comes")
    arguments = parser.parse_args()
    sample = arguments.sample or max(10, arguments.outages // 100)
    pace = replace(default, outages=arguments.outages, sample=sample)

    with tempfile.TemporaryDirectory(prefix="powmonman-soak-") as place:
        root = Path(place)
        (root / "ca").mkdir()
        (root / "fleet").mkdir()
        authority = Authority(root / "ca")
        fleet = Fleet(root / "fleet", authority, authority)
        course = Course(fleet, pace)

        def progress(line: str) -> None:
            print(line, flush=True)
            if arguments.json:
                arguments.json.write_text(json.dumps(everything(course)), "utf-8")

        course.progress = progress
        try:
            course.run()
        except BaseException:
            print(*(f"--- {d}\n{t}" for d, t in tails(course)), sep="\n", file=sys.stderr)
            raise
        finally:
            fleet.close()
    found = judged(course.samples)
    print(table(found))
    return int(any(each.grows for each in found.values()))


def everything(course: Course) -> dict[str, object]:
    """Return every figure."""
    return {
        "pace": asdict(course.pace),
        "samples": [asdict(each) for each in course.samples],
        "restarted": [asdict(each) for each in course.restarted],
    }


def tails(course: Course) -> list[tuple[str, str]]:
    """Return the end of every log."""
    daemons = (course.server, *course.clients)
    return [(d.directory.name, "\n".join(d.log.splitlines()[-15:])) for d in daemons]


if __name__ == "__main__":
    sys.exit(main())
