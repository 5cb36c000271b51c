"""What grows is found, and what only wobbles or fills up is not."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.daemon import clean_environment, wait_for

from .figures import Figures, figures, size
from .growth import Bound, growth, slope

if TYPE_CHECKING:
    from collections.abc import Iterator

OBSERVED = Path(__file__).with_name("observed.py")
# With each byte that it reads it lets something more live on.
LEAKY = """
import asyncio, os, sys, threading
kept = []
async def main():
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, os.read, 0, 1):
        kept.append([bytearray(1_000_000), open("/dev/null"), [[] for _ in range(500)]])
        kept.append(loop.create_task(asyncio.sleep(1000)))
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        print("more", flush=True)
asyncio.run(main())
"""

BUSY = """
import time
end = time.monotonic() + 100
while time.monotonic() < end:
    tuple([n] for n in range(50_000))
    time.sleep(0.001)
"""


def test_a_slope_is_that_of_most_points_whatever_a_few_say() -> None:
    values = [3.0 * n for n in range(20)]
    values[7], values[13] = 5000.0, -5000.0
    assert slope(range(20), values) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("grows", "value"),
    [
        (False, lambda _, noise: 20_000 + noise),
        (False, lambda n, noise: min(20_000 + 40 * n, 21_500) + noise),
        (False, lambda n, noise: 20_000 + 2_000 * (n in {61, 74}) + noise),
        (False, lambda n, noise: 22_000 - 10 * n + noise),
        (True, lambda n, noise: 20_000 + 40 * n + noise),
        (True, lambda n, noise: 20_000 + 40 * max(0, n - 60) + noise),
    ],
    ids=["wobbles", "fills up", "has peaks", "shrinks", "leaks", "leaks late"],
)
def test_only_what_goes_on_growing_is_growth(grows: bool, value) -> None:
    noise = random.Random(7)
    values = [value(n, noise.uniform(-200, 200)) for n in range(100)]
    assert growth([n * 100 for n in range(100)], values, Bound(1000)).grows is grows


def test_what_may_grow_by_a_share_is_measured_by_its_own_size() -> None:
    at, values = range(10), [100.0 + 4 * n for n in range(10)]
    assert growth(at, values, Bound(0, share=0.05)).grows
    assert not growth(at, values, Bound(0, share=0.3)).grows


@pytest.fixture
def leaky(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    (tmp_path / "leaky.py").write_text(LEAKY, "utf-8")
    with subprocess.Popen(
        [sys.executable, OBSERVED, tmp_path / "observer", sys.executable, "-m", "leaky"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment({"PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"}),
    ) as process:
        yield process
        process.kill()


def test_what_a_process_lets_live_on_is_seen_from_without(
    leaky: subprocess.Popen[str], tmp_path: Path
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    wait_for("the observer listens", (tmp_path / "observer").exists)

    def seen() -> Figures:
        return figures(leaky.pid, tmp_path / "observer", state, state)

    def leak() -> Figures:
        assert leaky.stdin is not None
        assert leaky.stdout is not None
        leaky.stdin.write("x")
        leaky.stdin.flush()
        assert leaky.stdout.readline() == "more\n"
        return seen()

    before = leak()
    (state / "file").write_bytes(b"x" * 3000)
    after = leak()
    for _ in range(4):
        after = leak()
    assert (after.descriptors - before.descriptors, after.threads - before.threads) == (5, 5)
    assert (after.tasks - before.tasks, after.state - before.state) == (5, 3000)
    assert after.objects - before.objects > 2500
    assert min(after.rss - before.rss, after.uss - before.uss) > 4000


def test_the_observer_breaks_nothing_that_is_being_made(tmp_path: Path) -> None:
    """A tuple out of a generator is resized while it grows, which nobody else may hold."""
    (tmp_path / "busy.py").write_text(BUSY, "utf-8")
    observer = tmp_path / "observer"
    with subprocess.Popen(
        [sys.executable, OBSERVED, observer, sys.executable, "-m", "busy"],
        env=clean_environment({"PYTHONPATH": str(tmp_path)}),
    ) as process:
        try:
            wait_for("the observer listens", observer.exists)
            for _ in range(5):
                figures(process.pid, observer, tmp_path, tmp_path)
            assert process.poll() is None
        finally:
            process.kill()


def test_the_size_of_a_directory_follows_no_links(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").write_bytes(b"x" * 100)
    (tmp_path / "link").symlink_to(sys.executable)
    assert size(tmp_path) == 100
    assert size(tmp_path / "sub" / "file") == 100
    assert size(tmp_path / "nothing") == 0
