"""What the fuzz targets share: where their inputs lie, how they are called, what bounds hold.

A target is a module in `targets/` with a function `target(data)`. It raises only where the product
breaks a promise: an exception that is not documented, a state that rejected bytes have changed, a
reading made of garbage. `WORDS` are what its inputs are made of, `LARGEST` is the longest input
worth trying, and `hostile()` gives inputs that are large on purpose.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import logging
import os
import pkgutil
import random
import shutil
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
# Processor time of one input in seconds, on a machine that is slow and busy. What grows with the
# square of the input takes more than that at `LARGEST`.
LONGEST = 5.0


class ViolationError(AssertionError):
    """The product did what it promises not to do."""


def names() -> list[str]:
    """Return all targets."""
    return sorted(path.stem for path in (HERE / "targets").glob("*.py") if path.stem != "__init__")


def load(name: str) -> Any:
    """Return the module of a target."""
    return importlib.import_module(f"targets.{name}")


def corpus(name: str) -> list[Path]:
    """Return the inputs that are kept for a target."""
    return sorted(path for path in (CORPUS / name).glob("*") if path.is_file())


def bounded(target: Callable[[bytes], None], longest: float = LONGEST) -> Callable[[bytes], None]:
    """Let no input take `target` longer than `longest` seconds of this thread's processor time."""

    def one(data: bytes) -> None:
        began = time.thread_time()
        target(data)
        took = time.thread_time() - began
        if took > longest:
            raise ViolationError(f"{len(data)} bytes took {took:.1f} s")

    return one


def expect(holds: object, broken: str) -> None:
    """Raise unless a promise holds; `broken` says which."""
    if not holds:
        raise ViolationError(broken)


@cache
def scratch() -> Path:
    """Return a directory in memory that ends with this process."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    directory = Path(
        tempfile.mkdtemp(prefix="powmonman-fuzz-", dir=os.environ.get("TMPDIR", memory))
    )
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def emptied(name: str) -> Path:
    """Return a directory below `scratch` with nothing in it."""
    directory = scratch() / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def cut(data: bytes) -> tuple[bytes, list[bytes]]:
    """Return what follows the first byte, whole and in pieces; that byte says which pieces."""
    seed, whole = data[:1], data[1:]
    if not seed or seed == b"0":
        return whole, [whole[at : at + 1] for at in range(len(whole))]
    dice, pieces, at = random.Random(seed), [], 0
    while at < len(whole):
        size = dice.choice((1, 2, 7, 40, 300, 5000))
        pieces.append(whole[at : at + size])
        at += size
    return whole, pieces


def headed(data: bytes) -> tuple[str, bytes]:
    """Return the first line, and the bytes after it."""
    head, _, rest = data.partition(b"\n")
    return head.decode("utf-8", "replace").strip(), rest


@contextlib.contextmanager
def instead(replaced: Mapping[str, Any]) -> Iterator[None]:
    """Put other things in the place of the product's for a while, by their dotted names."""
    places = [(_holder(name), name.rpartition(".")[2], new) for name, new in replaced.items()]
    before = [getattr(holder, attribute) for holder, attribute, _ in places]
    for holder, attribute, new in places:
        setattr(holder, attribute, new)
    try:
        yield
    finally:
        for (holder, attribute, _), old in zip(places, before, strict=True):
            setattr(holder, attribute, old)


@cache
def _holder(name: str) -> Any:
    return pkgutil.resolve_name(name.rpartition(".")[0])


class Deaf:
    """Takes every call and does nothing; much cheaper than a mock, and keeps nothing."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return _nothing


def _nothing(*_: Any, **__: Any) -> None: ...


class _Strict(logging.Handler):
    """Words every line as a log would, and takes an error that was survived for a violation."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            raise ViolationError(f"survived, but not foreseen: {self.format(record)}")
        self.format(record)


@contextlib.contextmanager
def listening() -> Iterator[None]:
    """Read along what the product logs, and let nobody else read it."""
    log = logging.getLogger("powmonman")
    before = (log.level, log.propagate, log.handlers)
    log.setLevel(logging.DEBUG)
    log.propagate, log.handlers = False, [_Strict()]
    try:
        yield
    finally:
        log.setLevel(before[0])
        log.propagate, log.handlers = before[1], before[2]
