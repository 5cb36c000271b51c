"""`python3 molecule/lab COMMAND`: the lab's containers.

create     boot the hosts that the JSON object on standard input describes
destroy    remove them (the same JSON object)
check      say what is missing for a lab to run here
wake NAME  be the network cards of that scenario's hosts: switch on whom a magic packet is for
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from engine import Engine, LabError
from fleet import Fleet

ROOT = Path(__file__).parents[2]


def wake(fleet: Fleet) -> None:
    """Switch on whom a magic packet is for, until Ctrl-C."""
    from waker import Waker

    with Waker.of(fleet, tell=lambda text: print(text, flush=True)):
        print("listening; Ctrl-C ends it", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()


def main(arguments: list[str]) -> int:
    """Do what the first argument says; return the exit code."""
    try:
        match arguments:
            case ["create"]:
                Fleet.described(sys.stdin.read()).create()
            case ["destroy"]:
                Fleet.described(sys.stdin.read()).destroy()
            case ["check"]:
                Engine.find().check()
            case ["wake", scenario]:
                wake(Fleet.running(ROOT / ".cache" / "lab" / scenario))
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
