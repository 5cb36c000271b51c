"""The list of mutants fits the tree: each defence is where it says, and its tests are there."""

from __future__ import annotations

import ast
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.mutants.run import REPOSITORY, Mutant, mutants, mutated

if TYPE_CHECKING:
    from pathlib import Path

LISTED = mutants()


@cache
def named_in(file: Path) -> frozenset[str]:
    """Return the tests of a file, those of a class with its name before theirs."""
    found = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            inner = (it for it in node.body if isinstance(it, ast.FunctionDef))
            found |= {f"{node.name}::{it.name}" for it in inner}
    return frozenset(found)


@pytest.mark.parametrize("mutant", LISTED, ids=lambda it: it.defence)
def test_a_defence_is_there_once_and_so_are_its_tests(mutant: Mutant) -> None:
    place = REPOSITORY / mutant.file
    without = mutated(mutant, place.read_text("utf-8"))
    if place.suffix == ".py":
        compile(without, mutant.file, "exec")
    assert mutant.tests
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert name.partition("[")[0] in named_in(REPOSITORY / file)


def test_no_defence_is_listed_twice() -> None:
    assert len({mutant.defence for mutant in LISTED}) == len(LISTED)
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in LISTED}) == len(LISTED)
