"""The product as users have it: in one file, as the roles deploy it, or installed by pip.

Nothing is downloaded. Each lies in a directory of its own, which the caller removes.
"""

from __future__ import annotations

import io
import os
import select
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Self

import powmonman
from powmonman import bundle

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# systemd's own for services: the launcher looks for Python there.
UNIT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
# As the server's unit has it.
SERVER_ENVIRONMENT = {"PATH": UNIT_PATH, "MALLOC_ARENA_MAX": "1"}
PATIENCE = 30.0
# pip's own, to the letter.
_SCRIPT = """\
#!{python}
import sys
from powmonman.cli import main
if __name__ == '__main__':
    sys.argv[0] = sys.argv[0].removesuffix('.exe')
    sys.exit(main())
"""


class UnavailableError(RuntimeError):
    """It can't be had here; the text says why."""


def in_one_file(directory: Path) -> Path:
    """Deploy the single file below `directory` as the roles do; return the command.

    Raises:
        UnavailableError: No Python of this host can run it.
    """
    built = bundle.build(directory / "cache", bundle.Manifest())
    unpack = ("tar", "--extract", "--preserve-permissions", "--file", built["archive"])
    subprocess.run([*unpack, "--directory", directory], check=True)
    command = directory / "usr/local/bin/powmonman"
    command.parent.mkdir(parents=True)
    command.symlink_to(directory / built["pyz"].lstrip("/"))
    done = subprocess.run(
        [command, "compile"], env={"PATH": UNIT_PATH}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UnavailableError(f"the single file: {done.stderr.strip()}")
    return command


def unit_python() -> str:
    """Return the Python that the single file's launcher finds."""
    for name in bundle.PYTHONS:
        if found := shutil.which(name, path=UNIT_PATH):
            test = "import sys; sys.exit(sys.version_info < (3, 11))"
            if not subprocess.run([found, "-I", "-S", "-c", test], check=False).returncode:
                return found
    raise UnavailableError(f"no Python 3.11 or newer in {UNIT_PATH}")


def installed(directory: Path) -> Path:
    """Lay the package into a virtual environment at `directory` as pip does; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory], check=True)
    python = directory / "bin/python"
    (site,) = directory.glob("lib/python*/site-packages")
    nothing_compiled = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(powmonman.__path__[0]), site / "powmonman", ignore=nothing_compiled)
    for file in metadata.distribution("PyYAML").files or ():
        if ".." not in file.parts:
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(file.locate()), site / file)
    compile_all(python, site)
    script = directory / "bin/powmonman"
    script.write_text(_SCRIPT.format(python=python), "utf-8")
    script.chmod(0o755)
    return python


def compile_all(python: Path | str, folder: Path) -> None:
    """Compile what is in `folder`, as pip does."""
    subprocess.run([python, "-m", "compileall", "-q", folder], check=True)


def plain_yaml(directory: Path, python: str) -> Path:
    """Put the PyYAML of the single file into `directory`, compiled; return that."""
    with zipfile.ZipFile(io.BytesIO(bundle.program())) as archive:
        for name in archive.namelist():
            if name.startswith("yaml/"):
                archive.extract(name, directory)
    compile_all(python, directory)
    return directory


class Service:
    """A client that is run as its unit runs it, with a service manager that listens to it.

    Attributes:
        pid: Of its process.
        began: When it was started, by CLOCK_MONOTONIC.
    """

    def __init__(self, command: Sequence[str | Path], directory: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = directory / "notify"
        address.unlink(missing_ok=True)
        self._socket.bind(str(address))
        self._log = (directory / "log").open("ab")
        self.began = time.monotonic()
        self._command = " ".join(map(str, command))
        self._process = subprocess.Popen(
            list(map(str, command)),
            cwd="/",
            env={"PATH": UNIT_PATH, "NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "30000000"},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._socket.close()
        self._log.close()

    def stop(self) -> None:
        """Have it end by itself, as its unit does, and what it started with it."""
        self._process.terminate()
        self._process.wait(PATIENCE)

    def says(self, text: str) -> float:
        """Wait until it tells the service manager `text`; return when, by CLOCK_MONOTONIC."""
        for said in self._heard(PATIENCE):
            if text in said:
                return time.monotonic()
        raise TimeoutError(f"{self._command} did not say {text!r}")

    def rest(self, seconds: float) -> None:
        """Let time pass, and read what it says meanwhile."""
        for _ in self._heard(seconds):
            pass

    def _heard(self, seconds: float) -> Iterator[str]:
        """Yield what it says, until the time is over."""
        give_up = time.monotonic() + seconds
        while (left := give_up - time.monotonic()) > 0:
            if select.select([self._socket], [], [], left)[0]:
                yield self._socket.recv(4096).decode()


def volatile() -> str | None:
    """Return a directory that lies in memory, as /run does on a host; None: there is none."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 (what it is for)
