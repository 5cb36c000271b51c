"""What the roles make of an inventory: the files that hosts would get. Nothing is rolled out."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from powmonman.config.loader import load
from powmonman.config.schema import ClientConfig, GuardConfig, ServerConfig

from .rollout import REPOSITORY, needs_ansible, play

if TYPE_CHECKING:
    from pathlib import Path

# The roles run no task here, by the tags; named so, they bring their defaults and variables.
RENDER = """
- hosts: all
  connection: local
  gather_facts: false
  vars:
    __powmonman_probe: "{{ hostvars[inventory_hostname].__powmonman_probe | default(nothing) }}"
    nothing: {stdout: ""}
    role_path: "{{ repository }}/roles/powmonman"
    dark: "{{ role_path }}/templates/dark.j2"
  roles: [powmonman, powmonman_server, powmonman_client]
  tasks:
    - name: Write what the host would get
      ansible.builtin.copy:
        dest: "{{ made }}/{{ inventory_hostname }}.json"
        mode: "0600"
        content: "{{ rendered | to_json }}"
      vars:
        rendered:
          components: "{{ __powmonman_components }}"
          server: "{{ __powmonman_server_config if 'server' in __powmonman_components else {} }}"
          client: "{{ __powmonman_client_config if 'client' in __powmonman_components else {} }}"
          sensors: "{{ __powmonman_server_sensors }}"
          gpio: "{{ __powmonman_server_gpio }}"
          simulated: "{{ __powmonman_server_simulated }}"
          nut: "{{ __powmonman_server_nut }}"
          keys: "{{ __powmonman_ca }}"
          clients: "{{ __powmonman_clients }}"
          ports: "{{ __powmonman_closed }}"
          unable: "{{ __powmonman_together.unable if 'pi' == inventory_hostname else [] }}"
          wakes: "{{ __powmonman_client_wakes }}"
          dark: "{{ (lookup('ansible.builtin.template', dark) or '').splitlines() }}"
      tags: [render]
"""
CASES = """
powmonman_server:
  hosts:
    plain:
    witnessed:
      powmonman_server_upses:
        rack:
          sensor: nut
          nut: {ups: rack}
          witnesses:
            - {sensor: simulated}
            - {gpio: {pin: 17}}
            - {sensor: nut, nut: {ups: other, host: 192.0.2.9}}
    triggers:
      powmonman_server_after: "300"
      powmonman_server_charge_below: 40
      powmonman_server_charge_drop: 0.5
      powmonman_server_runtime_below: 120.0
      powmonman_server_low_battery: false
    both:
    bound: {powmonman_server_listen_address: 192.0.2.1}
    told: {powmonman_client_servers: [192.0.2.2]}
powmonman_client:
  hosts:
    both:
    bound:
    told:
    choosy:
      powmonman_client_charge_below: 20
      powmonman_client_charge_drop: 0
      powmonman_client_low_battery: false
    meek:
powmonman_guard:
  hosts:
    laptop:
    quick: {powmonman_server_after: 900, powmonman_server_charge_drop: 0}
all:
  vars:
    powmonman_fleet: home
"""

ORDERED = """
powmonman_server: {hosts: {pi: {powmonman_server_recovery: {wake_after: 120}}}}
powmonman_client:
  children:
    web: {hosts: {web1: {powmonman_network_on_ups: true}, web2: {powmonman_client_after: "300"}}}
  hosts:
    pi: {powmonman_client_after: 1200}
    nas:
      powmonman_client_wait_for: [web, nas_users, database]
      powmonman_client_wait_timeout: 120
      powmonman_client_on_lost_contact: {shutdown_after: 600.0, only_if: [no_carrier]}
    database:
      powmonman_network_on_ups: false
      powmonman_client_after: 900.0
      powmonman_client_config: {wait_for: [web1], wait_timeout: 60}
    desktop:
      powmonman_client_shutdown_presets: [network_mounts]
      powmonman_client_on_lost_contact: {}
nas_users: {hosts: {nas: , desktop: , printer: }}
"""
CARD = '{"name": "%s", "macs": ["02:00:5e:10:00:0%d"], "wireless": %s, "wake": "%s"}'
CARDS = {
    "able": (CARD % ("eth0", 1, "false", "off"), ""),
    "armed": (CARD % ("eth0", 2, "false", "on"), ""),
    "unheard": (CARD % ("eth0", 3, "false", "unknown"), ""),
    "wireless": (CARD % ("wlan0", 4, "true", "unable"), ""),
    "old": (CARD % ("eth0", 5, "false", "unable"), ""),
    "guest": (CARD % ("eth0", 6, "false", "on"), "machine kvm"),
    "box": ("", "container lxc"),
    "named": (CARD % ("eth0", 7, "false", "on"), ""),
    "plugged": (CARD % ("eth0", 8, "false", "on"), ""),
    "passed": (CARD % ("eth0", 9, "false", "on"), "machine kvm"),
}
WAKE = {
    "named": {"powmonman_client_macs": ["02-00-5E-10-00-FF"]},
    "plugged": {"powmonman_client_wake": {"method": "command", "command": ["plug", "on"]}},
    "passed": {"powmonman_client_wake": {"method": "wake_on_lan"}},
}

pytestmark = needs_ansible


def rendered(directory: Path, inventory: Path) -> dict[str, dict[str, Any]]:
    """Return what each host of an inventory would get."""
    made = directory / "made"
    made.mkdir()
    playbook = directory / "render.yml"
    playbook.write_text(RENDER)
    done = play(
        playbook,
        *(
            "-i",
            str(inventory),
            "-e",
            json.dumps({"made": str(made), "repository": str(REPOSITORY)}),
        ),
        *("--tags", "render", "--skip-tags", "always"),
        *("-e", "ansible_python_interpreter={{ ansible_playbook_python }}"),
        XDG_CONFIG_HOME="/keys",
    )
    assert done.code == 0, done.output
    return {path.stem: json.loads(path.read_text()) for path in made.glob("*.json")}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    directory = tmp_path_factory.mktemp("cases")
    inventory = directory / "hosts.yml"
    inventory.write_text(CASES)
    return rendered(directory, inventory)


@pytest.fixture(scope="module")
def ordered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    directory = tmp_path_factory.mktemp("ordered")
    inventory = directory / "hosts.yml"
    inventory.write_text(ORDERED)
    return rendered(directory, inventory)


@pytest.fixture(scope="module")
def woken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """A fleet of which the hosts have said what cards they have."""
    directory = tmp_path_factory.mktemp("woken")
    hosts: dict[str, Any] = {"gone": None}
    for host, (card, virtual) in CARDS.items():
        said = f"powmonman.cards=[{card}]\n"
        said += f"powmonman.virtual={virtual}\n" if virtual else ""
        hosts[host] = {"__powmonman_probe": {"stdout": said}} | WAKE.get(host, {})
    kept = "recovery: {hosts: {gone: {macs: [02:00:5e:10:00:aa]}, old: {macs: [1]}}}"
    server = {"pi": {"__powmonman_kept": {"stdout": kept}}}
    inventory = directory / "hosts.yml"
    fleet = {"powmonman_server": {"hosts": server}, "powmonman_client": {"hosts": hosts}}
    inventory.write_text(json.dumps(fleet))
    return rendered(directory, inventory)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    directory = tmp_path_factory.mktemp("example")
    inventory = directory / "inventory"
    shutil.copytree(REPOSITORY / "inventory.example", inventory)
    return rendered(directory, inventory)


def test_a_server_of_which_nothing_is_said_has_a_pin_and_the_default_policy(
    cases: dict[str, dict[str, Any]],
) -> None:
    assert cases["plain"]["server"]["upses"] == {"ups": {"sensor": "gpio"}}
    assert cases["plain"]["server"]["policy"] == {"after": 600}
    assert cases["plain"]["gpio"] is True


def test_a_sensor_is_whatever_a_ups_or_a_witness_names(cases: dict[str, dict[str, Any]]) -> None:
    found = cases["witnessed"]
    assert found["sensors"] == ["gpio", "nut", "simulated"]
    assert found["gpio"] is True
    assert found["simulated"] == ["/run/powmonman/simulated.yml"]
    assert found["nut"] == ["rack"]
    assert cases["laptop"]["sensors"] == ["battery"]
    assert cases["laptop"]["gpio"] is False


def test_the_fleets_triggers_are_written_where_they_differ(
    cases: dict[str, dict[str, Any]],
) -> None:
    assert cases["triggers"]["server"]["policy"] == {
        "after": 300,
        "charge_below": 40,
        "charge_drop": 0.5,
        "runtime_below": 120,
        "low_battery": False,
    }


def test_a_hosts_triggers_are_written_where_it_has_its_own(
    cases: dict[str, dict[str, Any]],
) -> None:
    chosen = {"charge_below": 20, "charge_drop": 0, "low_battery": False}
    assert cases["choosy"]["client"]["policy"] == chosen
    assert "policy" not in cases["meek"]["client"]


@pytest.mark.parametrize(
    ("host", "servers"),
    [("both", ["127.0.0.1"]), ("bound", ["192.0.2.1"]), ("told", ["192.0.2.2"]), ("meek", None)],
)
def test_the_servers_own_host_needs_no_network_to_find_it(
    cases: dict[str, dict[str, Any]], host: str, servers: list[str] | None
) -> None:
    assert cases[host]["client"].get("servers") == servers


def test_groups_are_waited_for_as_their_members_in_the_fleet(
    ordered: dict[str, dict[str, Any]],
) -> None:
    """Without the host itself, and without who is no client."""
    assert ordered["nas"]["client"]["wait_for"] == ["web1", "web2", "desktop", "database"]
    assert ordered["nas"]["client"]["wait_timeout"] == 120
    assert ordered["database"]["client"]["wait_for"] == ["web1"]
    assert "wait_for" not in ordered["web1"]["client"]


def test_the_servers_own_host_waits_for_everybody_else(ordered: dict[str, dict[str, Any]]) -> None:
    everybody = {"web1", "web2", "nas", "database", "desktop"}
    assert set(ordered["pi"]["client"]["wait_for"]) == everybody


def test_the_server_knows_the_places_of_all_hosts(ordered: dict[str, dict[str, Any]]) -> None:
    """And of none that neither waits nor is waited for at a time of its own."""
    hosts = ordered["pi"]["server"]["order"]["hosts"]
    assert hosts.pop("pi") == {"wait_for": ordered["pi"]["client"]["wait_for"], "after": 1200}
    assert hosts == {
        "database": {"wait_for": ["web1"], "wait_timeout": 60, "after": 900},
        "nas": {"wait_for": ["web1", "web2", "desktop", "database"], "wait_timeout": 120},
        "web2": {"after": 300},
    }


def test_what_a_host_does_when_it_is_cut_off_is_written_where_it_does_anything(
    ordered: dict[str, dict[str, Any]],
) -> None:
    chosen = {"shutdown_after": 600, "only_if": ["no_carrier"]}
    assert ordered["nas"]["client"]["on_lost_contact"] == chosen
    assert [h for h in ordered if "on_lost_contact" in ordered[h]["client"]] == ["nas"]


def test_the_roll_out_asks_for_hosts_that_have_not_said_what_a_dark_network_means_to_them(
    ordered: dict[str, dict[str, Any]], example: dict[str, dict[str, Any]]
) -> None:
    """Not for a host on a switch that stays up, by evidence, or at its own risk; nor the server."""
    told = ordered["pi"]["dark"]
    assert len(told) == 3
    assert "powmonman_network_on_ups is false" in told[0]
    assert told[0].endswith("does not shut down: database.")
    assert "Do the switches run from a UPS too?" in told[1]
    assert told[1].endswith("does not shut down: web2.")
    assert "Choose one of three" in told[2]
    assert example["pi"]["dark"] == []


def test_presets_are_written_as_they_are_named(ordered: dict[str, dict[str, Any]]) -> None:
    assert ordered["desktop"]["client"]["shutdown"]["presets"] == ["network_mounts"]
    assert "presets" not in ordered["nas"]["client"]["shutdown"]


def test_the_server_knows_how_each_host_is_woken(woken: dict[str, dict[str, Any]]) -> None:
    assert woken["pi"]["server"]["recovery"]["hosts"] == {
        "able": {"macs": ["02:00:5e:10:00:01"]},
        "armed": {"macs": ["02:00:5e:10:00:02"]},
        "box": {"method": "none"},
        # Not in this play: what an earlier one found.
        "gone": {"macs": ["02:00:5e:10:00:aa"]},
        "guest": {"method": "none"},
        "named": {"macs": ["02-00-5E-10-00-FF"]},
        "old": {"method": "none"},
        "passed": {"method": "wake_on_lan", "macs": ["02:00:5e:10:00:09"]},
        "plugged": {"method": "command", "command": ["plug", "on"]},
        "unheard": {"macs": ["02:00:5e:10:00:03"]},
        "wireless": {"method": "none"},
    }


def test_only_a_host_that_a_magic_packet_may_wake_is_armed(
    woken: dict[str, dict[str, Any]],
) -> None:
    """Where the kernel would not say, there is nothing that could be armed."""
    armed = {host for host in woken if woken[host]["wakes"]}
    assert armed == {"able", "armed", "named", "passed"}


def test_hosts_that_nobody_can_wake_are_named_with_the_reason(
    woken: dict[str, dict[str, Any]],
) -> None:
    remedy = " If something else can (IPMI, a smart plug), name it: powmonman_client_wake."
    assert woken["pi"]["unable"] == [
        "box: a container (lxc), which no magic packet wakes: it comes back with the machine that "
        "carries it." + remedy,
        "guest: a virtual machine (kvm), which no magic packet wakes: it comes back with the "
        "machine that carries it." + remedy,
        "old: eth0: no Wake-on-LAN. Nobody wakes it when the mains are back." + remedy,
        "wireless: wlan0: wireless. Nobody wakes it when the mains are back." + remedy,
    ]


def test_the_servers_recovery_is_its_own_and_nobody_wakes_the_server(
    ordered: dict[str, dict[str, Any]],
) -> None:
    recovery = ordered["pi"]["server"]["recovery"]
    assert recovery == {"wake_after": 120, "hosts": {"pi": {"method": "none"}}}


def test_a_guard_wakes_nobody(cases: dict[str, dict[str, Any]]) -> None:
    assert cases["laptop"]["server"]["recovery"] == {"enabled": False}


def test_a_guard_is_a_fleet_of_its_own_whatever_holds_for_all(
    cases: dict[str, dict[str, Any]],
) -> None:
    laptop, plain = cases["laptop"], cases["plain"]
    assert (laptop["server"]["fleet"], laptop["client"]["fleet"]) == ("laptop", "laptop")
    assert (laptop["keys"], plain["keys"]) == ("/keys/powmonman/laptop", "/keys/powmonman/home")
    assert laptop["clients"] == ["laptop"]
    assert "laptop" not in plain["clients"]
    assert laptop["components"] == ["server", "client"]
    assert laptop["ports"] == []
    assert plain["ports"] != []


def test_a_guard_has_the_policy_of_one_without_ansible(cases: dict[str, dict[str, Any]]) -> None:
    found = cases["laptop"]["server"]["policy"]
    there = GuardConfig().policy
    assert found == {"after": there.after, "charge_drop": there.charge_drop}
    assert (there.charge_below, there.runtime_below, there.low_battery) == (0, 0, True)


def test_a_guard_may_go_by_the_clock_too(cases: dict[str, dict[str, Any]]) -> None:
    assert cases["quick"]["server"]["policy"] == {"after": 900}


def test_every_file_of_the_example_is_one_that_the_program_takes(
    example: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    read = 0
    for host, found in example.items():
        for kind, schema in (("server", ServerConfig), ("client", ClientConfig)):
            if found[kind]:
                path = tmp_path / f"{host}-{kind}.yml"
                path.write_text(json.dumps(found[kind]))
                load(path, schema)
                read += 1
    assert read == 1 + 4 + 2


def test_the_example_shows_every_kind_of_host(example: dict[str, dict[str, Any]]) -> None:
    assert example["pi"]["sensors"] == ["gpio", "nut"]
    assert example["pi"]["nut"] == ["desk"]
    assert example["hypervisor"]["client"]["upses"] == ["rack", "desk"]
    assert example["laptop"]["sensors"] == ["battery"]
    assert example["laptop"]["server"]["policy"]["after"] == 14400
    assert example["laptop"]["server"]["fleet"] == "laptop"
