"""Small files that must be whole after a crash, and sockets with long paths."""

from __future__ import annotations

import errno
import json
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from powmonman.core.records import RecordError, parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGEST = 1024 * 1024


def write_json(
    path: Path, value: dict[str, Any] | str, *, durable: bool, mode: int = 0o640
) -> None:
    """Replace `path` atomically; `durable` waits until it is on the disk.

    A text is taken for JSON as it is.

    Whatever lies in the way (a link, a FIFO, another name of a file elsewhere) is removed, and
    neither followed nor opened.

    Raises:
        OSError: It could not be written; the old file is whole.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, mode)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            # Not json.dump, which encodes ten times slower.
            file.write(value if isinstance(value, str) else json.dumps(value))
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def overwrite(path: Path, data: bytes, *, create: bool = False) -> None:
    """Write over the file in `path` in place: on a full disk too, if it was as long before.

    What it says beyond `data` becomes spaces. Within one page a kill can't leave half of it. A file
    that has another name too may be somebody else's, and is left alone.

    Raises:
        OSError: It is no file of our own, or there is no room.
    """
    flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags | (os.O_CREAT if create else 0), 0o640)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(path))
        if status.st_size > LARGEST:
            os.ftruncate(descriptor, LARGEST)
        data = data.ljust(min(status.st_size, LARGEST))
        if os.pwrite(descriptor, data, 0) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)


def read_json(path: Path, largest: int = LARGEST, *, own: bool = False) -> dict[str, Any] | None:
    """Return the object in `path`, or None where there is none that can be read.

    A file of more than `largest` bytes can't. `own`: nor can one that belongs to anybody else but
    this process's user and root.
    """
    try:
        with open(path, "rb", opener=_without_surprise) as file:
            if own and os.fstat(file.fileno()).st_uid not in {0, os.geteuid()}:
                return None
            return parse(file.read(largest))
    except (OSError, RecordError):
        return None


def _without_surprise(path: str, flags: int) -> int:
    """Open no link, and wait for nobody: it may be a FIFO."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """Give `path` an address that fits into the 107 bytes that a Unix socket allows."""
    if len(os.fsencode(path)) <= 100:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
