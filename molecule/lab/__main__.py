"""`python3 molecule/lab COMMAND`: the lab's containers.

create     boot the hosts that the JSON object on standard input describes
destroy    remove them (the same JSON object)
check      say what is missing for a lab to run here
"""

from __future__ import annotations

import sys

from engine import Engine, LabError
from fleet import Fleet


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
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
