"""`powmonman notify-test`: one message to every target, now, and what became of it.

It goes the way of a real one: the same file, the same process, the same words around it.
"""

from __future__ import annotations

import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from powmonman.config.loader import ConfigError
from powmonman.core.events import Event, Kind
from powmonman.guard.derive import server_of
from powmonman.notify.courier import AT_ONCE
from powmonman.notify.errand import Errand
from powmonman.notify.job import Job, Result, Sending
from powmonman.notify.sender import remedy
from powmonman.notify.spool import Message
from powmonman.notify.targets import load
from powmonman.service.clock import boot_id, boottime
from powmonman.status import servers_file

if TYPE_CHECKING:
    import argparse

    from powmonman.config.schema import ServerConfig

OK, FAILED, USAGE = 0, 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `powmonman notify-test`."""
    parser.description = "Send a test message to every target of notify.targets, now."
    parser.add_argument(
        "--config",
        type=Path,
        default=servers_file(),
        metavar="FILE",
        help="the server's configuration, or the guard's (%(default)s)",
    )
    parser.add_argument("--target", metavar="NAME", help="only to this target")


def run(args: argparse.Namespace) -> int:
    """Send, and print a line for each target."""
    try:
        config = server_of(args.config)
        names = sorted(load(config.notify.targets))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return USAGE
    if args.target and args.target not in names:
        told = f"there is no target {args.target!r} in {config.notify.targets}"
        print(f"powmonman notify-test: {told}; there are {', '.join(names)}", file=sys.stderr)
        return USAGE
    if not config.notify.enabled:
        told = "notify.enabled is false: the server itself sends nothing"
        print(f"powmonman notify-test: {told}", file=sys.stderr)
    names = [args.target] if args.target else names
    sent = []
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for name, result in zip(names, threads.map(partial(_try, config), names), strict=True):
            print(f"{name}: {_told(result)}", flush=True)
            sent.append(result.sent)
    return OK if all(sent) else FAILED


def _try(config: ServerConfig, target: str) -> Result:
    wall = time.time()
    event = Event(Kind.TEST, at=wall)
    message = Message(1, boot_id(), boottime(), wall, (event,), targets=(target,))
    job = Job(
        file=config.notify.targets,
        target=target,
        sendings=(Sending(message),),
        timeout=config.notify.timeout,
        fleet=config.fleet,
        server=socket.gethostname(),
    )
    results: list[Result] = []
    Errand(job, config.notify.templates).run(results.append)
    return results[-1]


def _told(result: Result) -> str:
    if result.sent:
        return f"sent in {result.took:.1f} s"
    todo = remedy(result.reason)
    return f"not sent: {result.reason}" + (f"; {todo}" if todo else "")
