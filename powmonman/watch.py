"""`powmonman watch`: the status as a live table, for as long as somebody looks."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from powmonman.config.loader import ConfigError
from powmonman.status import UNKNOWN, StatusError, fetch, render, verdict

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from types import TracebackType

EVERY = 1.0
HOME, CLEAR_LINE, CLEAR_BELOW = "\033[H", "\033[K", "\033[J"
HIDE_CURSOR, SHOW_CURSOR, CLEAR = "\033[?25l", "\033[?25h", "\033[2J"


class Screen:
    """Lines that replace each other; off a terminal they are printed whenever they change."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._shown: tuple[object, ...] = ()

    def __enter__(self) -> Self:
        if self._live:
            print(HIDE_CURSOR + CLEAR, end="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            print(SHOW_CURSOR, end="", flush=True)

    def show(self, lines: Sequence[str], key: object = None) -> None:
        """Show `lines`; off a terminal only if `key`, or else they themselves, have changed."""
        if self._live:
            columns, rows = shutil.get_terminal_size()
            body = "".join(f"{line[: columns - 1]}{CLEAR_LINE}\n" for line in lines[: rows - 1])
            print(f"{HOME}{body}{CLEAR_BELOW}", end="", flush=True)
            return
        marks = tuple(lines) if key is None else (key,)
        if marks != self._shown:
            print("\n".join([*lines, ""]), flush=True)
            self._shown = marks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `powmonman watch`."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="server.yml, client.yml or guard.yml"
    )
    parser.add_argument("--every", type=float, default=EVERY, metavar="S", help="refresh interval")
    parser.add_argument("--for", dest="seconds", type=float, metavar="S", help="stop after S s")


def run(args: argparse.Namespace) -> int:
    """Show the table until it is interrupted; return what `status` would."""
    end = time.monotonic() + args.seconds if args.seconds else None
    code = UNKNOWN
    with Screen() as screen:
        try:
            while end is None or time.monotonic() < end:
                try:
                    report = fetch(args.config)
                    code, lines = verdict(report)[0], render(report)
                except (StatusError, ConfigError) as error:
                    code, lines = UNKNOWN, str(error).splitlines()
                screen.show(lines)
                time.sleep(max(0.1, args.every))
        except KeyboardInterrupt:
            pass
    return code
