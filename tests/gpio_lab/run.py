#!/usr/bin/env python3
"""The sensors gpio and battery against devices of a real kernel: see docs/gpio-lab.md.

    run.py --pi      on a Raspberry Pi: you connect the wires, it checks what the sensor says
    run.py --sim     on any Linux with the kernel module gpio-sim, as root
    run.py --power   on any Linux with the kernel module test_power, as root
    run.py --guest   both, in a virtual machine that can; POWMONMAN_GPIO_LAB names its directory

Without an option it takes what is there.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cases import Report

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def main() -> int:
    """Run the cases where they can be run; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--pi", dest="how", action="store_const", const="pi")
    how.add_argument("--sim", dest="how", action="store_const", const="sim")
    how.add_argument("--power", dest="how", action="store_const", const="power")
    how.add_argument("--guest", dest="how", action="store_const", const="guest")
    parser.add_argument("--pin", type=int, default=4, help="with --pi: BCM number (default: 4)")
    parser.add_argument("--idle", type=float, default=30, help="seconds to measure polling for")
    args = parser.parse_args()
    how_to = {"pi": _pi, "sim": _sim, "power": _power, "guest": _guest, "": _nowhere}
    return how_to[args.how or _what_is_there()](args)


def _what_is_there() -> str:
    if os.environ.get("POWMONMAN_GPIO_LAB"):
        return "guest"
    model = Path("/proc/device-tree/model")
    if model.exists() and "Raspberry Pi" in model.read_text():
        return "pi"
    return "sim" if Path("/sys/module/gpio_sim").exists() else ""


def _pi(args: argparse.Namespace) -> int:
    import header_check

    return header_check.run(args.pin)


def _sim(args: argparse.Namespace) -> int:
    import cases
    from gpio_sim import GpioSimError

    try:
        return _judge(cases.run(args.idle))
    except GpioSimError as error:
        print(error, file=sys.stderr)
        return 1


def _power(args: argparse.Namespace) -> int:
    import supply_cases

    try:
        return _judge(supply_cases.run(args.idle))
    except supply_cases.SuppliesError as error:
        print(error, file=sys.stderr)
        return 1


def _judge(report: Report) -> int:
    for name, figure in report.figures.items():
        print(f"{name}: {figure}")
    wrong = [line.case for line in report.lines if not line.right]
    print(f"{len(report.lines)} cases, {len(wrong)} wrong{': ' if wrong else ''}{', '.join(wrong)}")
    return 1 if wrong else 0


def _guest(args: argparse.Namespace) -> int:
    import guest

    lab = os.environ.get("POWMONMAN_GPIO_LAB")
    if not lab:
        print("POWMONMAN_GPIO_LAB must name the directory with labctl.py", file=sys.stderr)
        return 2
    idle = ["--idle", str(args.idle)]
    return max(guest.run(Path(lab), [what, *idle]) for what in ("--sim", "--power"))


def _nowhere(_: argparse.Namespace) -> int:
    print(
        "left out: no Raspberry Pi, no gpio-sim module, no POWMONMAN_GPIO_LAB: "
        "the gpio sensor was not run against a real gpiochip (docs/gpio-lab.md)",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
