"""Keys that contradict each other, and what is only worth a warning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from powmonman.config.loader import Loaded, parse
from powmonman.config.schema import ClientConfig, ServerConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    FaultsOf = Callable[[str], list[str]]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param(
            "upses:\n  rack:\n    confirm: 10\n    restore_confirm: 5\n",
            "4:5: upses.rack.restore_confirm: is 5, but must be at least confirm (10): "
            "flapping mains would look good",
            id="mains return sooner than they are lost",
        ),
        pytest.param(
            "upses:\n  rack:\n    confirm: 10\n",
            "3:5: upses.rack.restore_confirm: is 5, but must be at least confirm (10): "
            "flapping mains would look good",
            id="the default of one contradicts the other",
        ),
        pytest.param(
            "recovery:\n  hosts:\n    nas: {method: command}\n",
            "3:5: recovery.hosts.nas.command: names no program: write a list such as "
            "[/usr/bin/ipmitool, -H, 192.0.2.9, power, on]",
            id="a host that is woken by a command that nobody named",
        ),
        pytest.param(
            "recovery: {hosts: {nas: {macs: ['ff:ff:ff:ff:ff:ff']}}}\n",
            "1:33: recovery.hosts.nas.macs[0]: is no network interface's own address",
            id="a magic packet for everybody",
        ),
        pytest.param(
            "upses: {rack: {sensor: command, command: {command: [mains], timeout: 16}}}\n",
            "1:61: upses.rack.command.timeout: is 16, but must be at most three times poll (5): "
            "what comes later is no evidence",
            id="a program that takes longer than its answer is good for",
        ),
        pytest.param(
            "upses:\n  rack:\n    sensor: ping\n    ping: {hosts: [192.0.2.1], timeout: 7}\n",
            "4:32: upses.rack.ping.timeout: is 7, but must be at most three times poll (2): what "
            "comes later is no evidence",
            id="sentinels that have longer than their answer is good for",
        ),
        pytest.param(
            "upses: {}\n",
            "1:1: upses: name at least one UPS, or leave the key out",
            id="no UPS at all",
        ),
        pytest.param(
            "lease: 100\npolicy: {after: 60}\n",
            "1:1: lease: is 100, but must be at most policy.after (60): a host cut off from the "
            "server waits a lease before it acts alone",
            id="a lease longer than the countdown",
        ),
        pytest.param(
            "upses:\n  rack: {}\n  desk: {gpio: {pin: 4}}\n",
            "3:17: upses.desk.gpio.pin: GPIO4 is already the pin of UPS 'rack'",
            id="two UPSes on one pin",
        ),
        pytest.param(
            "upses: {rack: {gpio: {active_low: true}}}\n",
            "1:23: upses.rack.gpio.pull: with active_low, 'down' reads a cut wire as mains on: "
            "write pull: up",
            id="a pull that hides a cut wire",
        ),
        pytest.param(
            "upses:\n  rack:\n    quorum: 3\n    witnesses: [{sensor: nut}]\n",
            "3:5: upses.rack.quorum: is 3, but there are only 2 of them, witnesses included: the "
            "mains could never count as lost",
            id="a quorum that can't be reached",
        ),
        pytest.param(
            "upses:\n  rack:\n    witnesses: [{gpio: {pin: 17}}, {gpio: {pin: 4}}]\n",
            "3:44: upses.rack.witnesses[1].gpio.pin: GPIO4 is already the pin of UPS 'rack'",
            id="a witness on the pin of its UPS",
        ),
        pytest.param(
            "upses: {rack: {sensor: ping}}\n",
            "1:16: upses.rack.ping.hosts: names no host: give addresses that hang on no UPS",
            id="nobody to ping",
        ),
        pytest.param(
            "upses: {rack: {sensor: command}}\n",
            "1:16: upses.rack.command.command: names no program: write a list such as "
            "[/usr/local/bin/mains-on]",
            id="no program to run",
        ),
        pytest.param(
            "upses: {rack: {sensor: command, command: {command: [x], timeout: 9, poll: 2}}}\n",
            "1:57: upses.rack.command.timeout: is 9, but must be at most three times poll (2): "
            "what comes later is no evidence",
            id="a program that is given too long",
        ),
        pytest.param(
            "notify: {templates: {on_batery: {title: x}}}\n",
            "1:22: notify.templates.on_batery: no such event (did you mean 'on_battery'?)",
            id="words for no event",
        ),
    ],
)
def test_a_server_file_that_contradicts_itself(
    server_faults: FaultsOf, text: str, fault: str
) -> None:
    assert [f"server.yml:{fault}"] == server_faults(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param(
            "upses: [rack]\nmin_supplies: 2\n",
            "2:1: min_supplies: is 2, but upses names only 1",
            id="more supplies than there are",
        ),
        pytest.param(
            "discovery: {enabled: false}\n",
            "1:13: discovery.enabled: is false and servers is empty: this host could never find "
            "the server",
            id="no way to the server",
        ),
        pytest.param(
            "on_lost_contact: {shutdown_after: 600}\n",
            "1:19: on_lost_contact.only_if: is empty: silence alone shuts no host down, as the "
            "server, or a switch, may just be restarted. Name what must hold too, such as "
            "[no_carrier, gateway_silent]",
            id="lost contact that is taken for an outage without any evidence",
        ),
        pytest.param(
            "on_lost_contact: {only_if: [no_carrier]}\n",
            "1:19: on_lost_contact.shutdown_after: is empty, and so this host never goes by "
            "only_if: write seconds, at least 300, or take only_if out",
            id="evidence without a time",
        ),
        pytest.param(
            "on_lost_contact: {shutdown_after: 600, only_if: [witness_silent]}\n",
            "1:40: on_lost_contact.witnesses: is empty: witness_silent needs addresses of hosts "
            "that hang on no UPS",
            id="a witness without an address",
        ),
        pytest.param(
            "shutdown: {final: {command: []}}\n",
            "1:20: shutdown.final.command: names no program: write a list such as "
            "[systemctl, poweroff]",
            id="nothing that ends the host",
        ),
        pytest.param(
            "shutdown:\n  commands:\n    - {command: [sync]}\n    - timeout: 5\n",
            "4:7: shutdown.commands[1].command: names no program: write a list such as "
            "[systemctl, poweroff]",
            id="a command without a program",
        ),
        pytest.param(
            "shutdown: {final: {command: ['']}}\n",
            "1:20: shutdown.final.command: names no program: write a list such as "
            "[systemctl, poweroff]",
            id="a program without a name",
        ),
        pytest.param(
            "shutdown: {final: {command: [/sbin/shutdown -h now]}}\n",
            "1:30: shutdown.final.command[0]: holds spaces: write program and arguments as "
            "separate entries of the list",
            id="a whole line as the program",
        ),
        pytest.param(
            "shutdown: {presets: [network_mounts, docker_container]}\n",
            "1:38: shutdown.presets[1]: no such preset 'docker_container' (did you mean "
            "'docker_containers'?)",
            id="a preset that is misspelt",
        ),
        pytest.param(
            "shutdown: {presets: [kubernetes]}\n",
            "1:22: shutdown.presets[0]: no such preset 'kubernetes' (presets: libvirt_guests, "
            "proxmox_guests, docker_containers, podman_containers, postgresql, mariadb, mysql, "
            "network_mounts)",
            id="a preset that there is not",
        ),
    ],
)
def test_a_client_file_that_contradicts_itself(
    client_faults: FaultsOf, text: str, fault: str
) -> None:
    assert [f"client.yml:{fault}"] == client_faults(text)


def test_a_key_that_could_not_be_read_contradicts_nothing(server_faults: FaultsOf) -> None:
    """One mistake is one fault: its default is not held against the other keys."""
    text = "upses:\n  rack:\n    confirm: 10\n    restore_confrim: 20\n"
    (fault,) = server_faults(text)
    assert fault.endswith("unknown key (did you mean 'restore_confirm'?)")


def test_a_faulty_section_does_not_hide_contradictions_elsewhere(client_faults: FaultsOf) -> None:
    faults = client_faults("policy: {after: soon}\nupses: [a]\nmin_supplies: 2\n")
    assert [fault.split(": ")[1] for fault in faults] == ["policy.after", "min_supplies"]


def test_what_is_exactly_at_its_limit_is_fine(
    server_faults: FaultsOf, client_faults: FaultsOf
) -> None:
    assert server_faults("upses: {rack: {confirm: 5, restore_confirm: 5}}\n") == []
    assert server_faults("lease: 60\npolicy: {after: 60}\n") == []
    assert client_faults("upses: [a, b]\nmin_supplies: 2\n") == []
    assert parse("policy: {after: 60, min_observe: 60}\n", ClientConfig).warnings == ()
    assert parse("upses: {rack: {runtime: 601}}\n", ServerConfig).warnings == ()
    (warning,) = parse("upses: {rack: {runtime: 600}}\n", ServerConfig).warnings
    assert warning.key == "upses.rack.runtime"


def test_a_program_in_a_directory_with_spaces_is_fine(client_faults: FaultsOf) -> None:
    assert client_faults("shutdown: {final: {command: [/opt/my app/halt, now]}}\n") == []


@pytest.mark.parametrize(
    ("cls", "text", "warning"),
    [
        pytest.param(
            ClientConfig,
            "policy: {after: 20}\n",
            "1:10: policy.after: is 20, but min_observe is 60: the shutdown comes after 60 s on "
            "battery",
            id="after is less than min_observe",
        ),
        pytest.param(
            ClientConfig,
            "shutdown: {final: {command: [sync, '&&', halt]}}\n",
            "1:36: shutdown.final.command[1]: '&&' is given to the program as it is: no shell "
            "reads the command",
            id="a shell's word in a command",
        ),
        pytest.param(
            ServerConfig,
            "policy: {after: 60}\n",
            "1:10: recovery.reserve: is 300, and the battery of 'ups' lasts 120 s, as assumed: "
            "twice policy.after: after an outage nobody is woken until all of it is paid back",
            id="a battery that lasts no longer than the reserve",
        ),
        pytest.param(
            ServerConfig,
            "recovery: {hosts: {nas: {method: none, macs: [02005e000001]}}}\n",
            "1:40: recovery.hosts.nas.macs: has no effect: method is 'none'",
            id="addresses of a host that nobody wakes",
        ),
        pytest.param(
            ServerConfig,
            "upses: {rack: {runtime: 300}}\n",
            "1:16: upses.rack.runtime: is 300: hosts on this UPS that keep to the fleet's "
            "policy.after (600) lose power before they shut down",
            id="a battery that ends before the countdown",
        ),
        pytest.param(
            ServerConfig,
            "upses: {rack: {sensor: simulated}}\n",
            "1:16: upses.rack.sensor: 'simulated' watches a file, not the mains: for drills",
            id="a sensor that senses nothing",
        ),
        pytest.param(
            ServerConfig,
            "upses: {rack: {simulated: {file: /tmp/x}}}\n",
            "1:16: upses.rack.simulated: has no effect: sensor is 'gpio'",
            id="settings of another sensor",
        ),
        pytest.param(
            ServerConfig,
            "upses: {rack: {gpio: {pull: up}}}\n",
            "1:23: upses.rack.gpio.pull: 'up' reads a cut wire as mains on: use a circuit that "
            "drives the pin high, or one that is active_low",
            id="a pull towards mains on",
        ),
        pytest.param(
            ServerConfig,
            "upses: {rack: {gpio: {pin: 3}}}\n",
            "1:23: upses.rack.gpio.pin: the board itself pulls GPIO3 up, so that a cut wire reads "
            "as mains on: choose another pin",
            id="a pin that the board pulls up",
        ),
    ],
)
def test_what_may_be_meant_is_only_warned_of(
    cls: type[ServerConfig | ClientConfig], text: str, warning: str
) -> None:
    loaded: Loaded[ServerConfig | ClientConfig] = parse(text, cls, "some.yml")
    assert [f"some.yml:{warning}"] == [str(told) for told in loaded.warnings]


@pytest.mark.parametrize("cls", [ServerConfig, ClientConfig])
def test_the_defaults_agree_with_each_other(cls: type[ServerConfig | ClientConfig]) -> None:
    assert parse("# nothing\n", cls).warnings == ()
