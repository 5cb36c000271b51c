"""`powmonman compile`: the single file's modules, compiled for this host's Python.

Python compiles what it imports from a zip anew in every process. For a client on a small machine
that is most of its start, and what compiling leaves behind stays in its memory. Control nodes can't
do it for their hosts, whose Pythons differ. So the roll-out has each host do it once, as root: what
is compiled lies in a directory beside the single file, in its name and Python's, and who starts the
file takes it from there. Where it is missing, or of another Python, the file does as before.
"""

from __future__ import annotations

import importlib.util
import json
import marshal
import os
import shutil
import sys
import zipfile
from typing import TYPE_CHECKING

from powmonman.service.program import in_one_file, place

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

# Of PEP 552: what it was compiled from is not looked at again. The file's name holds its digest.
_UNCHECKED = (1).to_bytes(4, "little")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `powmonman compile`: none."""
    parser.description = "Compile the single file for this host's Python, for a faster start."


def run(_: argparse.Namespace) -> int:
    """Compile, unless that has been done, and print `{"changed"}`."""
    if not in_one_file():
        print("powmonman compile: this is no single file: pip has compiled it", file=sys.stderr)
        return 2
    target = compiled(place())
    changed = not target.is_dir()
    if changed:
        try:
            _write(target, place())
        except OSError as error:
            print(f"powmonman compile: {target}: {error.strerror}", file=sys.stderr)
            return 1
    print(json.dumps({"changed": changed}))
    return 0


def compiled(program: Path) -> Path:
    """Return where the compiled modules of the single file `program` are; as in `__main__`."""
    return program.with_name(f"{program.name}.{sys.implementation.cache_tag}")


def _write(target: Path, program: Path) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(program) as source:
            for name in source.namelist():
                if name.endswith(".py"):
                    file = temporary / f"{name}c"
                    file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                    file.write_bytes(_module(source.read(name), program / name))
                    file.chmod(0o644)
        for directory in (temporary, *(each for each in temporary.rglob("*") if each.is_dir())):
            directory.chmod(0o755)
        # Half of it after a power cut would keep every daemon of this host from its start.
        os.sync()
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _module(source: bytes, path: Path) -> bytes:
    code = compile(source, str(path), "exec", dont_inherit=True)
    digest = importlib.util.source_hash(source)
    return importlib.util.MAGIC_NUMBER + _UNCHECKED + digest + marshal.dumps(code)
