"""How the program starts itself again, in both of its forms."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import powmonman
from powmonman import __version__, bundle
from powmonman.service.program import home, own_program

ASK = (
    "import sys, json; sys.path.insert(0, sys.argv[1]);"
    "from powmonman.service.program import home, own_program;"
    "print(json.dumps([own_program(), str(home())]))"
)


def version(command: list[str], directory: str | Path) -> str:
    ran = subprocess.run(
        [*command, "--version"], cwd=directory, capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


def test_a_module_is_started_as_the_module_from_where_it_lies() -> None:
    assert [sys.executable, "-m", "powmonman"] == own_program()
    assert Path(powmonman.__file__).parents[1] == home()
    assert f"powmonman {__version__}" == version(own_program(), home())


def test_the_single_file_is_started_as_itself_and_nothing_around_it_counts(tmp_path: Path) -> None:
    pyz = tmp_path / "powmonman-1.pyz"
    pyz.write_bytes(bundle.program())
    asked = subprocess.run(
        [sys.executable, "-I", "-c", ASK, str(pyz)], capture_output=True, text=True, check=True
    )
    command, directory = json.loads(asked.stdout)
    assert ([sys.executable, "-I", str(pyz)], "/") == (command, directory)
    assert f"powmonman {__version__}" == version(command, directory)


def test_compiled_it_is_still_started_as_the_single_file(tmp_path: Path) -> None:
    pyz = tmp_path / "powmonman-1.pyz"
    pyz.write_bytes(bundle.program())
    subprocess.run([sys.executable, "-I", pyz, "compile"], capture_output=True, check=True)
    beside = f"{pyz}.{sys.implementation.cache_tag}"
    asked = subprocess.run(
        [sys.executable, "-I", "-c", ASK, beside], capture_output=True, text=True, check=True
    )
    assert [[sys.executable, "-I", str(pyz)], "/"] == json.loads(asked.stdout)
