"""Reads a configuration in a process of its own, for a daemon that keeps none of what reads it.

YAML's parser, the rules and the remedies are more than a megabyte that a daemon would need once.
After a reload it has them: a process with several threads had better not be forked, and reads by
itself. So it does where anything else goes wrong. A program started anew could read for it then,
but the wait for Python's start would hold up a countdown's clock.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

from powmonman.config.faults import ConfigError, Fault, printable
from powmonman.core.records import to_json

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")


def read_apart(path: Path, cls: type[T]) -> tuple[T, tuple[Fault, ...]]:
    """Return the configuration in the file at `path`, and what its writer should know.

    Raises:
        ConfigError: The file can't be read or used; it holds every fault found.
    """
    told = _asked(path, cls) if threading.active_count() == 1 else None
    if told is None:
        return _read(path, cls)
    if faults := told.get("faults"):
        raise ConfigError(rebuilt(tuple[Fault, ...], faults))
    return rebuilt(cls, told["config"]), rebuilt(tuple[Fault, ...], told["warnings"])


def _read(path: Path, cls: type[T]) -> tuple[T, tuple[Fault, ...]]:
    try:
        from powmonman.config.loader import read
    except ImportError as error:
        # At a reload this program's own files may be gone, or be another version's.
        told = f"what reads it can't be loaded: {error}"
        raise ConfigError([Fault(printable(str(path)), None, None, "", told)]) from error
    loaded = read(path, cls)
    return loaded.config, loaded.warnings


def _asked(path: Path, cls: type[Any]) -> dict[str, Any] | None:
    """Return what a child has read; None if there is no child, or it failed."""
    ours, theirs = os.pipe()
    try:
        child = os.fork()
    except OSError:
        os.close(ours)
        os.close(theirs)
        return None
    if child == 0:
        try:
            with open(theirs, "wb") as file:
                file.write(json.dumps(_told(path, cls)).encode())
        finally:
            # Nothing of the parent's is to be ended here, and nothing of it written twice.
            os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as file:
        told = file.read()
    os.waitpid(child, 0)
    try:
        value: dict[str, Any] = json.loads(told)
    except ValueError:
        return None
    return value


def _told(path: Path, cls: type[Any]) -> dict[str, Any]:
    try:
        config, warnings = _read(path, cls)
    except ConfigError as error:
        return {"faults": [to_json(fault) for fault in error.faults]}
    return {"config": to_json(config), "warnings": [to_json(fault) for fault in warnings]}


def rebuilt(hint: Any, value: Any) -> Any:
    """Return what `to_json` was given.

    To the letter, as they are our own words: `from_json` believes no long text and no line's end.
    """
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        parts = {f.name: rebuilt(hints[f.name], value[f.name]) for f in fields(hint)}
        return hint(**parts)  # type: ignore[operator]
    origin, args = get_origin(hint), get_args(hint)
    if origin is tuple:
        return tuple(rebuilt(args[0], item) for item in value)
    if origin is dict:
        return {name: rebuilt(args[1], item) for name, item in value.items()}
    # Beyond that, all are JSON's own: of a union too, which only says that there may be none.
    return value
