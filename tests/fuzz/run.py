"""Fuzz the product: `make fuzz`, or `python tests/fuzz/run.py [TARGET...] [--seconds N]`.

Coverage-guided by atheris where that can be imported, else by hypothesis. What is found lies in
`crashes/` afterwards, with the command that repeats it. New inputs that reach new code are kept in
`.cache/fuzz`, for the next run.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import os
import re
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]
for place in (ROOT, ROOT / "tests" / "fuzz"):
    sys.path.insert(0, str(place))

import fuzzing  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CRASHES = fuzzing.HERE / "crashes"
KEPT = ROOT / ".cache" / "fuzz"
LONGEST_INPUT = 25
MOST_MEGABYTES = 1500
HEAD = (
    f"{'target':14} {'seconds':>7} {'runs':>9} {'runs/s':>7} {'edges':>6} {'features':>8} "
    f"{'corpus':>6}  found"
)


@dataclass
class Outcome:
    """What came of one target."""

    name: str
    seconds: float = 0.0
    runs: int = 0
    edges: str = "-"
    features: str = "-"
    corpus: int = 0
    found: Sequence[Path] = ()

    def __str__(self) -> str:
        rate = self.runs / self.seconds if self.seconds else 0.0
        return (
            f"{self.name:14} {self.seconds:7.1f} {self.runs:9} {rate:7.0f} {self.edges:>6} "
            f"{self.features:>8} {self.corpus:6}  {len(self.found)}"
        )


def main() -> int:
    """Return 0 if nothing was found."""
    arguments = _arguments()
    if arguments.repeat:
        return _repeat(arguments.targets[0], arguments.repeat)
    names = arguments.targets or fuzzing.names()
    CRASHES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="powmonman-fuzz-", dir=_memory()) as place:
        # The fuzzer ends without a word to Python: what its targets leave is removed here.
        os.environ["TMPDIR"] = tempfile.tempdir = place
        with fuzzing.listening():
            fuzz = _with_atheris if _instrumented(names, arguments.engine) else _with_hypothesis
            print(f"by {'atheris' if fuzz is _with_atheris else 'hypothesis'}\n{HEAD}", flush=True)
            found = fuzz(names, arguments, Path(place))
    for each in found:
        print(f"\n{each.name}\n  repeat it: {_command(each)}")
    return 1 if found else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", choices=[[], *fuzzing.names()], metavar="TARGET")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target (default: 60)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="targets at once")
    parser.add_argument("--engine", choices=("atheris", "hypothesis"))
    parser.add_argument("--runs", type=int, default=-1, help="for each target, at the most")
    parser.add_argument("--kept", type=Path, default=KEPT, help="where new inputs are kept")
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("--repeat", type=Path, metavar="FILE", help="run one input of one target")
    return parser.parse_args()


def _memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _repeat(name: str, path: Path) -> int:
    with fuzzing.listening():
        target = fuzzing.load(name).target
        try:
            fuzzing.bounded(target)(path.read_bytes())
        except Exception:  # noqa: BLE001 - whatever is raised is what was found
            traceback.print_exc()
            return 1
    print("nothing wrong")
    return 0


def _command(crash: Path) -> str:
    name = crash.name.partition("-")[0]
    return f"{sys.executable} tests/fuzz/run.py {name} --repeat {crash.relative_to(ROOT)}"


def _instrumented(names: Sequence[str], engine: str | None) -> bool:
    """Load the targets, so that atheris sees which code they reach; False where it can't be had."""
    if engine == "hypothesis":
        return False
    try:
        import atheris
    except ImportError:
        if engine:
            raise
        return False
    told = contextlib.redirect_stderr(io.StringIO())
    with told, atheris.instrument_imports(include=["powmonman", "yaml"]):
        for name in names:
            fuzzing.load(name)
    return True


def _with_atheris(names: Sequence[str], arguments: argparse.Namespace, place: Path) -> list[Path]:
    """Run each target in a process of its own, so many at once."""
    waiting, running, found = list(names), {}, []
    while waiting or running:
        while waiting and len(running) < arguments.jobs:
            name = waiting.pop(0)
            (place / name).mkdir()
            began = time.monotonic()
            if (child := os.fork()) == 0:
                _fuzz(name, arguments, place / name)
            running[child] = (name, began)
        child, _ = os.wait()
        name, began = running.pop(child)
        outcome = _outcome(name, time.monotonic() - began, place / name)
        print(outcome, flush=True)
        if outcome.found:
            print("    " + "\n    ".join(_last_words(place / name / "log")), flush=True)
        found += outcome.found
        shutil.rmtree(place / name)
    return found


def _fuzz(name: str, arguments: argparse.Namespace, place: Path) -> None:
    """Never return."""
    import atheris

    log = os.open(place / "log", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    # What the parent has made is the parent's to remove.
    fuzzing.scratch.cache_clear()
    os.environ["TMPDIR"] = tempfile.tempdir = str(place)
    try:
        module = fuzzing.load(name)
        module.target(b"")
        words = "".join(f'"{_escaped(word)}"\n' for word in module.WORDS if 0 < len(word) < 60)
        (place / "words").write_text(words, "ascii")
        kept, seeds = arguments.kept / name, fuzzing.CORPUS / name
        for directory in (kept, seeds):
            directory.mkdir(parents=True, exist_ok=True)
        options = (
            f"-max_total_time={max(1, round(arguments.seconds))}",
            f"-runs={arguments.runs}",
            f"-max_len={module.LARGEST}",
            f"-dict={place / 'words'}",
            f"-timeout={LONGEST_INPUT}",
            f"-rss_limit_mb={MOST_MEGABYTES}",
            f"-artifact_prefix={CRASHES}/{name}-",
            f"-seed={arguments.seed}",
            "-print_final_stats=1",
            "-len_control=0",
        )
        atheris.Setup([name, *options, str(kept), str(seeds)], _kept(name, module.target))
        (place / "began").touch()
        atheris.Fuzz()
    except BaseException:  # noqa: BLE001 - a forked child must never go on as its parent
        traceback.print_exc()
    finally:
        os._exit(1)


def _kept(name: str, target: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Keep the input that fails: atheris ends the process before libFuzzer can."""
    bounded = fuzzing.bounded(target)

    def one(data: bytes) -> None:
        try:
            bounded(data)
        except Exception:
            crash = CRASHES / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
            crash.write_bytes(data)
            print(f"Test unit written to {crash}", flush=True)
            raise

    return one


def _escaped(word: bytes) -> str:
    return "".join(
        chr(each) if 32 <= each < 127 and each not in b'"\\' else f"\\x{each:02x}" for each in word
    )


def _outcome(name: str, seconds: float, place: Path) -> Outcome:
    log = (place / "log").read_text("utf-8", "replace")
    figures: Any = re.findall(r"#(\d+)\s.*?cov: (\d+) ft: (\d+) corp: (\d+)", log) or [
        ("0", "-", "-", "0")
    ]
    _, edges, features, size = figures[-1]
    runs = re.findall(r"number_of_executed_units: *(\d+)", log) or [figures[-1][0]]
    began = (place / "began").stat().st_mtime if (place / "began").exists() else time.time()
    artifacts = [Path(text.strip()) for text in re.findall(r"Test unit written to (.+)", log)]
    if not artifacts and "number_of_executed_units" not in log:
        # It never came to fuzzing, or ended in a way that nobody foresaw.
        crash = CRASHES / f"{name}-log"
        shutil.copyfile(place / "log", crash)
        artifacts = [crash]
    return Outcome(
        name,
        min(seconds, time.time() - began),
        int(runs[-1]),
        edges,
        features,
        int(size),
        artifacts,
    )


def _last_words(log: Path) -> list[str]:
    lines = log.read_text("utf-8", "replace").splitlines()
    at = next((n for n, line in enumerate(lines) if "Traceback" in line or "ERROR:" in line), 0)
    return lines[at : at + 25]


def _with_hypothesis(names: Sequence[str], arguments: argparse.Namespace, _: Path) -> list[Path]:
    found = []
    for name in names:
        outcome = _guess(name, arguments.seconds)
        print(outcome, flush=True)
        found += outcome.found
    return found


def _guess(name: str, seconds: float) -> Outcome:
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from mutation import inputs

    target, data = fuzzing.bounded(fuzzing.load(name).target), inputs(name)
    outcome = Outcome(name, corpus=len(fuzzing.corpus(name)))
    began, last = time.monotonic(), b""

    def one(given_: bytes) -> None:
        nonlocal last
        outcome.runs, last = outcome.runs + 1, given_
        target(given_)

    quiet = settings(
        max_examples=100, database=None, deadline=None, print_blob=False,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink],
    )  # fmt: skip
    while outcome.seconds < seconds and not outcome.found:
        try:
            seed(time.time_ns())(quiet(given(data)(one)))()
        except Exception:  # noqa: BLE001 - likewise
            # The last one tried is the smallest that fails.
            crash = CRASHES / f"{name}-{len(list(CRASHES.iterdir()))}"
            crash.write_bytes(last)
            outcome.found = [crash]
            traceback.print_exc()
        outcome.seconds = time.monotonic() - began
    return outcome


if __name__ == "__main__":
    sys.exit(main())
