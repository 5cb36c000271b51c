"""The package as one file, and the archive that carries it to a host.

One file needs no pip, no index and no compiler on the host, runs on any architecture, and is
replaced atomically. `python -m zipapp` writes the time of the build into it, so that each roll-out
would look like an upgrade; here equal sources give equal bytes, on whatever machine. That is also
why nothing is compressed: zlib and zlib-ng give different bytes for the same input. The
runner-up, a virtual environment with a wheelhouse, took twice as long to roll out.

The file is a shell script with a zip behind it. The script looks for a Python that is new enough,
because `python3` is too old on systems that ship a newer one under another name. Python runs with
`-I`: neither the environment nor the user's site-packages can change what root runs. It keeps no
columns in mind for tracebacks, whose lines are enough: they are 0.2 MB of a daemon's memory.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shlex
import sys
import tarfile
import zipfile
from dataclasses import dataclass, field
from importlib import metadata, resources
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from powmonman import __version__

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from importlib.resources.abc import Traversable

PYTHONS = ("python3", "python3.14", "python3.13", "python3.12", "python3.11")
LIBRARY = "usr/local/lib/powmonman"
# The epoch of zip files: 1980-01-01 00:00:00 UTC.
_EPOCH = 315532800
_KEEP = 8

_LAUNCHER = """\
#!/bin/sh
# PowMonMan {version}, a Python program in one file: find a Python that can run it.
for python in {pythons}; do
    # On most systems python3 is a link to a name that says its version: no need to start it.
    case $(readlink -f "$(command -v "$python")" 2>/dev/null) in
        */python3.1[1-9]) ;;
        *) "$python" -I -S -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
            continue ;;
    esac
    exec "$python" -I -X no_debug_ranges "$0" "$@"
done
echo "powmonman: no Python 3.11 or newer here (looked for: {looked_for})" >&2
exit 1
"""


class ManifestError(ValueError):
    """The manifest asks for something that no archive should hold."""


@dataclass(frozen=True)
class File:
    """One file, or with a path that ends in `/` one directory, of an archive."""

    path: str
    content: bytes = b""
    mode: int = 0o644


@dataclass(frozen=True)
class Manifest:
    """What an archive holds beside the program. Paths are relative to the host's root."""

    name: str = "powmonman"
    files: Sequence[File] = field(default_factory=tuple)


def read_manifest(text: str) -> Manifest:
    """Return the manifest in `text` (JSON).

    Raises:
        ManifestError: It isn't one, or a path leads out of the root; the text says which.
    """
    try:
        value = json.loads(text)
        files = [
            File(
                path=_relative(path),
                content=entry.get("content", "").encode(),
                mode=int(entry.get("mode", "0644"), 8),
            )
            for path, entry in value.get("files", {}).items()
        ]
        return Manifest(name=_plain(value.get("name", "powmonman")), files=files)
    except (ValueError, AttributeError, TypeError) as error:
        raise ManifestError(f"manifest: {error}") from None


def program(pythons: Sequence[str] = PYTHONS) -> bytes:
    """Return the whole program as one executable file."""
    launcher = _LAUNCHER.format(
        version=__version__,
        pythons=" ".join(shlex.quote(python) for python in pythons),
        looked_for=" ".join(pythons).translate({ord(each): None for each in '"$`\\'}),
    )
    buffer = io.BytesIO()
    buffer.write(launcher.encode())
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(_sources()):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def program_path(content: bytes) -> str:
    """Return where `content` is installed, relative to the root: a path of its own per content."""
    return f"{LIBRARY}/powmonman-{__version__}-{_digest(content)}.pyz"


def archive(files: Sequence[File]) -> bytes:
    """Return a plain tar of `files`, owned by root, the same bytes for the same files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for file in sorted(files, key=lambda each: each.path):
            info = tarfile.TarInfo(file.path.rstrip("/"))
            info.mode, info.mtime = file.mode, _EPOCH
            info.uname = info.gname = "root"
            if file.path.endswith("/"):
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            else:
                info.size = len(file.content)
                tar.addfile(info, io.BytesIO(file.content))
    return buffer.getvalue()


def build(out_dir: Path, manifest: Manifest, pythons: Sequence[str] = PYTHONS) -> dict[str, Any]:
    """Write the archive of `manifest` below `out_dir` unless it is there, and say where it is.

    Raises:
        OSError: It could not be written.
    """
    pyz = program(pythons)
    path = program_path(pyz)
    files = [File(f"{LIBRARY}/", mode=0o755), File(path, pyz, 0o755), *manifest.files]
    tar = archive(files)
    target = out_dir / f"powmonman-{manifest.name}-{__version__}-{_digest(tar)}.tar"
    changed = not target.exists()
    if changed:
        out_dir.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        temporary.write_bytes(tar)
        temporary.replace(target)
    else:
        target.touch()
    _forget_old(out_dir, manifest.name)
    return {
        "changed": changed,
        "archive": str(target.resolve()),
        "pyz": f"/{path}",
        "holds": [_described(file) for file in files],
        "version": __version__,
        "digest": _digest(pyz),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `powmonman bundle`."""
    parser.description = (
        "Build the single-file program and an archive that holds it together with the files of a "
        "manifest (JSON on standard input), for the roll-out."
    )
    parser.add_argument("--out-dir", type=Path, required=True, help="where archives are kept")
    parser.add_argument(
        "--python",
        action="append",
        help="a Python to run with on the host, by name or path; repeat for more, the first that "
        f"is 3.11 or newer is taken (default: {' '.join(PYTHONS)})",
    )


def run(arguments: argparse.Namespace) -> int:
    """Build, and print what was built as JSON."""
    try:
        manifest = read_manifest("{}" if sys.stdin.isatty() else sys.stdin.read() or "{}")
    except ManifestError as error:
        print(f"powmonman bundle: {error}", file=sys.stderr)
        return 2
    try:
        built = build(arguments.out_dir, manifest, arguments.python or PYTHONS)
    except OSError as error:
        print(f"powmonman bundle: {error}", file=sys.stderr)
        return 1
    print(json.dumps(built))
    return 0


def _sources() -> Iterator[tuple[str, bytes]]:
    package = resources.files("powmonman")
    yield "__main__.py", (package / "__main__.py").read_bytes()
    yield from _modules(package, "powmonman")
    # Its C part isn't portable; without it PyYAML falls back to its Python one.
    yield from _modules(resources.files("yaml"), "yaml", without=("cyaml.py",))
    for file in metadata.distribution("PyYAML").files or ():
        if file.name.startswith("LICENSE"):
            yield "yaml/LICENSE", file.read_binary()


def _modules(
    folder: Traversable, name: str, without: Sequence[str] = ()
) -> Iterator[tuple[str, bytes]]:
    for each in folder.iterdir():
        if each.is_dir() and each.name != "__pycache__":
            yield from _modules(each, f"{name}/{each.name}")
        elif each.name.endswith(".py") and each.name not in without:
            yield f"{name}/{each.name}", each.read_bytes()


def _forget_old(out_dir: Path, name: str) -> None:
    ours = out_dir.glob(f"powmonman-{name}-{__version__[0]}*.tar")
    for old in sorted(ours, key=lambda each: each.stat().st_mtime)[:-_KEEP]:
        old.unlink(missing_ok=True)


def _relative(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise ManifestError(f"{path!r} is no path below the root")
    return path


def _plain(name: str) -> str:
    if not name.replace("-", "").isalnum():
        raise ManifestError(f"{name!r} is no plain name")
    return name


def _described(file: File) -> str:
    """Return path, rights and digest, as the roll-out asks a host for them before it unpacks."""
    words = [file.path, f"{file.mode:o}"]
    return " ".join(words if file.path.endswith("/") else [*words, _sha256(file.content)])


def _digest(content: bytes) -> str:
    return _sha256(content)[:12]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
