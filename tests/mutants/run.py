"""Take one defence away at a time, and see that a test notices: `make mutants`.

Each entry of `mutants.toml` names a defence, the text that is it, what to put in its place, and the
tests that must fail then. All is done in a copy; this tree is not touched. First the tests are run
without any change: a failure that was there before catches nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
LIST = Path(__file__).with_name("mutants.toml")
# A mutant may hang; the test that waits for it in vain has caught it.
TEST_TIMEOUT = 60
RUN_TIMEOUT = 300
_LEFT_OUT = (".git", ".venv", ".cache", ".demo", ".*_cache", "__pycache__", "build", "dist")
_COLUMNS = "{:<62}  {:<34}  {:<70}  {:>7}"


@dataclass(frozen=True)
class Mutant:
    """One defence, and what it is to be without it.

    Attributes:
        defence: What it keeps from happening.
        file: Where it stands, from the root of the repository.
        old: The text that is it, which occurs once there.
        new: What takes its place.
        tests: Node ids, of which at least one must fail.
    """

    defence: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """What became of one mutant; `caught_by` is empty if it survived."""

    caught_by: str
    seconds: float
    output: str = ""


def mutants() -> list[Mutant]:
    """Return the list."""
    listed = tomllib.loads(LIST.read_text("utf-8"))["mutant"]
    return [Mutant(**{**entry, "tests": tuple(entry["tests"])}) for entry in listed]


def mutated(mutant: Mutant, text: str) -> str:
    """Return the file without the defence.

    Raises:
        ValueError: The defence is not there, or not there alone.
    """
    if (found := text.count(mutant.old)) != 1:
        raise ValueError(f"{mutant.defence}: its text occurs {found} times in {mutant.file}")
    return text.replace(mutant.old, mutant.new)


def copy(root: Path) -> None:
    """Make a tree of our own to break."""
    shutil.copytree(REPOSITORY, root, ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True)


def run(root: Path, tests: tuple[str, ...]) -> Result:
    """Run tests in `root` until one fails; a collection that fails is no test that fails."""
    began = time.monotonic()
    options = ("-x", "-q", "-rfE", "--tb=line", "-p", "no:cacheprovider")
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, "-o", f"timeout={TEST_TIMEOUT}", *tests],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=RUN_TIMEOUT)
        lines = [line for line in output.splitlines() if line.startswith("FAILED ")]
        failed = [line.removeprefix("FAILED ").partition(" - ")[0] for line in lines]
        caught = failed[0] if failed else ""
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        caught = f"no end within {RUN_TIMEOUT} s"
    except BaseException:
        # It has a session of its own, and hears no Ctrl-C.
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return Result(caught, time.monotonic() - began, output)


def try_out(mutant: Mutant, root: Path) -> Result:
    """Take the defence away, run its tests, and put it back.

    What did not begin for want of a machine that is less busy has one more chance.
    """
    place = root / mutant.file
    whole = place.read_text("utf-8")
    place.write_text(mutated(mutant, whole), encoding="utf-8")
    try:
        result = run(root, mutant.tests)
        if not result.caught_by and "\nERROR " in result.output:
            result = run(root, mutant.tests)
        return result
    finally:
        place.write_text(whole, encoding="utf-8")


def main() -> int:
    """Print the table; returns 1 if a defence is missed by nobody."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("word", nargs="?", default="", help="only defences that mention this")
    chosen = [it for it in mutants() if parser.parse_args().word in it.defence]
    survivors: list[str] = []
    with tempfile.TemporaryDirectory(prefix="powmonman-mutants-") as place:
        # Other users run parts of it.
        Path(place).chmod(0o755)
        root = Path(place) / "tree"
        copy(root)
        whole = run(root, tuple(dict.fromkeys(test for it in chosen for test in it.tests)))
        if whole.caught_by or " passed" not in whole.output:
            print(whole.output)
            print(f"{whole.caught_by or 'the tests'} fail without any change")
            return 1
        print(f"{len(chosen)} defences; their tests pass in {whole.seconds:.0f} s\n")
        print(_COLUMNS.format("DEFENCE", "REMOVED IN", "CAUGHT BY", "SECONDS"))
        for mutant in chosen:
            result = try_out(mutant, root)
            if not result.caught_by:
                survivors.append(mutant.defence)
                print(result.output)
            caught = result.caught_by.partition("::")[2] or result.caught_by or "NOBODY"
            where = mutant.file.removeprefix("powmonman/")
            row = _COLUMNS.format(mutant.defence, where, caught, f"{result.seconds:.1f}")
            print(row, flush=True)
    print(f"\n{len(chosen) - len(survivors)} of {len(chosen)} caught")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
