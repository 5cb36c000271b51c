"""What a guard makes of its one file, before any process runs."""

from __future__ import annotations

import os
import pwd
import signal
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from powmonman.config.loader import ConfigError, load, parse, read
from powmonman.config.notify_keys import Notify, Template
from powmonman.config.schema import ClientConfig, GuardConfig, Log, ServerConfig
from powmonman.config.shutdown_keys import FleetPolicy, HostPolicy
from powmonman.config.sources import Ups
from powmonman.guard import child, derive, prepare
from powmonman.guard.prepare import Account, GuardError

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = Path("/etc/powmonman/guard.yml")


def test_an_empty_file_guards_by_the_battery_and_half_of_its_charge() -> None:
    config = parse("", GuardConfig).config
    assert "battery" == config.ups.sensor
    assert 0.5 == config.policy.charge_drop
    assert derive.server(config, "laptop").upses == {"laptop": Ups(sensor="battery")}


def test_what_a_section_leaves_out_keeps_the_guards_defaults() -> None:
    config = parse("ups: {confirm: 4}\npolicy: {charge_below: 20}\n", GuardConfig).config
    assert Ups(sensor="battery", confirm=4.0) == config.ups
    assert replace(GuardConfig().policy, charge_below=20.0) == config.policy


def test_the_two_talk_to_each_other_and_to_nobody_else() -> None:
    config = GuardConfig(port=7555)
    server, client = derive.server(config, "laptop"), derive.client(config, "laptop")
    assert ("127.0.0.1", 7555) == (server.listen.address, server.listen.port)
    assert not server.announce.enabled
    assert ("laptop",) == server.clients
    assert ("127.0.0.1:7555",) == client.servers
    assert not client.discovery.enabled
    assert tuple(server.upses) == client.upses
    assert server.fleet == client.fleet


def test_the_client_runs_the_commands_itself() -> None:
    config = parse("shutdown: {via: unit, final: {command: [halt]}}\n", GuardConfig).config
    assert "direct" == derive.client(config, "laptop").shutdown.via
    assert ("halt",) == derive.client(config, "laptop").shutdown.final.command


def test_the_two_share_no_file_that_either_writes() -> None:
    config = GuardConfig(log=Log(file="/var/log/guard.log"))
    server, client = derive.server(config, "laptop"), derive.client(config, "laptop")
    for part in ("state_dir", "runtime_dir"):
        assert getattr(server, part) != getattr(client, part)
    assert server.tls.identity != client.tls.identity
    assert ("/var/lib/powmonman/server/server.log", "/var/log/guard.log") == (
        server.log.file,
        client.log.file,
    )
    assert "" == derive.server(GuardConfig(), "laptop").log.file


def test_the_server_publishes_the_hosts_own_policy() -> None:
    config = GuardConfig(policy=HostPolicy(after=90.0, charge_drop=0.3, low_battery=False))
    expected = FleetPolicy(after=90.0, charge_drop=0.3, low_battery=False)
    assert expected == derive.server(config, "laptop").policy


def test_a_policy_without_a_time_has_the_fleets() -> None:
    config = GuardConfig(policy=HostPolicy())
    assert FleetPolicy() == derive.server(config, "laptop").policy


def test_a_lease_is_never_longer_than_the_countdown() -> None:
    config = parse("policy: {after: 5}\n", GuardConfig).config
    assert 5 == derive.server(config, "laptop").lease
    assert 15 == derive.server(GuardConfig(), "laptop").lease


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("laptop", "laptop"),
        ("laptop.example.org", "laptop.example.org"),
        ("Anna's MacBook", "Anna-s-MacBook"),
        ("_böse-", "b-se-"),
        ("..", "host"),
        ("", "host"),
        ("powmonman-server", "host"),
        ("a" * 300, "a" * 63),
    ],
)
def test_any_host_name_becomes_one_that_a_certificate_can_hold(told: str, name: str) -> None:
    assert name == derive.host_name(told)


def test_what_is_written_for_the_two_is_what_they_read() -> None:
    config = GuardConfig(
        notify=Notify(enabled=True, templates={"on_battery": Template(title="Ü: {{ x }}\n")}),
        dry_run=True,
    )
    server, client = (
        derive.server(config, "laptop", "/run/notify.yml"),
        derive.client(config, "laptop"),
    )
    assert server == parse(derive.as_text(server, FILE), ServerConfig).config
    assert client == parse(derive.as_text(client, FILE), ClientConfig).config
    assert "/run/notify.yml" == server.notify.targets
    assert "from /etc/powmonman/guard.yml: change that file" in derive.as_text(client, FILE)


def test_commands_that_ask_the_server_find_it_through_either_file(tmp_path: Path) -> None:
    guard, server = tmp_path / "guard-laptop.yml", tmp_path / "server.yml"
    guard.write_text("runtime_dir: /run/x\n")
    server.write_text("runtime_dir: /run/y\n")
    assert "/run/x/server" == derive.server_of(guard).runtime_dir
    assert "/run/y" == derive.server_of(server).runtime_dir


def faults(text: str) -> str:
    try:
        return "\n".join(map(str, parse(text, GuardConfig, "guard.yml").warnings))
    except ConfigError as error:
        return str(error)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("user: root\n", "guard.yml:1:1: user: the server part is never run as root"),
        ("policy: {after: 20}\n", "min_observe is 60: the shutdown comes after 60 s on battery"),
        ("ups: {runtime: 3600}\n", "ups.runtime: is 3600, but policy.after is 14400"),
        ("ups: {sensor: gpio}\n", "policy.charge_drop: never comes: no sensor here knows"),
        ("shutdown: {via: unit}\n", "shutdown.via: 'unit' has no effect"),
        ("upses: {}\n", "guard.yml:1:1: upses: unknown key (did you mean 'ups'?)"),
    ],
)
def test_a_contradiction_is_told(text: str, said: str) -> None:
    assert said in faults(text)


@pytest.fixture
def places(tmp_path: Path) -> derive.Places:
    """Return places of an unprivileged guard's, or root's, that nobody else has."""
    tmp_path.chmod(0o755)
    return derive.Places(tmp_path / "run", tmp_path / "state")


def config_of(places: derive.Places, **changes: object) -> GuardConfig:
    there = GuardConfig(runtime_dir=str(places.runtime), state_dir=str(places.state))
    return replace(there, **changes)  # type: ignore[arg-type]


def test_keys_are_made_once_and_a_renamed_host_keeps_them(
    places: derive.Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare.directories(places, None)
    monkeypatch.setattr("socket.gethostname", lambda: "old.lan")
    assert "old.lan" == prepare.name_and_keys(places)
    before = (places.authority / "ca.pem").read_bytes()
    monkeypatch.setattr("socket.gethostname", lambda: "new.lan")
    assert "old.lan" == prepare.name_and_keys(places)
    assert before == (places.authority / "ca.pem").read_bytes()


def test_without_cryptography_it_says_what_to_install(
    places: derive.Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package of that name that can't be imported stands before the real one."""
    prepare.directories(places, None)
    (tmp_path / "cryptography").mkdir()
    (tmp_path / "cryptography" / "__init__.py").write_text("raise ImportError('not here')\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    with pytest.raises(GuardError, match=r"pip install 'powmonman\[ca\]'"):
        prepare.name_and_keys(places)


@pytest.fixture
def issued(places: derive.Places) -> derive.Places:
    """Return places with keys in them."""
    prepare.directories(places, None)
    prepare.name_and_keys(places)
    return places


def names(directory: Path) -> Iterator[str]:
    return (path.name for path in directory.iterdir())


def test_what_the_two_read_is_for_their_eyes_only(issued: derive.Places, tmp_path: Path) -> None:
    targets = tmp_path / "targets.yml"
    targets.write_text("targets: {me: 'mailto://user:secret@example.org'}\n")
    config = config_of(issued, notify=Notify(enabled=True, targets=str(targets)))
    name = prepare.name_and_keys(issued)
    prepare.files(config, FILE, issued, name, None)
    written = {"server.yml", "client.yml", "server.pem", "client.pem", "notify.yml"}
    assert written | {"server", "client"} == set(names(issued.runtime))
    assert {0o400} == {(issued.runtime / file).stat().st_mode & 0o777 for file in written}
    server = load(issued.config("server"), ServerConfig)
    assert targets.read_bytes() == Path(server.notify.targets).read_bytes()
    assert read(issued.config("client"), ClientConfig).config == derive.client(config, name)


def test_targets_that_are_not_there_are_the_servers_to_report(issued: derive.Places) -> None:
    config = config_of(issued, notify=Notify(enabled=True, targets="/nonexistent/notify.yml"))
    prepare.files(config, FILE, issued, prepare.name_and_keys(issued), None)
    server = load(issued.config("server"), ServerConfig)
    assert "/nonexistent/notify.yml" == server.notify.targets


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@needs_root
def test_the_server_part_owns_two_directories_and_what_it_reads(issued: derive.Places) -> None:
    account = Account.named("nobody")
    assert account
    prepare.directories(issued, account)
    prepare.files(config_of(issued), FILE, issued, prepare.name_and_keys(issued), account)
    nobody = pwd.getpwnam("nobody").pw_uid
    owned = {
        str(path.relative_to(issued.runtime.parent))
        for path in issued.runtime.parent.rglob("*")
        if path.stat().st_uid == nobody
    }
    assert {"run/server", "run/server.pem", "run/server.yml", "state/server"} == owned
    for above in (issued.runtime, issued.state):
        assert 0o011 == above.stat().st_mode & 0o033  # passed through, not written


@needs_root
@pytest.mark.parametrize("who", ["nobody", "root"])
def test_root_takes_nothing_from_directories_that_others_can_write(
    places: derive.Places, who: str
) -> None:
    places.state.mkdir()
    places.state.chmod(0o755 if who == "nobody" else 0o777)
    os.chown(places.state, pwd.getpwnam(who).pw_uid, -1)
    with pytest.raises(GuardError, match=str(places.state)):
        prepare.directories(places, Account.named("nobody"))


@needs_root
def test_a_user_that_is_missing_or_root_is_refused() -> None:
    with pytest.raises(GuardError, match="useradd --system nosuchuser"):
        Account.named("nosuchuser")
    with pytest.raises(GuardError, match="never root"):
        Account.named("root")


def test_only_its_own_word_makes_a_process_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever else speaks to the guard in its place is not heard."""
    monkeypatch.setattr(child, "own_program", lambda: ["sh", "-c", "sleep 60"])
    one = child.Child("server", tmp_path / "server.yml", None)
    ear = one.start()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"READY=1", ear.getsockname())
        assert not one.listen()
        assert not one.ready
    finally:
        one.signal(signal.SIGKILL)
        one.stop()


def test_a_guard_that_asks_for_more_unbroken_time_than_flapping_mains_give_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"policy.confirm: is 6, but must be at most ups.restore"):
        parse("policy: {confirm: 6}\n", GuardConfig)
