"""The single file that the roll-out installs, and the archive that carries it."""

from __future__ import annotations

import argparse
import io
import json
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from powmonman import __version__, bundle

REPOSITORY = Path(__file__).parents[2]
UNIT = bundle.File("etc/systemd/system/powmonman.service", b"[Unit]\n")

# A program of the same shape as powmonman, for what happens when a link is switched under it.
SLOW_PROGRAM = """
import sys, time
from pathlib import Path

def main():
    print("started", flush=True)
    sys.stdin.readline()
    from powmonman import late
    print(late.VERSION, flush=True)
    return 0
"""


def pythons() -> list[str]:
    """Every Python here that is new enough: the one that runs the tests, and those on the PATH."""
    names = ("python3.11", "python3.12", "python3.13", "python3.14")
    found = {str(Path(path).resolve()) for name in names if (path := shutil.which(name))}
    able = {path for path in found if subprocess.run([path, "-c", ""], check=False).returncode == 0}
    return sorted({str(Path(sys.executable).resolve())} | able)


@pytest.fixture(scope="module")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "powmonman.pyz"
    path.write_bytes(bundle.program())
    path.chmod(0o755)
    return path


def build(out_dir: Path, *files: bundle.File) -> dict[str, object]:
    return bundle.build(out_dir, bundle.Manifest("client", files))


def test_two_builds_of_the_same_sources_are_equal_byte_for_byte() -> None:
    first = bundle.program(), bundle.archive([UNIT])
    time.sleep(1.1)  # longer than the resolution of a tar's time stamps
    assert first == (bundle.program(), bundle.archive([UNIT]))


def test_a_build_from_another_place_is_equal_too(tmp_path: Path) -> None:
    shutil.copytree(
        REPOSITORY / "powmonman", tmp_path / "powmonman", ignore=shutil.ignore_patterns("*.pyc")
    )
    script = "import sys; from powmonman import bundle; sys.stdout.buffer.write(bundle.program())"
    built = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, check=True
    )
    assert bundle.program() == built.stdout


def test_it_holds_the_package_and_the_pure_part_of_pyyaml_and_nothing_else(pyz: Path) -> None:
    names = set(zipfile.ZipFile(pyz).namelist())
    assert {
        "__main__.py",
        "powmonman/cli.py",
        "powmonman/core/policy.py",
        "yaml/loader.py",
    } <= names
    assert {"__main__.py", "powmonman", "yaml"} == {name.split("/")[0] for name in names}
    assert [name for name in names if "test" in name or name.endswith((".pyc", ".so"))] == []
    assert "yaml/cyaml.py" not in names


def test_the_licence_of_what_it_carries_goes_with_it(pyz: Path) -> None:
    assert b"Kirill Simonov" in zipfile.ZipFile(pyz).read("yaml/LICENSE")


@pytest.mark.parametrize("python", pythons(), ids=lambda path: Path(path).name)
def test_it_needs_nothing_but_the_standard_library(pyz: Path, python: str) -> None:
    """-I -S: no site-packages, no environment, no current directory."""
    script = (
        "import sys, runpy; sys.path.insert(0, sys.argv[1]);"
        "import yaml, powmonman.config.schema, powmonman.core.policy;"
        "print(yaml.safe_load('{a: [1, on]}'), yaml.__with_libyaml__)"
    )
    ran = subprocess.run(
        [python, "-I", "-S", "-c", script, str(pyz)], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "{'a': [1, True]} False\n"


def test_it_is_a_program(pyz: Path) -> None:
    ran = subprocess.run([pyz, "--version"], capture_output=True, text=True, check=True)
    assert __version__ in ran.stdout


def test_it_looks_for_a_python_that_is_new_enough(tmp_path: Path) -> None:
    """As on a system whose python3 is 3.9 and that has 3.11 under another name."""
    (tmp_path / "old").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "new").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    for each in tmp_path.iterdir():
        each.chmod(0o755)
    pyz = tmp_path / "powmonman.pyz"
    pyz.write_bytes(
        bundle.program([str(tmp_path / "none"), str(tmp_path / "old"), str(tmp_path / "new")])
    )
    pyz.chmod(0o755)
    assert subprocess.run([pyz, "--version"], check=False).returncode == 0


def test_without_a_python_that_is_new_enough_it_says_so(tmp_path: Path) -> None:
    pyz = tmp_path / "powmonman.pyz"
    pyz.write_bytes(bundle.program(["/no/such/python3"]))
    pyz.chmod(0o755)
    ran = subprocess.run([pyz], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    expected = "powmonman: no Python 3.11 or newer here (looked for: /no/such/python3)\n"
    assert expected == ran.stderr


def test_the_environment_of_whoever_starts_it_changes_nothing(pyz: Path, tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('hijacked')")
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    ran = subprocess.run(
        [pyz, "--version"],
        env={"PATH": path, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        check=False,
    )
    assert ran.returncode == 0


def test_a_running_process_keeps_to_its_file_after_the_link_is_switched(tmp_path: Path) -> None:
    """An upgrade in mid-outage: what it has not imported yet still comes from its own version."""
    for version in ("old", "new"):
        with zipfile.ZipFile(tmp_path / version, "w") as archive:
            archive.write(REPOSITORY / "powmonman" / "__main__.py", "__main__.py")
            archive.write(REPOSITORY / "powmonman" / "later.py", "powmonman/later.py")
            archive.writestr("powmonman/__init__.py", "")
            # Of different length, so that an old directory of the zip would miss in the new one.
            archive.writestr("powmonman/cli.py", SLOW_PROGRAM + "#" * len(version) * 1000)
            archive.writestr("powmonman/late.py", f"VERSION = {version!r}")
    link = tmp_path / "powmonman"
    link.symlink_to("old")
    running = subprocess.Popen(
        [sys.executable, "-I", link], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "started\n"
    (tmp_path / "next").symlink_to("new")
    (tmp_path / "next").replace(link)
    assert running.communicate("go on\n", timeout=10)[0] == "old\n"
    assert running.returncode == 0
    started_after = subprocess.run(
        [sys.executable, "-I", link], input="\n", capture_output=True, text=True, check=True
    )
    assert started_after.stdout == "started\nnew\n"


def test_an_archive_belongs_to_root_and_leaves_the_hosts_own_directories_alone(
    tmp_path: Path,
) -> None:
    built = build(tmp_path, UNIT, bundle.File("etc/powmonman/", mode=0o755))
    with tarfile.open(str(built["archive"])) as tar:
        members = {member.name: member for member in tar}
    assert {"etc/powmonman", "usr/local/lib/powmonman"} == {
        name for name, member in members.items() if member.isdir()
    }
    assert {(0, 0, "root")} == {(each.uid, each.gid, each.uname) for each in members.values()}
    assert members[str(built["pyz"]).lstrip("/")].mode == 0o755
    assert members[UNIT.path].mode == 0o644


def test_a_second_build_changes_nothing(tmp_path: Path) -> None:
    first = build(tmp_path, UNIT)
    second = build(tmp_path, UNIT)
    assert first == {**second, "changed": True}
    assert not second["changed"]


def test_another_unit_gives_another_archive_with_the_same_program(tmp_path: Path) -> None:
    first = build(tmp_path, UNIT)
    second = build(tmp_path, bundle.File(UNIT.path, b"[Unit]\nDescription=other\n"))
    assert first["archive"] != second["archive"]
    assert first["pyz"] == second["pyz"]


def test_archives_do_not_pile_up(tmp_path: Path) -> None:
    for number in range(20):
        last = build(tmp_path, bundle.File("etc/x", str(number).encode()))
    assert len(list(tmp_path.iterdir())) == 8
    assert Path(str(last["archive"])).is_file()


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "etc/../../x", ""])
def test_a_path_that_leads_out_of_the_root_is_refused(path: str) -> None:
    with pytest.raises(bundle.ManifestError, match="no path below the root"):
        bundle.read_manifest(json.dumps({"name": "client", "files": {path: {"content": ""}}}))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"name": "../x"}', '{"files": []}', '{"files": {"a": {"mode": "rwx"}}}'],
)
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(bundle.ManifestError):
        bundle.read_manifest(text)


def test_the_command_prints_what_it_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = {"name": "client", "files": {"run/powmonman/": {"mode": "0700"}}}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(manifest)))
    parser = argparse.ArgumentParser()
    bundle.add_arguments(parser)
    assert bundle.run(parser.parse_args(["--out-dir", str(tmp_path)])) == 0
    built = json.loads(capsys.readouterr().out)
    assert {"changed", "archive", "pyz", "holds", "version", "digest"} == set(built)
    assert __version__ == built["version"]
    assert f"/usr/local/lib/powmonman/powmonman-{__version__}-{built['digest']}.pyz" == built["pyz"]
