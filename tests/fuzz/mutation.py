"""Inputs for hypothesis: those of the corpus, with bits turned, cut, doubled and spliced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzzing import corpus, load
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_EDITS = 6


def inputs(name: str) -> st.SearchStrategy[bytes]:
    """Return what a target is to be tried with."""
    module = load(name)
    seeds = [path.read_bytes() for path in corpus(name)] or [b""]
    return _edited(seeds, module.WORDS).map(lambda data: data[: module.LARGEST])


@st.composite
def _edited(draw: st.DrawFn, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, MOST_EDITS))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 64)))
        before, part, after = data[:at], data[at:end], data[end:]
        match draw(
            st.sampled_from(("bit", "word", "over", "cut", "drop", "double", "splice", "any"))
        ):
            case "bit" if part:
                data = before + bytes([part[0] ^ 1 << draw(st.integers(0, 7))]) + part[1:] + after
            case "word":
                data = before + draw(st.sampled_from(words)) + part + after
            case "over":
                data = before + draw(st.sampled_from(words)) + after
            case "cut":
                data = before
            case "drop":
                data = before + after
            case "double":
                data = before + part * draw(st.integers(2, 20)) + after
            case "splice":
                other = draw(st.sampled_from(seeds))
                data = before + other[draw(st.integers(0, len(other))) :]
            case _:
                data = before + draw(st.binary(max_size=16)) + after
    return data
