"""A YAML file as a tree of nodes with their places; nothing is constructed from it.

PyYAML's pure part is used on purpose: it works from a zip on any architecture. ruamel.yaml, the
runner-up, keeps comments too, which nobody needs to read a configuration.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import yaml
from yaml.reader import ReaderError

from powmonman.config.faults import ConfigError, Fault, printable, quoted

if TYPE_CHECKING:
    from pathlib import Path

# What a large fleet needs many times over. The bounds keep a reload short on a small machine.
MAX_BYTES = 256 * 1024
MAX_NODES = 20_000
MAX_DEPTH = 20

_REMEDIES = (
    ("found character '\\t'", "indent with spaces: YAML refuses tabs"),
    ("that cannot start any token", "quote the text that begins with it"),
    ("mapping values are not allowed", "quote a text that holds ': ', or check the indentation"),
    ("expected <block end>", "check the indentation, and quote a text that begins with '['"),
    ("could not find expected ':'", "a key needs ': ' behind it"),
    ("found another document", "remove what begins with the second '---'"),
)


def read(path: Path) -> str:
    """Return the text of the file at `path`.

    Raises:
        ConfigError: It is missing, unreadable, no regular file, too large, or not UTF-8.
    """
    name = printable(str(path))
    try:
        # A pipe in the place of the file must not hold up a service.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _whole(name, f"can't be opened: {error.strerror}") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise _whole(name, "is a directory" if stat.S_ISDIR(mode) else "is not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _whole(name, f"can't be read: {error.strerror}") from error
    finally:
        os.close(descriptor)
    if len(content) > MAX_BYTES:
        raise _whole(name, f"is larger than {MAX_BYTES // 1024} KiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", "replace")
        byte = content[error.start]
        raise _at(name, before, f"is not UTF-8 text: byte 0x{byte:02x}") from error


def compose(text: str, name: str) -> yaml.Node | None:
    """Return the tree of the one document in `text`, None when it is empty.

    `name` is what errors call the file.

    Raises:
        ConfigError: It is no YAML, or larger or deeper than any configuration needs to be.
    """
    try:
        loader = _Loader(text)
    except ReaderError as error:
        character = f"character U+{ord(text[error.position]):04X} is not allowed in YAML"
        raise _at(name, text[: error.position], character) from error
    try:
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        raise ConfigError([Fault(name, line, column, "", _explained(error))]) from error
    except (ValueError, OverflowError) as error:
        # An escape beyond Unicode and a %YAML directive with a huge number end here.
        place = loader.get_mark()
        fault = Fault(name, place.line + 1, place.column + 1, "", f"not valid YAML: {error}")
        raise ConfigError([fault]) from error


class _Loader(yaml.SafeLoader):
    """Composes nodes within bounds, so that no file can take the stack or the memory."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._nodes = 0
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._nodes += 1
        self._depth += 1
        if self._nodes > MAX_NODES or self._depth > MAX_DEPTH:
            excess = f"more than {MAX_NODES} values"
            if self._depth > MAX_DEPTH:
                excess = f"nested more than {MAX_DEPTH} levels deep"
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem=excess, problem_mark=event.start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _explained(error: yaml.MarkedYAMLError) -> str:
    problem = " ".join((error.problem or "").removeprefix("but ").split())
    context = " ".join((error.context or "").split())
    if context and error.context_mark:
        context = f"{context} that begins on line {error.context_mark.line + 1}"
    remedy = next((remedy for sign, remedy in _REMEDIES if sign in problem), "")
    told = f"not valid YAML: {problem}"
    if context:
        told += f", {context}"
    told = told if told.isprintable() else quoted(told)
    return f"{told} ({remedy})" if remedy else told


def _whole(name: str, message: str) -> ConfigError:
    return ConfigError([Fault(name, None, None, "", message)])


def _at(name: str, before: str, message: str) -> ConfigError:
    """Place a fault behind the text `before`."""
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    return ConfigError([Fault(name, line, column, "", message)])
