"""`powmonman shutdown-fleet`: shut every connected host down now, whatever the power.

For work on the mains, a move, or a fire. It is said on the server's own host, to the server's own
socket, which root and the group may open; and the fleet's name has to be typed.

Exit codes: 0 every connected host has committed, or waits for others to go first; 1 not all have;
2 not confirmed or bad usage.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from powmonman.config.loader import ConfigError
from powmonman.core.announcing import ORDERED, names
from powmonman.core.messages import Query, ShutdownFleet
from powmonman.core.presence import GOING
from powmonman.guard.derive import server_of
from powmonman.status import StatusError, ask_locally, servers_file
from powmonman.table import table

if TYPE_CHECKING:
    import argparse

    from powmonman.config.schema import ServerConfig

OK, FAILED, USAGE = 0, 1, 2
EVERY = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `powmonman shutdown-fleet`."""
    parser.description = (
        "Shut every connected host down now, whatever the power. Each runs its own shutdown "
        "commands. Only on the server's host. Nothing cancels it, and nothing wakes the hosts."
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=servers_file(),
        metavar="FILE",
        help="the server's configuration, or the guard's (%(default)s)",
    )
    parser.add_argument(
        "--confirm", metavar="FLEET", help="the fleet's name, instead of typing it when asked"
    )
    parser.add_argument(
        "--wait", type=float, default=60.0, metavar="S", help="time to commit (%(default)g)"
    )


def run(args: argparse.Namespace) -> int:
    """Ask for the fleet's name, give the order, and watch it being obeyed."""
    try:
        config = server_of(args.config)
        report = ask_locally(config, Query())
        going = [host for host in report["clients"] if host["connected"]]
        if not going:
            print("no host is connected: nobody would hear the order", file=sys.stderr)
            return FAILED
        print("\n".join(_preview(report)))
        typed = args.confirm if args.confirm is not None else _typed(config.fleet)
        if typed != config.fleet:
            print(f"not confirmed: the fleet's name is {config.fleet}", file=sys.stderr)
            return USAGE
        ask_locally(config, ShutdownFleet(config.fleet))
        return _follow(config, {host["name"] for host in going}, args.wait)
    except (ConfigError, StatusError) as error:
        print(error, file=sys.stderr)
        return USAGE if isinstance(error, ConfigError) else FAILED


def _preview(report: dict[str, Any]) -> list[str]:
    rows = [
        (
            host["name"],
            _would(host) if host["connected"] else "not connected: does not hear of it",
        )
        for host in report["clients"]
    ]
    return [f"Fleet {report['fleet']} on {report['server']}:", "", *table(("HOST", ""), rows), ""]


def _would(host: dict[str, Any]) -> str:
    what = "dry run: would shut down" if host["dry_run"] else "shuts down"
    return f"{what} after {names(host['waits'])}" if host["waits"] else f"{what} now"


def _typed(fleet: str) -> str:
    print(f"Type the fleet's name ({fleet}) to shut it down: ", end="", flush=True)
    return sys.stdin.readline().strip()


def _follow(config: ServerConfig, going: set[str], seconds: float) -> int:
    """Say of each host when it has obeyed."""
    began = time.monotonic()
    end = began + seconds
    waiting = set(going)
    while waiting and time.monotonic() < end:
        for host in ask_locally(config, Query())["clients"]:
            obeys = _obeys(host, time.monotonic() - began + EVERY)
            if host["name"] in waiting and obeys:
                waiting.discard(host["name"])
                print(f"{host['name']}: {obeys}")
        time.sleep(EVERY)
    for name in sorted(waiting):
        print(f"{name}: has not committed within {seconds:g} s", file=sys.stderr)
    return FAILED if waiting else OK


def _obeys(host: dict[str, Any], seconds: float) -> str:
    """Return how it obeys an order given so long ago; empty: it does not."""
    # One in dry run is idle again at once.
    committed = host["committed"] is not None and host["committed"] <= seconds
    if committed or host["phase"] in GOING:
        return "dry run" if host["dry_run"] else "shuts down"
    if host["phase"] == "waiting" and host["waits"] and host["reason"].startswith(ORDERED):
        return f"waits for {names(host['waits'])}, then shuts down"
    return ""
