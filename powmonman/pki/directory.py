"""The directory of the fleet CA: private, whole after a crash, one writer at a time.

Rules:

1. The directory has mode 0700 and every file in it 0600, whatever the umask says.
2. A file is written whole beside its old self, synced, and renamed over it.
3. It never lies where git would pick it up.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK = "lock"
_TEMPORARY = ".powmonman-"
_FILES = ("ca.key", "ca-next.key", "ca.pem", "server.pem", "revoked.txt", LOCK)


class AuthorityError(Exception):
    """The fleet CA can't do what was asked; the message says why and what helps."""


class CaDirectory:
    """The files below `path`; names are relative to it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self, *, in_repository: bool) -> None:
        """Make the directory, or check that it is one that this program made.

        Raises:
            AuthorityError: It is somebody else's, or git would pick it up.
        """
        if not in_repository and (tree := _work_tree(self.path)):
            raise AuthorityError(
                f"{self.path} lies in the git work tree {tree}, where private keys are soon "
                "committed: choose a directory outside it, let .gitignore name it, or say "
                "--allow-in-repository"
            )
        try:
            entries = {entry.name for entry in self.path.iterdir()}
        except FileNotFoundError:
            entries = set()
        except OSError as error:
            raise AuthorityError(f"{self.path}: {error.strerror}") from error
        others = {name for name in entries - {*_FILES, "hosts"} if not name.startswith(_TEMPORARY)}
        if others and not entries & {"ca.key", "ca.pem"}:
            raise AuthorityError(
                f"{self.path} holds other things ({min(others)}, ...) and no fleet CA: "
                "choose an empty or a new directory"
            )
        with _explained(self.path):
            for directory in (self.path, self.path / "hosts"):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextlib.contextmanager
    def locked(self, patience: float = 60) -> Iterator[None]:
        """Keep others from writing; wait up to `patience` seconds for one that does.

        Files left by a run that was killed are removed, and modes are put right.
        """
        with _explained(self.path):
            descriptor = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._wait(descriptor, patience)
            with _explained(self.path):
                self._tidy()
            yield
        finally:
            os.close(descriptor)

    def _wait(self, descriptor: int, patience: float) -> None:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise AuthorityError(
                        f"{self.path / LOCK}: another `powmonman ca` has been running for "
                        f"{patience:.0f} s: wait for it, or end it"
                    ) from None
                time.sleep(0.05)
            else:
                return

    def _tidy(self) -> None:
        for directory in (self.path, self.path / "hosts"):
            _restrict(directory, 0o700)
            for left in directory.glob(f"{_TEMPORARY}*"):
                left.unlink()
        for name in (*_FILES, *(f"hosts/{host}.pem" for host in self.hosts())):
            if (self.path / name).exists():
                _restrict(self.path / name, 0o600)

    def read(self, name: str) -> bytes | None:
        """Return the contents, or None if there is no such file.

        Raises:
            AuthorityError: It is there and can't be read.
        """
        with _explained(self.path / name):
            try:
                return (self.path / name).read_bytes()
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """Replace or make a file; it is on the disk when this returns."""
        target = self.path / name
        with _explained(target):
            # mkstemp makes it 0600.
            descriptor, temporary = tempfile.mkstemp(prefix=_TEMPORARY, dir=target.parent)
            with open(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(target)
            _sync(target.parent)

    def rename(self, name: str, to: str) -> None:
        """Replace the file `to` by `name`."""
        with _explained(self.path / name):
            (self.path / name).replace(self.path / to)
            _sync(self.path)

    def remove(self, name: str) -> None:
        """Remove a file; it need not be there."""
        with _explained(self.path / name):
            (self.path / name).unlink(missing_ok=True)
            _sync((self.path / name).parent)

    def hosts(self) -> list[str]:
        """Return the hosts that have an identity, in order."""
        names = (entry.name for entry in (self.path / "hosts").glob("[!.]*.pem"))
        return sorted(name.removesuffix(".pem") for name in names)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise AuthorityError(f"{error.filename or path}: {error.strerror}") from error


def _restrict(path: Path, mode: int) -> None:
    if path.stat().st_mode & 0o777 != mode:
        path.chmod(mode)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _work_tree(path: Path) -> Path | None:
    """Return the git work tree that would pick up files below `path`."""
    path = path.resolve()
    above = [directory for directory in (path, *path.parents) if directory.is_dir()]
    tree = next((directory for directory in above if (directory / ".git").exists()), None)
    if tree is None:
        return None
    question = ["git", "-C", str(above[0]), "check-ignore", "--quiet", str(path / "ca.key")]
    try:
        asked = subprocess.run(question, capture_output=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return tree
    return None if asked.returncode == 0 else tree
