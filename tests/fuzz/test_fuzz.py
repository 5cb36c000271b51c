"""Every kept input, what is large on purpose, and a bounded search for more: docs/fuzzing.md."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import fuzzing
import pytest
from fuzzing import ViolationError
from hypothesis import HealthCheck, given, settings
from mutation import inputs

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = int(os.environ.get("POWMONMAN_FUZZ_EXAMPLES", "20"))
SECONDS, RUNS = 1, 1000
# More memory than that for one input of at most a few hundred KiB is a leak or a bomb.
ROOM = 512 * 1024 * 1024
MOST_FILES, MOST_BYTES = 40, 300_000

KEPT = [(name, path) for name in fuzzing.names() for path in fuzzing.corpus(name)]


@pytest.fixture(autouse=True)
def _read_along() -> Iterator[None]:
    with fuzzing.listening():
        yield


@pytest.mark.parametrize(("name", "path"), KEPT, ids=[f"{name}-{path.name}" for name, path in KEPT])
def test_what_was_found_once_is_not_found_again(name: str, path: Path) -> None:
    fuzzing.bounded(fuzzing.load(name).target)(path.read_bytes())


@pytest.mark.parametrize("name", fuzzing.names())
def test_what_is_large_on_purpose_takes_bounded_time_and_memory(name: str) -> None:
    module = fuzzing.load(name)
    module.target(b"")
    for data in module.hostile():
        with _room():
            fuzzing.bounded(module.target)(data)


@pytest.mark.parametrize("name", fuzzing.names())
def test_what_is_like_a_kept_input_breaks_no_promise(name: str) -> None:
    target = fuzzing.bounded(fuzzing.load(name).target)

    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(inputs(name))
    def search(data: bytes) -> None:
        target(data)

    search()


@pytest.mark.timeout(500)
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not for this platform")
def test_a_bounded_search_that_is_guided_by_coverage(tmp_path: Path) -> None:
    """The same inputs each time, as far as the time allows: it must not fail now and then."""
    bounds = ("--seconds", SECONDS, "--runs", RUNS, "--seed", 1, "--kept", tmp_path)
    run = Path(__file__).with_name("run.py")
    done = subprocess.run(
        [sys.executable, run, "--engine", "atheris", *map(str, bounds)],
        env=os.environ | {"PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=480,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_corpus_is_small_and_every_target_has_one() -> None:
    sizes = {name: len(fuzzing.corpus(name)) for name in fuzzing.names()}
    assert all(0 < size <= MOST_FILES for size in sizes.values()), sizes
    assert sum(path.stat().st_size for _, path in KEPT) <= MOST_BYTES


def test_a_target_that_breaks_a_promise_is_told_with_the_input(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By hypothesis, which is everywhere: the search finds it and keeps the smallest input."""
    run = fuzzing.importlib.import_module("run")
    module = fuzzing.load("framing")
    monkeypatch.setattr(module, "target", lambda data: fuzzing.expect(len(data) < 5, "too long"))
    monkeypatch.setattr(run, "CRASHES", tmp_path)
    outcome = run._guess("framing", 5.0)
    (found,) = outcome.found
    assert len(found.read_bytes()) >= 5
    assert outcome.runs


def test_time_without_bound_is_a_violation() -> None:
    def spin(_: bytes) -> None:
        for _ in range(200_000):
            pass

    with pytest.raises(ViolationError, match="3 bytes took"):
        fuzzing.bounded(spin, longest=0.0001)(b"abc")


@contextlib.contextmanager
def _room() -> Iterator[None]:
    """Let this process have no more than `ROOM` beyond what it has."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    most = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
