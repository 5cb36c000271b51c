"""From a YAML file to a configuration, or to every fault in it.

Raised errors name file, line, column and key: `client.yml:5:3: shutdown.dealy: unknown key (…)`.
A file without any key is valid: every key has a default.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from powmonman.config import document, relations
from powmonman.config.faults import ConfigError, Fault, printable
from powmonman.config.walk import Walk

__all__ = ["ConfigError", "Fault", "Loaded", "load", "parse", "read"]

T = TypeVar("T")


@dataclass(frozen=True)
class Loaded(Generic[T]):
    """A configuration that can be used, and what its writer should know nevertheless."""

    config: T
    warnings: tuple[Fault, ...] = ()


def load(path: Path | str, cls: type[T]) -> T:
    """Return the configuration in the file at `path`, without its warnings.

    Raises:
        ConfigError: The file can't be read or used; it holds every fault found.
    """
    return read(path, cls).config


def read(path: Path | str, cls: type[T]) -> Loaded[T]:
    """Return the configuration in the file at `path`, a dataclass of the schema.

    Raises:
        ConfigError: The file can't be read or used; it holds every fault found.
    """
    return parse(document.read(Path(path)), cls, str(path))


def parse(text: str, cls: type[T], name: str = "configuration") -> Loaded[T]:
    """Return the configuration in `text`; `name` is what faults call the file.

    Raises:
        ConfigError: The text can't be used; it holds every fault found.
    """
    name = printable(name)
    walk = Walk(name, cls)
    config = walk.document(document.compose(text, name))
    faults = list(walk.faults)
    warnings = []
    if not text.strip():
        warnings.append(Fault(name, None, None, "", "is empty: every key has its default"))
    for problem in relations.problems(config):
        if not any(map(walk.doubts, problem.paths)):
            fault = walk.fault(problem.paths, problem.message)
            (warnings if problem.warning else faults).append(fault)
    if faults:
        raise ConfigError(sorted(faults, key=_place))
    return Loaded(config, tuple(sorted(warnings, key=_place)))


def _place(fault: Fault) -> tuple[int, int]:
    return fault.line or 0, fault.column or 0
