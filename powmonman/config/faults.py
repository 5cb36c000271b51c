"""What is wrong with a configuration file, and where: one fault, one line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# From the document's root: names of keys, and positions in lists.
KeyPath = tuple[str | int, ...]

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_LONGEST_QUOTE = 60


@dataclass(frozen=True)
class Fault:
    """One thing to mend.

    Attributes:
        file: The file as the caller named it, without control characters.
        line: From 1; None when the fault is the file's, not a line's.
        column: From 1, in characters; None when there is no line.
        key: The key's path, such as `shutdown.commands[0].timeout`; empty for the whole file.
        message: What is wrong and what to do; one line.
    """

    file: str
    line: int | None
    column: int | None
    key: str
    message: str

    @property
    def place(self) -> str:
        """`client.yml:5:3`, or `client.yml` alone."""
        return self.file if self.line is None else f"{self.file}:{self.line}:{self.column}"

    def __str__(self) -> str:
        parts = [self.place, self.key, self.message] if self.key else [self.place, self.message]
        return ": ".join(parts)


class ConfigError(Exception):
    """A file that can't be used. Its text is one fault a line."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


def quoted(text: str) -> str:
    """Quote what a file says, for one line of a message: bounded, no control characters."""
    return repr(text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…")


def dotted(path: KeyPath) -> str:
    """Write a path as people do: `upses.rack.gpio.pin`, `servers[0]`."""
    written = ""
    for part in path:
        if isinstance(part, int):
            written += f"[{part}]"
        elif _PLAIN.fullmatch(part):
            written += f".{part}" if written else part
        else:
            written += f"[{quoted(part)}]"
    return written


def printable(name: str) -> str:
    """Make a file's name fit for one line of a terminal or a log."""
    return name if name.isprintable() else repr(name)[1:-1]
