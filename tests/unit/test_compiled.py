"""The single file's modules, compiled beside it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from powmonman import __version__, bundle, compiled, later


@pytest.fixture
def pyz(tmp_path: Path) -> Path:
    path = tmp_path / "powmonman-1.2.3-abc.pyz"
    path.write_bytes(bundle.program([sys.executable]))
    path.chmod(0o755)
    return path


def run(pyz: Path, *arguments: str) -> str:
    done = subprocess.run([pyz, *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def test_it_is_done_once(pyz: Path) -> None:
    assert {"changed": True} == json.loads(run(pyz, "compile"))
    assert {"changed": False} == json.loads(run(pyz, "compile"))
    assert f"powmonman {__version__}\n" == run(pyz, "--version")
    assert {pyz.name, compiled.compiled(pyz).name} == {each.name for each in pyz.parent.iterdir()}
    assert 0o755 == compiled.compiled(pyz).stat().st_mode & 0o777


def test_what_is_compiled_is_what_runs(pyz: Path) -> None:
    run(pyz, "compile")
    _plant(compiled.compiled(pyz))
    assert "planted\n" == run(pyz, "--version")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_another_user_has_laid_there_is_not(pyz: Path) -> None:
    _plant(compiled.compiled(pyz))
    os.chown(compiled.compiled(pyz), 65534, 65534)
    assert f"powmonman {__version__}\n" == run(pyz, "--version")


def test_a_package_is_no_single_file() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "powmonman", "compile"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert 2 == done.returncode
    assert "no single file" in done.stderr


def _plant(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    (path / "powmonman").mkdir(parents=True)
    (path / "powmonman" / "__init__.py").touch()
    (path / "powmonman" / "cli.py").write_text("def main():\n    print('planted')\n")
    shutil.copy(str(later.__file__), path / "powmonman" / "later.py")
