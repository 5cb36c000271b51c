"""What the roll-out's probe says that a host holds, beside what the archive for the host holds."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import pytest

from powmonman import bundle

if TYPE_CHECKING:
    from collections.abc import Callable

PROBE = Path(__file__).parents[2] / "roles" / "powmonman" / "templates" / "probe.sh.j2"
UNIT = "etc/systemd/system/powmonman-client.service"
FILES = (
    bundle.File("etc/powmonman/", mode=0o755),
    bundle.File(UNIT, b"[Unit]\n"),
)


def probe(root: Path) -> list[str]:
    """Return what the probe says that the host holds whose root this is."""
    environment = jinja2.Environment(trim_blocks=True, autoescape=False)  # noqa: S701 - it is shell
    environment.filters["quote"] = shlex.quote
    script = environment.from_string(PROBE.read_text("utf-8")).render(
        __powmonman_pythons=["python3"],
        __powmonman_components=[],
        powmonman_prefix=str(root),
        powmonman_port=7444,
        powmonman_service_manager="auto",
    )
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    return re.findall(r"(?m)^powmonman\.holds=(.*)$", said)


def unpacked(tmp_path: Path) -> tuple[Path, list[str]]:
    """Return a root with an archive unpacked below it, and what the archive holds."""
    built = bundle.build(tmp_path / "out", bundle.Manifest("host", FILES))
    root = tmp_path / "root"
    root.mkdir()
    unpack = ["tar", "--extract", "--preserve-permissions", "--file", built["archive"]]
    subprocess.run([*unpack, "--directory", root], check=True)
    return root, built["holds"]


def test_a_host_on_which_an_archive_was_unpacked_holds_all_of_it(tmp_path: Path) -> None:
    root, wanted = unpacked(tmp_path)
    assert set(wanted) <= set(probe(root))


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda path: path.write_text("[Unit]\nx=1\n"), id="another content"),
        pytest.param(lambda path: path.chmod(0o666), id="other rights"),
        pytest.param(lambda path: path.unlink(), id="gone"),
        pytest.param(
            lambda path: (path.rename(f"{path}.old"), path.symlink_to(f"{path}.old")), id="a link"
        ),
        pytest.param(
            lambda path: os.chown(path, 1, 1),
            id="another owner",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
        ),
    ],
)
def test_what_is_not_as_it_was_unpacked_is_not_held(
    tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    root, wanted = unpacked(tmp_path)
    spoil(root / UNIT)
    (missing,) = set(wanted) - set(probe(root))
    assert missing.startswith(f"{UNIT} 644 ")


def test_of_files_with_passwords_no_digest_is_told(tmp_path: Path) -> None:
    root, _ = unpacked(tmp_path)
    (root / "etc/powmonman/notify.yml").write_text("targets: {}\n")
    assert [line for line in probe(root) if "notify" in line] == []
