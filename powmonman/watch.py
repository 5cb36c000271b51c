"""`powmonman watch`: the status as a live table, for as long as somebody looks."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from powmonman.config.loader import ConfigError
from powmonman.status import UNKNOWN, StatusError, fetch, render, verdict

if TYPE_CHECKING:
    import argparse

EVERY = 1.0
HOME, CLEAR_LINE, CLEAR_BELOW = "\033[H", "\033[K", "\033[J"
HIDE_CURSOR, SHOW_CURSOR, CLEAR = "\033[?25l", "\033[?25h", "\033[2J"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `powmonman watch`."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="server.yml or client.yml")
    parser.add_argument("--every", type=float, default=EVERY, metavar="S", help="refresh interval")
    parser.add_argument("--for", dest="seconds", type=float, metavar="S", help="stop after S s")


def run(args: argparse.Namespace) -> int:
    """Show the table until it is interrupted; off a terminal, print it when it changes."""
    end = time.monotonic() + args.seconds if args.seconds else None
    live = sys.stdout.isatty()
    code, shown = UNKNOWN, ""
    if live:
        print(HIDE_CURSOR + CLEAR, end="")
    try:
        while end is None or time.monotonic() < end:
            try:
                report = fetch(args.config)
                code, lines = verdict(report)[0], render(report)
            except (StatusError, ConfigError) as error:
                code, lines = UNKNOWN, str(error).splitlines()
            shown = _show(lines, shown, live=live)
            time.sleep(max(0.1, args.every))
    except KeyboardInterrupt:
        pass
    finally:
        if live:
            print(SHOW_CURSOR, end="", flush=True)
    return code


def _show(lines: list[str], shown: str, *, live: bool) -> str:
    if live:
        columns, rows = shutil.get_terminal_size()
        body = "".join(f"{line[: columns - 1]}{CLEAR_LINE}\n" for line in lines[: rows - 1])
        print(f"{HOME}{body}{CLEAR_BELOW}", end="", flush=True)
        return ""
    text = "\n".join(lines)
    if text != shown:
        print(text, flush=True)
    return text
