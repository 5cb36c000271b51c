"""The fleet CA: what it makes, what it refuses, and what a crash leaves behind."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from powmonman.net.tls import SERVER_NAME, TlsPipe, client_context, is_revoked, server_context
from powmonman.pki import directory
from powmonman.pki.authority import Authority, Changes
from powmonman.pki.directory import AuthorityError, CaDirectory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from powmonman.net.tls import Peer

REPOSITORY = Path(__file__).parents[2]
HOSTS = ("nas", "db_1")
EVERYBODY = (SERVER_NAME, *HOSTS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ca"


@pytest.fixture
def authority(path: Path) -> Authority:
    made = Authority(path)
    made.issue(EVERYBODY)
    return made


def contents(path: Path) -> dict[str, tuple[bytes, int]]:
    files = (file for file in sorted(path.rglob("*")) if file.is_file())
    return {
        str(file.relative_to(path)): (file.read_bytes(), file.stat().st_mtime_ns) for file in files
    }


def meet(server: Path, client: Path) -> Peer:
    """Shake hands over real TLS; return the client as the server sees it."""
    near = TlsPipe(server_context(server), server_side=True)
    far = TlsPipe(client_context(client), server_side=False)
    for _ in range(2):
        near.receive(far.outgoing())
        far.receive(near.outgoing())
    return near.peer()


def assert_whole(path: Path) -> None:
    """Everybody in the directory can talk to the server, none of them with a revoked identity."""
    revoked = revoked_as_the_roll_out_reads_it(path)
    for name in HOSTS:
        peer = meet(path / "server.pem", path / "hosts" / f"{name}.pem")
        assert name == peer.name
        assert not is_revoked(peer.fingerprint, revoked)
    assert list(path.rglob(f"{directory._TEMPORARY}*")) == []


def revoked_as_the_roll_out_reads_it(path: Path) -> list[str]:
    file = path / "revoked.txt"
    return re.findall(r"(?m)^[0-9a-fA-F:]{64,95}", file.read_text() if file.exists() else "")


def test_a_new_directory_gets_a_ca_and_working_identities(authority: Authority, path: Path) -> None:
    assert_whole(path)
    expected = {"ca.key", "ca.pem", "server.pem", "hosts/nas.pem", "hosts/db_1.pem", "lock"}
    assert expected == set(contents(path))
    assert authority.fingerprint == ssl_fingerprint(path / "ca.pem")


def ssl_fingerprint(pem: Path) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.read_text())).hexdigest()


def test_issuing_again_changes_nothing(authority: Authority, path: Path) -> None:
    before = contents(path)
    assert not authority.issue(EVERYBODY)
    assert before == contents(path)


def test_issuing_makes_only_what_is_missing(authority: Authority, path: Path) -> None:
    before = contents(path)
    assert Changes(created=["hosts/desk.pem"]) == authority.issue([*EVERYBODY, "desk", "desk"])
    assert before == {name: it for name, it in contents(path).items() if name in before}


@pytest.mark.parametrize("now", [0, 2**31 + 10, 5_680_281_600, 32_503_680_000])
def test_no_clock_finds_a_certificate_out_of_date(
    authority: Authority, path: Path, monkeypatch: pytest.MonkeyPatch, now: float
) -> None:
    """A Raspberry Pi without a clock wakes in 1970; nobody renews certificates in 2150."""
    del authority
    monkeypatch.setattr(time, "time", lambda: now)
    assert not meet(path / "server.pem", path / "hosts/nas.pem").expired


def test_roles_are_not_exchangeable(authority: Authority, path: Path) -> None:
    del authority
    for server, client in (("hosts/nas.pem", "hosts/db_1.pem"), ("server.pem", "server.pem")):
        with pytest.raises(ssl.SSLCertVerificationError):
            meet(path / server, path / client)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}", fullmatch=True))
def test_any_name_that_is_accepted_arrives_at_the_server(
    authority: Authority, path: Path, name: str
) -> None:
    authority.issue([name])
    assert name == meet(path / "server.pem", path / "hosts" / f"{name}.pem").name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".nas", "-nas", "a/b", "../ca", "na s", "nas\n", "fe80::1", "küche", "x" * 201],
)
def test_a_name_that_can_not_be_used_is_named_and_nothing_is_made(path: Path, name: str) -> None:
    authority = Authority(path)
    with pytest.raises(AuthorityError, match=re.escape(repr(name))):
        authority.issue(["nas", name])
    assert not path.exists()
    authority.issue(["nas"])
    for change in (authority.rotate, authority.revoke):
        with pytest.raises(AuthorityError, match=re.escape(repr(name))):
            change([name])


def test_rotation_replaces_and_revokes(authority: Authority, path: Path) -> None:
    before = contents(path)
    old = meet(path / "server.pem", path / "hosts/nas.pem").fingerprint
    changes = authority.rotate(["nas"])
    assert Changes(created=["hosts/nas.pem"], revoked=[old]) == changes
    assert [old] == revoked_as_the_roll_out_reads_it(path)
    assert_whole(path)
    unchanged = before.keys() - {"hosts/nas.pem"}
    assert {name: before[name] for name in unchanged} == {
        name: contents(path)[name] for name in unchanged
    }
    assert not authority.issue(EVERYBODY)


def test_the_server_is_rotated_too(authority: Authority, path: Path) -> None:
    assert authority.rotate([SERVER_NAME]).created == ["server.pem"]
    assert_whole(path)


def test_a_revoked_host_has_no_identity_until_it_is_issued_one(
    authority: Authority, path: Path
) -> None:
    old = meet(path / "server.pem", path / "hosts/nas.pem").fingerprint
    assert Changes(revoked=[old], removed=["hosts/nas.pem"]) == authority.revoke(["nas", "nas"])
    assert not authority.revoke(["nas"])
    assert [entry.name for entry in authority.entries()] == [SERVER_NAME, "db_1"]
    authority.issue(EVERYBODY)
    assert_whole(path)
    assert [old] == revoked_as_the_roll_out_reads_it(path)
    assert authority.revoke(["nas"])


def test_what_a_person_has_added_to_the_revoked_stays(authority: Authority, path: Path) -> None:
    by_hand = ":".join(["AB"] * 32) + "   # a laptop, stolen"
    (path / "revoked.txt").write_text(by_hand)
    authority.revoke(["nas"])
    first, second = (path / "revoked.txt").read_text().splitlines()
    assert by_hand == first
    assert re.fullmatch(r"[0-9a-f]{64}  # nas, revoked \d{4}-\d\d-\d\d", second)


@pytest.mark.parametrize("command", ["rotate", "revoke"])
def test_who_was_never_issued_anything_is_named(authority: Authority, command: str) -> None:
    with pytest.raises(AuthorityError, match="no identity was issued to 'dsek'"):
        getattr(authority, command)(["nas", "dsek"])
    assert [entry.state for entry in authority.entries()] == ["valid"] * 3


@pytest.mark.parametrize("command", ["rotate", "revoke", "replace"])
def test_only_issuing_makes_a_new_directory(path: Path, command: str) -> None:
    with pytest.raises(AuthorityError, match="ca issue"):
        getattr(Authority(path), command)(["nas"])
    assert not path.exists()


def snapshot(path: Path, to: Path) -> Path:
    shutil.copytree(path, to)
    return to


def test_the_fleet_stays_connected_while_the_ca_is_replaced(
    authority: Authority, path: Path, tmp_path: Path
) -> None:
    """After each step some hosts have the new files and others those of the step before."""
    old_ca = authority.fingerprint
    before = snapshot(path, tmp_path / "0")
    for step in ("begin", "finish", "retire"):
        authority.replace(step)
        assert_whole(path)
        assert not authority.issue(EVERYBODY)
        after = snapshot(path, tmp_path / step)
        for server, client in ((before, after), (after, before)):
            assert meet(server / "server.pem", client / "hosts/nas.pem").name == "nas"
        before = after
    assert old_ca != authority.fingerprint
    for server, client in ((tmp_path / "0", path), (path, tmp_path / "0")):
        with pytest.raises(ssl.SSLCertVerificationError):
            meet(server / "server.pem", client / "hosts/nas.pem")


def test_each_step_needs_the_one_before_and_a_repeated_one_changes_nothing(
    authority: Authority,
) -> None:
    with pytest.raises(AuthorityError, match="begin it"):
        authority.replace("finish")
    assert not authority.replace("retire")
    assert authority.replace("begin")
    assert not authority.replace("begin")
    with pytest.raises(AuthorityError, match="finish first"):
        authority.replace("retire")
    assert authority.replace("finish")
    assert not authority.replace("finish")
    with pytest.raises(AuthorityError, match="retire the old CA"):
        authority.replace("begin")
    assert authority.replace("retire")
    assert not authority.replace("retire")


def test_a_host_added_while_the_ca_is_replaced_is_trusted_by_all(
    authority: Authority, path: Path
) -> None:
    for step in ("begin", "finish", "retire"):
        authority.replace(step)
        authority.issue([f"new-{step}"])
        for entry in authority.entries()[1:]:
            assert entry.name == meet(path / "server.pem", path / entry.file).name


class Killed(BaseException):
    """The process ends here."""


COMMANDS: dict[str, Callable[[Authority], object]] = {
    "issue": lambda authority: authority.issue(EVERYBODY),
    "rotate": lambda authority: authority.rotate(EVERYBODY),
    "revoke": lambda authority: authority.revoke(HOSTS),
    "begin": lambda authority: authority.replace("begin"),
    "finish": lambda authority: authority.replace("finish"),
    "retire": lambda authority: authority.replace("retire"),
}


def kill_at(moment: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """End the process in one of its calls of fsync, which come before and after each rename."""
    calls = iter(range(1000))

    def fsync(_descriptor: int) -> None:
        if next(calls) == moment:
            raise Killed

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_crash_at_any_moment_leaves_a_usable_directory(
    path: Path, tmp_path: Path, command: str
) -> None:
    if command != "issue":
        Authority(path).issue(EVERYBODY)
    for step in {"finish": ("begin",), "retire": ("begin", "finish")}.get(command, ()):
        COMMANDS[step](Authority(path))
    for moment in range(1000):
        copy = tmp_path / str(moment)
        if path.exists():
            snapshot(path, copy)
        with pytest.MonkeyPatch.context() as monkeypatch:
            kill_at(moment, monkeypatch)
            with contextlib.suppress(Killed):
                COMMANDS[command](Authority(copy))
                break
        run_on(copy, command)
        assert_whole(copy)
    assert moment >= 4


def run_on(path: Path, command: str) -> None:
    """Do what the tired admin does after a crash: the same again, then the next roll-out."""
    authority = Authority(path)
    if command not in {"rotate", "revoke"}:
        COMMANDS[command](authority)
    authority.issue(EVERYBODY)
    assert not authority.issue(EVERYBODY)
    if command not in {"rotate", "revoke"}:
        COMMANDS[command](authority)


def test_a_crash_in_a_rotation_never_leaves_the_old_key_good(path: Path, tmp_path: Path) -> None:
    """Once the new identity is there the old one is revoked, whatever comes after."""
    Authority(path).issue(EVERYBODY)
    old = meet(path / "server.pem", path / "hosts/nas.pem").fingerprint
    for moment in range(4):
        copy = snapshot(path, tmp_path / str(moment))
        with pytest.MonkeyPatch.context() as monkeypatch:
            kill_at(moment, monkeypatch)
            with contextlib.suppress(Killed):
                Authority(copy).rotate(["nas"])
        current = meet(copy / "server.pem", copy / "hosts/nas.pem").fingerprint
        assert current == old or is_revoked(old, revoked_as_the_roll_out_reads_it(copy))


def test_runs_at_the_same_time_make_one_ca(path: Path) -> None:
    names = [f"host{number}" for number in range(4)]
    command = [sys.executable, "-m", "powmonman", "ca", "issue", "--dir", str(path), "--server"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    runs = [
        subprocess.Popen([*command, "--client", name], env=environment, stdout=subprocess.DEVNULL)
        for name in names
    ]
    assert [run.wait() for run in runs] == [0] * len(names)
    for name in names:
        assert name == meet(path / "server.pem", path / "hosts" / f"{name}.pem").name


def test_a_run_that_never_ends_is_reported_and_not_waited_for(
    authority: Authority, path: Path
) -> None:
    del authority
    with (path / "lock").open("r+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        started = time.monotonic()
        with pytest.raises(AuthorityError, match="another `powmonman ca`"):
            CaDirectory(path).locked(patience=0.2).__enter__()
        assert time.monotonic() - started < 5


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    old = os.umask(mask)
    try:
        yield
    finally:
        os.umask(old)


def modes(path: Path) -> set[tuple[bool, int]]:
    return {(it.is_dir(), it.stat().st_mode & 0o777) for it in (path, *path.rglob("*"))}


def test_a_lax_umask_opens_nothing(path: Path) -> None:
    with umask(0):
        Authority(path).issue(EVERYBODY)
        Authority(path).rotate(EVERYBODY)
    assert {(True, 0o700), (False, 0o600)} == modes(path)


def test_modes_that_were_loosened_are_put_right(authority: Authority, path: Path) -> None:
    for file in (path, *path.rglob("*")):
        file.chmod(0o755 if file.is_dir() else 0o644)
    authority.issue(EVERYBODY)
    assert {(True, 0o700), (False, 0o600)} == modes(path)


def test_a_directory_with_other_things_is_left_alone(path: Path) -> None:
    path.mkdir(mode=0o755)
    (path / "hosts").write_text("127.0.0.1 localhost\n")
    (path / "passwd").touch()
    with pytest.raises(AuthorityError, match="passwd"):
        Authority(path).issue(EVERYBODY)
    assert {"hosts", "passwd"} == {it.name for it in path.iterdir()}
    assert path.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("inside", [".", "deep/er"])
def test_a_git_work_tree_is_refused_unless_asked_for(tmp_path: Path, inside: str) -> None:
    (tmp_path / ".git").mkdir()
    path = tmp_path / inside / "ca"
    with pytest.raises(AuthorityError, match="--allow-in-repository"):
        Authority(path).issue(EVERYBODY)
    assert not path.exists()
    Authority(path, in_repository=True).issue(EVERYBODY)
    assert_whole(path)
    with pytest.raises(AuthorityError, match="--allow-in-repository"):
        Authority(path).rotate(EVERYBODY)


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_a_directory_that_git_ignores_is_fine(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text(".demo/\n")
    assert Authority(tmp_path / ".demo/ca").issue(["nas"])
    with pytest.raises(AuthorityError, match="--allow-in-repository"):
        Authority(tmp_path / "demo/ca").issue(["nas"])


def test_a_passphrase_encrypts_the_ca_key_and_only_that(path: Path) -> None:
    Authority(path, "correct horse").issue(EVERYBODY)
    assert b"ENCRYPTED" in (path / "ca.key").read_bytes()
    assert_whole(path)
    for passphrase, hint in (("", "POWMONMAN_CA_PASSPHRASE"), ("wrong", "is wrong")):
        with pytest.raises(AuthorityError, match=hint):
            Authority(path, passphrase).issue(["desk"])
        with pytest.raises(AuthorityError, match=hint):
            Authority(path, passphrase).rotate(["nas"])
        assert revoked_as_the_roll_out_reads_it(path) == []
        assert not Authority(path, passphrase).issue(EVERYBODY)
    assert Authority(path, "correct horse").issue(["desk"])


def test_a_replaced_ca_keeps_the_passphrase(path: Path) -> None:
    Authority(path, "correct horse").issue(EVERYBODY)
    Authority(path, "correct horse").replace("begin")
    assert b"ENCRYPTED" in (path / "ca-next.key").read_bytes()
    before = contents(path)
    with pytest.raises(AuthorityError, match="is wrong"):
        Authority(path, "wrong").replace("finish")
    assert before == contents(path)
    Authority(path, "correct horse").replace("finish")
    assert_whole(path)


def test_an_open_key_needs_no_passphrase_although_one_is_set(
    authority: Authority, path: Path
) -> None:
    del authority
    assert Authority(path, "set for another fleet").issue(["desk"])


def test_a_ca_key_kept_elsewhere_is_asked_for_only_to_sign(
    authority: Authority, path: Path
) -> None:
    (path / "ca.key").unlink()
    assert not authority.issue(EVERYBODY)
    assert len(authority.entries()) == 3
    with pytest.raises(AuthorityError, match=r"ca\.key: missing"):
        authority.issue(["desk"])
    with pytest.raises(AuthorityError, match=r"ca\.key: missing"):
        authority.rotate(["nas"])
    assert revoked_as_the_roll_out_reads_it(path) == []


@pytest.mark.parametrize(
    ("file", "content", "hint"),
    [
        ("ca.pem", None, "restore it from a copy, or from the end of that file"),
        ("ca.pem", b"", "ca.pem: damaged"),
        ("ca.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "damaged"),
        ("ca.key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not a key"),
        ("hosts/nas.pem", b"", "nas.pem: damaged: remove it"),
        ("hosts/nas.pem", "hosts/db_1.pem", "issued to 'db_1'"),
        ("hosts/nas.pem", "../other/hosts/nas.pem", "issued by another CA"),
        ("ca.key", "../other/ca.key", "belongs to no certificate"),
        ("ca.pem", "../other/ca.pem", "issued by another CA"),
    ],
)
def test_damage_is_named_with_what_helps(
    authority: Authority, path: Path, file: str, content: bytes | str | None, hint: str
) -> None:
    Authority(path.parent / "other").issue(EVERYBODY)
    if isinstance(content, str):
        content = (path / content).read_bytes()
    if content is None:
        (path / file).unlink()
    else:
        (path / file).write_bytes(content)
    before = contents(path)
    with pytest.raises(AuthorityError, match=hint):
        authority.issue([*HOSTS, "desk"])
    assert before == contents(path)


def test_a_file_in_the_place_of_the_directory_is_named(path: Path) -> None:
    path.write_text("")
    with pytest.raises(AuthorityError, match="Not a directory"):
        Authority(path).issue(EVERYBODY)
