"""Equal sources give an equal wheel, wherever, whenever and by whomever it is built."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from powmonman import __version__

pytest.importorskip("hatchling")
REPOSITORY = Path(__file__).parents[2]
SOURCES = ("powmonman", "pyproject.toml", "README.md", "LICENSE")


def built(place: Path, *, umask: int, changed_at: float, **environment: str) -> Path:
    """Build the wheel from a copy of the sources, as somebody else would, without a network."""
    place.mkdir(parents=True)
    for name in SOURCES:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, place / name)
    for path in (place, *place.rglob("*")):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)
        os.utime(path, (changed_at, changed_at))
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel"],
        cwd=place,
        env={"PATH": os.defpath, **environment},
        umask=umask,
        check=True,
        capture_output=True,
    )
    (wheel,) = (place / "dist").iterdir()
    return wheel


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("wheels")
    return (
        built(root / "here", umask=0o022, changed_at=1_000_000_000, TZ="UTC", LC_ALL="C.UTF-8"),
        built(
            root / "elsewhere" / "deep",
            umask=0o077,
            changed_at=1_700_000_001,
            TZ="Pacific/Auckland",
            PYTHONHASHSEED="5",
            HOME=str(root),
        ),
    )


def test_two_builds_give_the_same_bytes(wheels: tuple[Path, Path]) -> None:
    first, second = wheels
    assert first.name == second.name == f"powmonman-{__version__}-py3-none-any.whl"
    digests = [hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels]
    assert digests[0] == digests[1]


def test_it_holds_every_module_and_nothing_besides(wheels: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(wheels[0]) as wheel:
        names = set(wheel.namelist())
    package = REPOSITORY / "powmonman"
    sources = {
        f"powmonman/{path.relative_to(package)}"
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    ours = {name for name in names if name.startswith("powmonman/")}
    assert ours == sources
    assert {name.split("/")[0] for name in names} == {
        "powmonman",
        f"powmonman-{__version__}.dist-info",
    }


def test_nothing_of_the_machine_that_built_it_is_in_it(wheels: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(wheels[1]) as wheel:
        assert {info.date_time for info in wheel.infolist()} == {(2020, 2, 2, 0, 0, 0)}
        assert {info.external_attr >> 16 & 0o777 for info in wheel.infolist()} == {0o644}
        for name in wheel.namelist():
            assert str(wheels[1].parents[2]).encode() not in wheel.read(name)
