"""Runs the cases in a guest; docs/gpio-lab.md says what it and its kernel must offer."""

from __future__ import annotations

import base64
import importlib
import io
import sys
import tarfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
# The guest's serial line loses what does not fit into 4 KiB, and every command is encoded again.
CHUNK = 2800


def run(lab: Path, arguments: list[str]) -> int:
    """Boot the guest of `lab`, carry the product in, run the cases there; return their code."""
    sys.path.insert(0, str(lab))
    guest: Any = importlib.import_module("labctl").Guest("C")
    guest.start()
    try:
        _carry(guest, _archive())
        words = " ".join(arguments)
        code, output = guest.run(
            "cd /root/powmonman && python3 -B tests/gpio_lab/run.py " + words, timeout=600
        )
    finally:
        guest.stop()
    print(output, end="")
    return int(code)


def _archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as archive:
        for name in ("powmonman", "tests/gpio_lab", "roles/powmonman/templates/sandbox.j2"):
            archive.add(ROOT / name, name, filter=_sources)
        archive.add(Path(yaml.__file__).parent, "yaml", filter=_sources)
    return buffer.getvalue()


def _sources(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return member if member.isdir() or member.name.endswith((".py", ".j2")) else None


def _carry(guest: Any, archive: bytes) -> None:
    text = base64.b64encode(archive).decode()
    guest.run("rm -rf /root/powmonman && mkdir -p /root/powmonman")
    for start in range(0, len(text), CHUNK):
        piece = text[start : start + CHUNK]
        guest.run(f"echo {piece} >> /root/powmonman/archive.b64")
    code, output = guest.run(
        "cd /root/powmonman && base64 -d archive.b64 | python3 -c "
        "'import sys, tarfile; tarfile.open(fileobj=sys.stdin.buffer, mode=\"r|xz\").extractall()'"
    )
    if code:
        raise RuntimeError(f"the product could not be carried into the guest: {output}")
