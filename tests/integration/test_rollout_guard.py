"""A machine that guards itself, alone and beside a fleet, rolled out by the real `site.yml`."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from supplies import Tree

from .rollout import ANSIBLE, FLEET, Rollout, Run, needs_ansible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GUARD = "powmonman_guard: {hosts: {laptop: {ansible_connection: local}}}\n"
SECRET = "hunter2-of-the-mailbox"
PHONE = f"json://127.0.0.1:9/{SECRET}"
TARGETS = {
    "mail": {"url": f"json://admin:{SECRET}@127.0.0.1:9/", "events": ["on_battery"]},
    "phone": PHONE,
}

pytestmark = [needs_ansible, pytest.mark.timeout(300)]


def with_guard(directory: Path, hosts: str) -> tuple[Rollout, Tree]:
    """Return a roll-out whose keys lie where they do by default, with the battery of a laptop.

    Of the guard no more is said than a test needs: where the battery's files lie, and that it is
    in a hurry.
    """
    rollout = Rollout(directory, hosts)
    laptop = Tree(directory / "power_supply", "thinkpad")
    common = rollout.inventory / "group_vars" / "all.yml"
    kept = [line for line in common.read_text().splitlines() if "powmonman_ca_dir" not in line]
    common.write_text("\n".join(kept))
    battery = {"battery": {"root": str(laptop.root), "poll": 0.2}, "confirm": 0.5}
    write(
        rollout,
        "group_vars/powmonman_guard",
        powmonman_server_config={"upses": {"battery": battery}, "lease": 3},
        powmonman_client_config={"policy": {"min_observe": 1, "confirm": 0.5}},
    )
    return rollout, laptop


def drain(rollout: Rollout, laptop: Tree) -> str:
    """Pull the adapter, let the battery lose its half bit by bit; return what the guard ran."""
    asked = ("status", "--config", str(rollout.stage / "laptop/etc/powmonman/server.yml"))
    log = rollout.stage / "laptop" / "shutdown.log"
    laptop.set({"AC/online": "0", "BAT0/status": "Discharging"})
    until(lambda: "on battery" in rollout.program("laptop", *asked).output)
    for energy in range(64, 32, -4):
        laptop.set({"BAT0/energy_now": f"{energy}000000"})
        time.sleep(0.5)
    assert not log.exists(), "36 of 65 Wh are more than the half"
    laptop.set({"BAT0/energy_now": "31000000"})
    until(log.exists)
    return log.read_text()


def until(holds: Callable[[], bool], patience: float = 60) -> None:
    end = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def write(rollout: Rollout, name: str, **variables: Any) -> None:
    path = rollout.inventory / f"{name}.yml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(variables))


def vaulted(text: str, password_file: Path) -> str:
    """Return `text` as it stands encrypted in an inventory."""
    program = str(Path(ANSIBLE).with_name("ansible-vault"))
    command = [program, "encrypt_string", "--vault-password-file", str(password_file)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return done.stdout


def config(rollout: Rollout, host: str, name: str) -> dict[str, Any]:
    text = (rollout.stage / host / "etc" / "powmonman" / name).read_text()
    return dict(yaml.safe_load(text))


@dataclass(frozen=True)
class Alone:
    """One life of a guard, run by run."""

    check: Run
    first: Run
    server: dict[str, Any]
    client: dict[str, Any]
    second: Run
    status: Run
    rotation: Run
    keys: list[str]
    ran: str
    removal: Run
    after_check: list[str]
    after_removal: list[str]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    rollout, laptop = with_guard(tmp_path_factory.mktemp("alone"), GUARD)
    try:
        return Alone(
            check=rollout.run("--check"),
            after_check=[name for name in rollout.files() if not name.startswith("cache/")],
            first=rollout.run(),
            server=config(rollout, "laptop", "server.yml"),
            client=config(rollout, "laptop", "client.yml"),
            second=rollout.run(),
            status=rollout.run(playbook="playbooks/status.yml"),
            rotation=rollout.run(playbook="playbooks/rotate.yml", powmonman_rotate="laptop"),
            keys=sorted(
                str(path.relative_to(rollout.config)) for path in rollout.config.rglob("*.pem")
            ),
            ran=drain(rollout, laptop),
            removal=rollout.run(playbook="playbooks/uninstall.yml", powmonman_forget_ca=True),
            after_removal=rollout.files() + [str(path) for path in rollout.config.rglob("*.pem")],
        )
    finally:
        rollout.stop()


def test_one_line_of_an_inventory_makes_a_guard_that_works(alone: Alone) -> None:
    assert alone.first.code == 0, alone.first.output
    assert "fleet laptop" in alone.status.text
    assert "on mains, 1 host connected" in alone.status.text


def test_a_guard_needs_no_network_and_nobody_answers_on_it(alone: Alone) -> None:
    assert alone.server["listen"]["address"] == "127.0.0.1"
    assert alone.server["announce"] == {"enabled": False}
    assert alone.server["upses"]["battery"]["sensor"] == "battery"
    assert alone.client["servers"] == ["127.0.0.1"]
    assert alone.client["discovery"] == {"enabled": False}
    assert "powmonman_network_on_ups" not in alone.first.text


def test_a_guard_goes_at_half_of_its_charge_long_before_the_clock_says_so(alone: Alone) -> None:
    assert alone.server["policy"] == {"after": 14400, "charge_drop": 0.5}
    assert alone.server["clients"] == ["laptop"]
    assert "policy" not in alone.client or "after" not in alone.client["policy"]


def test_a_guard_shuts_down_when_half_of_its_charge_is_gone(alone: Alone) -> None:
    assert alone.ran.endswith(" the end\n")
    assert alone.ran.count("\n") == 1


def test_a_check_of_a_guard_that_has_nothing_yet_changes_nothing(alone: Alone) -> None:
    assert alone.check.code == 0, alone.check.output
    assert alone.after_check == []


def test_a_second_roll_out_to_a_guard_changes_nothing(alone: Alone) -> None:
    assert alone.second.code == 0, alone.second.output
    assert alone.second.changed("laptop") == 0


def test_both_keys_of_a_guard_are_rotated_by_its_name(alone: Alone) -> None:
    assert alone.rotation.code == 0, alone.rotation.output
    assert alone.keys == [
        "powmonman/laptop/ca.pem",
        "powmonman/laptop/hosts/laptop.pem",
        "powmonman/laptop/server.pem",
    ]


def test_uninstall_leaves_nothing_of_a_guard_nor_of_its_keys(alone: Alone) -> None:
    assert alone.removal.code == 0, alone.removal.output
    assert alone.after_removal == ["laptop/shutdown.log"]


@dataclass(frozen=True)
class Beside:
    """A fleet with a guard beside it, and somebody to notify."""

    rollout: Rollout
    first: Run
    second: Run
    mode: int
    server: dict[str, Any]
    targets: dict[str, Any]
    without: Run


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    rollout, _ = with_guard(tmp_path_factory.mktemp("beside"), FLEET + GUARD)
    password = rollout.inventory.parent / "password"
    password.write_text("of the vault\n")
    path = rollout.inventory / "host_vars" / "pi.yml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        f"powmonman_server_notify_targets:\n  mail: {json.dumps(TARGETS['mail'])}\n"
        f"  phone: {vaulted(PHONE, password)}"
    )
    loud = ["-vvv", "--diff", "--vault-password-file", str(password)]
    try:
        first = rollout.run(*loud)
        path = rollout.stage / "pi" / "etc" / "powmonman" / "notify.yml"
        yield Beside(
            rollout=rollout,
            first=first,
            mode=path.stat().st_mode & 0o777,
            server=config(rollout, "pi", "server.yml"),
            targets=config(rollout, "pi", "notify.yml"),
            second=rollout.run(*loud),
            without=rollout.run(*loud, powmonman_server_notify_targets={}),
        )
    finally:
        rollout.stop()


def test_a_guard_beside_a_fleet_has_a_ca_and_a_fleet_of_its_own(beside: Beside) -> None:
    assert beside.first.code == 0, beside.first.output
    keys = beside.rollout.config / "powmonman"
    assert {path.name for path in keys.iterdir()} == {"demo", "laptop"}
    assert {path.name for path in (keys / "demo" / "hosts").iterdir()} == {"database.pem"}
    assert {path.name for path in (keys / "laptop" / "hosts").iterdir()} == {"laptop.pem"}
    assert (keys / "demo" / "ca.pem").read_bytes() != (keys / "laptop" / "ca.pem").read_bytes()
    assert config(beside.rollout, "laptop", "server.yml")["fleet"] == "laptop"
    assert config(beside.rollout, "database", "client.yml")["fleet"] == "demo"


def test_the_fleet_does_not_wait_for_the_guard_beside_it(beside: Beside) -> None:
    assert beside.server["clients"] == ["database"]


def test_a_second_roll_out_to_fleet_and_guard_changes_nothing(beside: Beside) -> None:
    assert beside.second.code == 0, beside.second.output
    assert [beside.second.changed(host) for host in ("pi", "database", "laptop")] == [0, 0, 0]


def test_targets_are_for_the_server_alone_to_read(beside: Beside) -> None:
    """Below systemd it is 0640, root's and the group's; an ordinary user has no group to give."""
    assert beside.mode == 0o600
    assert beside.targets == {"targets": TARGETS}
    assert beside.server["notify"]["enabled"] is True
    assert SECRET not in str(beside.server)


def test_no_target_is_ever_shown(beside: Beside) -> None:
    assert SECRET not in beside.first.output
    assert SECRET not in beside.second.output


def test_targets_that_are_no_longer_named_are_removed(beside: Beside) -> None:
    assert beside.without.code == 0, beside.without.output
    assert not (beside.rollout.stage / "pi" / "etc" / "powmonman" / "notify.yml").exists()
    assert "notify" not in config(beside.rollout, "pi", "server.yml")


@pytest.mark.parametrize("group", ["powmonman_server", "powmonman_client"])
def test_a_guard_is_no_part_of_another_fleet(tmp_path: Path, group: str) -> None:
    rollout, _ = with_guard(tmp_path, FLEET + GUARD)
    (rollout.inventory / "more.yml").write_text(f"{group}: {{hosts: {{laptop: {{}}}}}}\n")
    refused = rollout.run()
    assert refused.code != 0
    assert f"The groups powmonman_guard and {group} both hold laptop" in refused.text
    assert not rollout.stage.exists()


def test_a_guard_never_gets_the_keys_of_the_fleet_beside_it(tmp_path: Path) -> None:
    rollout, _ = with_guard(tmp_path, FLEET + GUARD)
    refused = rollout.run(powmonman_ca_dir=str(tmp_path / "keys"))
    assert refused.code != 0
    assert "laptop is a guard and must not get the keys of database, pi" in refused.text, (
        refused.output
    )
    assert not rollout.stage.exists()


def test_a_guard_has_nothing_to_revoke(tmp_path: Path) -> None:
    rollout, _ = with_guard(tmp_path, FLEET + GUARD)
    refused = rollout.run(playbook="playbooks/revoke.yml", powmonman_revoke="laptop")
    assert refused.code != 0
    assert "laptop is a guard: its keys open nothing but itself" in refused.text
