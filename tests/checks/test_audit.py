"""The audit of dependencies: what is known fails it, and what was not looked up is not passed."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

pytest.importorskip("packaging")
PACKAGES = {"pyyaml": "6.0", "pytest": "8.0"}


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    path = Path(__file__).parents[2] / "checks" / "audit.py"
    spec = importlib.util.spec_from_file_location("audit", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["audit"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(name: str, *flaws: str) -> dict[str, object]:
    vulns = [{"id": flaw, "fix_versions": ["6.0.1"], "aliases": [f"CVE-{flaw}"]} for flaw in flaws]
    return {"name": name, "version": PACKAGES[name], "vulns": vulns}


def judged(audit: ModuleType, rows: object, *, optional: bool = False) -> tuple[int, str]:
    answer = audit.read(json.dumps({"dependencies": rows}), "", PACKAGES)
    code, text = audit.judge(answer, optional=optional)
    return int(code), str(text)


def test_nothing_known_of_all_that_was_asked_is_fine(audit: ModuleType) -> None:
    code, text = judged(audit, [row("pyyaml"), row("pytest")])
    assert (code, text) == (0, "2 packages were looked up: nothing is known against them")


@pytest.mark.parametrize("optional", [False, True])
def test_what_is_known_fails_it_and_says_where_the_package_goes(
    audit: ModuleType, optional: bool
) -> None:
    code, text = judged(audit, [row("pyyaml", "PYSEC-1"), row("pytest")], optional=optional)
    assert code == 1
    assert text.startswith("VULNERABLE: pyyaml 6.0 (hosts, ")
    assert "PYSEC-1, mended in 6.0.1" in text


def test_what_is_accepted_is_named_by_any_of_its_names(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(audit.ACCEPTED, "CVE-PYSEC-1", "does not concern us")
    assert judged(audit, [row("pyyaml", "PYSEC-1"), row("pytest")])[0] == 0


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row("pytest"), {"name": "pyyaml", "skip_reason": "not found"}], "know pyyaml"),
        ([row("pytest")], "know pyyaml"),
        ([{"name": n, "skip_reason": "not found"} for n in PACKAGES], "none of 2 packages"),
        ([], "none of 2 packages"),
        (None, "no answer"),
    ],
)
def test_what_was_not_looked_up_is_left_out_and_said(
    audit: ModuleType, rows: object, said: str
) -> None:
    """pip-audit itself says that nothing was found, and ends with 0."""
    code, text = judged(audit, rows)
    assert code == 2
    assert "LEFT OUT" in text
    assert said in text
    assert judged(audit, rows, optional=True) == (0, text)


def test_one_that_cannot_be_asked_is_left_out_with_its_last_words(
    audit: ModuleType, tmp_path: Path
) -> None:
    broken = tmp_path / "pip-audit"
    broken.write_text("#!/bin/sh\necho Traceback >&2\necho no route to host >&2\nexit 1\n", "utf-8")
    broken.chmod(0o755)
    assert audit.ask(PACKAGES, (str(broken),)).fault == "no route to host"
    assert audit.ask(PACKAGES, ("/no/such/program",)).fault


def test_all_that_hosts_get_is_among_what_is_asked(audit: ModuleType) -> None:
    """PyYAML comes with the program, in the version of this environment."""
    assert "pyyaml" in audit.installed()
    assert audit.needed("") == {"pyyaml"}
    assert "cryptography" in audit.needed("ca")
    assert "powmonman" not in audit.installed()
