"""`powmonman ca` as people and playbooks call it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from powmonman import cli

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ca"


@pytest.fixture
def ca(path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a subcommand: exit code, output, errors."""

    def run(what: str, *arguments: str) -> tuple[int, str, str]:
        code = cli.main(["ca", what, "--dir", str(path), *arguments])
        return (code, *capsys.readouterr())

    return run


def test_issue_says_what_it_made_and_then_that_nothing_changed(ca: Run) -> None:
    code, said, _ = ca("issue", "--json", "--server", "--client", "nas", "db", "--client", "hv")
    first = json.loads(said)
    assert code == 0
    assert first["changed"] is True
    hosts = [f"hosts/{name}.pem" for name in ("nas", "db", "hv")]
    assert first["created"] == ["ca.key", "ca.pem", "server.pem", *hosts]
    again = json.loads(ca("issue", "--json", "--server", "--client", "nas", "db", "hv")[1])
    assert again == {
        "changed": False,
        "created": [],
        "updated": [],
        "revoked": [],
        "removed": [],
        "ca_fingerprint": first["ca_fingerprint"],
    }


def test_a_fleet_without_clients_is_no_mistake(ca: Run) -> None:
    assert ca("issue", "--server", "--client")[0] == 0


def test_rotate_and_revoke_name_the_fingerprint_that_is_refused(ca: Run) -> None:
    ca("issue", "--server", "--client", "nas")
    _, before, _ = ca("list", "--json")
    old = {entry["name"]: entry["fingerprint"] for entry in json.loads(before)["issued"]}
    rotated = json.loads(ca("rotate", "--json", "--server")[1])
    assert rotated["revoked"] == [old["powmonman-server"]]
    assert rotated["created"] == ["server.pem"]
    revoked = json.loads(ca("revoke", "--json", "nas")[1])
    assert revoked["revoked"] == [old["nas"]]
    assert revoked["removed"] == ["hosts/nas.pem"]


def test_a_person_reads_the_same(ca: Run) -> None:
    code, said, _ = ca("issue", "--client", "nas")
    assert code == 0
    assert said.splitlines()[:3] == [
        "created: ca.key",
        "created: ca.pem",
        "created: hosts/nas.pem",
    ]
    assert ca("issue", "--client", "nas")[1].splitlines()[0] == "nothing to do"
    assert ca("list")[1].split()[:2] == ["nas", "valid"]


def test_the_ca_is_replaced_in_three_commands(ca: Run) -> None:
    _, said, _ = ca("issue", "--json", "--server")
    codes = [ca("rotate", "--authority", step)[0] for step in ("begin", "finish", "retire")]
    assert codes == [0, 0, 0]
    fingerprint = json.loads(ca("list", "--json")[1])["ca_fingerprint"]
    assert fingerprint != json.loads(said)["ca_fingerprint"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("rotate",),
        ("rotate", "--server", "--authority", "begin"),
        ("issue", "--client", "powmonman-server"),
    ],
)
def test_a_contradiction_is_bad_usage(ca: Run, path: Path, arguments: tuple[str, ...]) -> None:
    code, said, error = ca(*arguments)
    assert (code, said) == (2, "")
    assert error.startswith("powmonman ca: ")
    assert not path.exists()


def test_what_can_not_be_done_is_said_in_one_line(ca: Run) -> None:
    for arguments in (("list",), ("revoke", "nas"), ("issue", "--client", "a/b")):
        code, said, error = ca(*arguments)
        assert (code, said) == (1, "")
        assert error.startswith("powmonman ca: ")
        assert error.count("\n") == 1


def test_the_passphrase_comes_from_the_environment(
    ca: Run, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWMONMAN_CA_PASSPHRASE", "correct horse")
    assert ca("issue", "--client", "nas")[0] == 0
    assert b"ENCRYPTED" in (path / "ca.key").read_bytes()
    monkeypatch.setenv("POWMONMAN_CA_PASSPHRASE", "")
    code, _, error = ca("issue", "--client", "db")
    assert code == 1
    assert "POWMONMAN_CA_PASSPHRASE" in error


def test_without_cryptography_the_package_to_install_is_named(
    ca: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("powmonman.pki")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    code, _, error = ca("issue", "--client", "nas")
    assert code == 1
    assert "powmonman[ca]" in error


def test_a_repository_is_refused_unless_asked_for(ca: Run, path: Path) -> None:
    (path.parent / ".git").mkdir()
    assert ca("issue", "--client", "nas")[0] == 1
    assert ca("issue", "--client", "nas", "--allow-in-repository")[0] == 0
