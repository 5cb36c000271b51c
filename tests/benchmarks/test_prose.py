"""What docs say in words of speed and size is what was measured, as far as words are exact."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from benchmarks.page import RESULTS, ROOT
from benchmarks.result import load_all

if TYPE_CHECKING:
    from collections.abc import Callable

# Of what was measured: rounded to be read.
ROUNDED = 0.1
ALL = load_all(RESULTS)
SIZES = (1000, 3000, 10_000)


def scale(name: str, n: int) -> float:
    return ALL["scale"].find(name, n=n).median


def each(name: str) -> float:
    """Return what one host adds, over the largest fleet."""
    return (scale(name, SIZES[-1]) - scale(name, 0)) / SIZES[-1]


def joins() -> list[float]:
    return [scale("CPU of a join", n) for n in SIZES]


def told(n: int) -> float:
    return scale("change to last client told, one core", n) / 1000


def rollout(what: str, n: int) -> float:
    return ALL["rollout"].find(what, n=n).median


FIRST, AGAIN = "first roll-out", "roll-out that changes nothing"
MODULES, PINGS = "modules a client", "in pings"
IDLE, BACK = "idle, one core: CPU", "server killed to all back and told, one core"
# By page: words with the figures, and the figures as measured.
CLAIMS: dict[str, dict[str, Callable[[], list[float]]]] = {
    "docs/scale.md": {
        r"open files \| ([\d.]+) \|": lambda: [each("open files")],
        r"memory \| (\d+) kB, over some (\d+) MB": lambda: [
            each("memory (PSS)"),
            scale("memory (PSS)", 0) / 1000,
        ],
        r"1,000 hosts: (\d+) MB; 10,000 hosts: ([\d.]+) GB": lambda: [
            scale("memory (PSS)", 1000) / 1000,
            scale("memory (PSS)", 10_000) / 1e6,
        ],
        r"nothing happens \| ([\d.]+) ms a minute": lambda: [1000 * each(IDLE)],
        r"half a core: some ([\d,]+) hosts": lambda: [(30 - scale(IDLE, 0)) / each(IDLE)],
        r"to join \| ([\d.]+) to ([\d.]+) ms": lambda: [min(joins()), max(joins())],
        r"one core full: (\d+) to (\d+) hosts": lambda: [1000 / max(joins()), 1000 / min(joins())],
        r"([\d.]+) ms from the first one told to the last": lambda: [
            scale("first to last client told, one core", 1000) / 1000
        ],
        r"before anybody is told, ([\d.]+) ms": lambda: [told(1000)],
        r"1,000 hosts: ([\d.]+) s; 3,000: ([\d.]+) s; 10,000: ([\d.]+) s": lambda: [
            told(n) for n in SIZES
        ],
        r"in 5 s: some ([\d,]+)\.": lambda: [5000 / max(joins())],
        r"1,000 \| all back ([\d.]+) s after .* a factor of (\d+)": lambda: [
            scale(BACK, 1000),
            30 / scale(IDLE, 1000),
        ],
        r"3,000 \| all back ([\d.]+) s after .* a factor of (\d+)": lambda: [
            scale(BACK, 3000),
            30 / scale(IDLE, 3000),
        ],
        r"all joined within (\d+) s of a start": lambda: [
            10_000 / scale("joined, one core", 10_000)
        ],
    },
    "docs/rollout.md": {
        r"first run \| (\d+) \| (\d+) \| (\d+) \|": lambda: [
            rollout(f"{FIRST}: {MODULES}", 4),
            rollout(f"{FIRST}: {PINGS}", 4),
            rollout(f"{FIRST}: {PINGS}", 12),
        ],
        r"nothing to change \| (\d+): .* \| ([\d.]+) \| ([\d.]+) \|": lambda: [
            rollout(f"{AGAIN}: {MODULES}", 4),
            rollout(f"{AGAIN}: {PINGS}", 4),
            rollout(f"{AGAIN}: {PINGS}", 12),
        ],
    },
}


@pytest.mark.parametrize(
    ("page", "words"), [(page, words) for page, claims in CLAIMS.items() for words in claims]
)
def test_a_figure_in_words_is_the_one_that_was_measured(page: str, words: str) -> None:
    found = re.findall(words, (ROOT / page).read_text("utf-8"))
    assert 1 == len(found), f"{words} is not in {page}"
    (said,) = found
    figures = [float(text.replace(",", "")) for text in ([said] if isinstance(said, str) else said)]
    assert CLAIMS[page][words]() == pytest.approx(figures, rel=ROUNDED)
