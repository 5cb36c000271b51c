"""The scan for secrets finds what it is there for, and nothing talks it out of that."""

from __future__ import annotations

import base64
import random
import string
import subprocess
import sys
from pathlib import Path

import pytest

SCAN = Path(__file__).parents[2] / "checks" / "scan_secrets.py"
pytest.importorskip("detect_secrets")
_DICE = random.Random(5)


def _of(alphabet: str, length: int) -> str:
    return "".join(_DICE.choices(alphabet, k=length))


# Put together here, so that this file holds none.
DASHES, KEY = "-" * 5, "PRIVATE" + " KEY"
PEM = base64.b64encode(_DICE.randbytes(96)).decode()
SECRETS = {
    "ca.key": f"{DASHES}BEGIN EC {KEY}{DASHES}\n{PEM}\n{DASHES}END EC {KEY}{DASHES}\n",
    "identity.pem": f"{DASHES}BEGIN {KEY}{DASHES}\n{PEM}\n{DASHES}END {KEY}{DASHES}\n",
    "notify.yml": f"targets:\n  me: mailtos://pi:{_of(string.ascii_letters, 12)}@example.org\n",
    "group_vars.yml": f'powmonman_ca_passphrase: "{_of(string.ascii_letters + "-", 20)}"\n',
    "host_vars.yml": f"powmonman_ca_passphrase: {_of(string.ascii_letters, 20)}\n",
    "token.md": f"Log in with ghp_{_of(string.ascii_letters + string.digits, 36)}.\n",
    "bot.py": f'URL = "tgram://{_of("123456789", 10)}:{_of(string.ascii_letters, 35)}/"\n',
}
HARMLESS = {
    "README.md": "The password stands in `notify.yml`: `mailtos://pi:password@mail.example.org`.\n",
    "group_vars/all.yml": "powmonman_ca_passphrase: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n",
    "code.py": 'OUTAGE = "outage"\npassword = ask("password")\n',
}


def scanned(root: Path, files: dict[str, str]) -> subprocess.CompletedProcess[str]:
    root.mkdir()
    subprocess.run(["git", "init", "--quiet", root], check=True)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    subprocess.run(["git", "add", "."], cwd=root, check=True)
    (root / "untracked.key").write_text(SECRETS["ca.key"], "utf-8")
    return subprocess.run(
        [sys.executable, SCAN], cwd=root, capture_output=True, text=True, check=False
    )


def test_each_kind_of_secret_is_found_by_place_and_kind_and_not_printed(tmp_path: Path) -> None:
    ran = scanned(tmp_path / "clone", {**HARMLESS, **SECRETS})
    assert ran.returncode == 1
    found = {line.partition(":")[0] for line in ran.stderr.splitlines()[:-1]}
    assert found == set(SECRETS)
    for text in SECRETS.values():
        for word in text.replace('"', " ").replace(":", " ").split():
            assert len(word) < 12 or word not in ran.stdout + ran.stderr


def test_where_there_is_none_it_says_how_much_it_has_seen(tmp_path: Path) -> None:
    ran = scanned(tmp_path / "clone", HARMLESS)
    assert (ran.returncode, ran.stdout) == (0, "no secret in 3 files\n"), ran.stderr


def test_a_comment_allows_nothing(tmp_path: Path) -> None:
    token = SECRETS["token.md"].strip()
    line = f'TOKEN = "{token}"  # pragma: allowlist secret\n'
    assert scanned(tmp_path / "clone", {"a.py": line}).returncode == 1


def test_a_key_that_is_planted_in_a_clone_of_this_repository_is_found(tmp_path: Path) -> None:
    """In the midst of what is allowed here."""
    root = Path(__file__).parents[2]
    planted = "tests/unit/test_pki.py"
    files = {name: (root / name).read_text("utf-8") for name in (planted, "docs/notifications.md")}
    files[planted] += f'KEY = """\n{SECRETS["ca.key"]}"""\n'
    ran = scanned(tmp_path / "clone", files)
    last = files[planted].count("\n") - 3
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[0] == f"{planted}:{last}: Private Key"
