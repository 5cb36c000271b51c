"""What the writer of a configuration is told about each kind of mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    FaultsOf = Callable[[str], list[str]]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param(
            "policy:\n  aftr: 5\n",
            "client.yml:2:3: policy.aftr: unknown key (did you mean 'after'?)",
            id="a misspelt key",
        ),
        pytest.param(
            "after: 300\n",
            "client.yml:1:1: after: unknown key (it exists one level down, at policy.after)",
            id="a key written a level too high",
        ),
        pytest.param(
            "shutdown:\n  dry_run: true\n",
            "client.yml:2:3: shutdown.dry_run: unknown key (it exists one level up, at dry_run)",
            id="a key written a level too low",
        ),
        pytest.param(
            "log_file: /x\n",
            "client.yml:1:1: log_file: unknown key (did you mean log.file?)",
            id="a path written as one key",
        ),
        pytest.param(
            "policy: {wibble: 1}\n",
            "client.yml:1:10: policy.wibble: unknown key "
            "(valid keys here: after, charge_below, charge_drop, runtime_below, low_battery, "
            "min_observe, confirm)",
            id="a key like no other",
        ),
        pytest.param(
            "shutdown: {commands: [{command: [a]}, {comand: [b], command: [b]}]}\n",
            "client.yml:1:40: shutdown.commands[1].comand: unknown key (did you mean 'command'?)",
            id="a misspelt key in a list",
        ),
        pytest.param(
            "fleet: a\nfleet: b\n",
            "client.yml:2:1: fleet: duplicate key, first on line 1",
            id="a key given twice",
        ),
        pytest.param(
            "on: 1\n",
            'client.yml:1:1: expected a key, found on, which YAML reads as true: quote it: "on"',
            id="a word as key that YAML reads as true",
        ),
        pytest.param(
            "<<: {fleet: a}\n",
            "client.yml:1:1: merging with '<<' is not possible here: repeat the keys",
            id="a merge key",
        ),
    ],
)
def test_a_wrong_key_is_named_with_the_key_that_was_meant(
    client_faults: FaultsOf, text: str, fault: str
) -> None:
    assert [fault] == client_faults(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param(
            "fleet: on\n",
            "1:8: fleet: expected text, found on, which YAML reads as true: "
            'quote it to make it text: "on"',
            id="a word that YAML reads as true",
        ),
        pytest.param(
            "fleet: 2024\n",
            '1:8: fleet: expected text, found the number 2024: quote it to make it text: "2024"',
            id="a number as text",
        ),
        pytest.param(
            "fleet: 2024-01-02\n",
            "1:8: fleet: expected text, found the date 2024-01-02: "
            'quote it to make it text: "2024-01-02"',
            id="a date as text",
        ),
        pytest.param(
            "fleet:\n",
            "1:7: fleet: expected text, found nothing: "
            "give a value, or leave the key out for its default",
            id="nothing as text",
        ),
        pytest.param(
            "fleet: [a]\n", "1:8: fleet: expected text, found a list", id="a list as text"
        ),
        pytest.param(
            "fleet: my fleet\n",
            "1:8: fleet: 'my fleet': expected up to 63 letters, digits, '_', '.' or '-', "
            "the first a letter or digit",
            id="text of the wrong form",
        ),
        pytest.param(
            "port: true\n", "1:7: port: expected a whole number, found true", id="true is not 1"
        ),
        pytest.param(
            "port: '7444'\n",
            "1:7: port: expected a whole number, found the text '7444': write 7444",
            id="a quoted number",
        ),
        pytest.param(
            "port: 7444.0\n",
            "1:7: port: expected a whole number, found 7444.0: write 7444",
            id="a fraction of nothing",
        ),
        pytest.param(
            "port: 0x\n",
            "1:7: port: expected a whole number, found the text '0x'",
            id="half a hexadecimal number",
        ),
        pytest.param(
            "port: 07444\n",
            "1:7: port: 07444 begins with 0, which YAML reads as octal: leave the 0 out",
            id="a leading zero",
        ),
        pytest.param("port: 70000\n", "1:7: port: is 70000, but must be 1 to 65535", id="too much"),
        pytest.param(
            f"port: 1{'0' * 5000}\n",
            f"1:7: port: expected a whole number, found the number 1{'0' * 58}…",
            id="a number of 5000 digits",
        ),
        pytest.param("port: -1\n", "1:7: port: is -1, but must be 1 to 65535", id="too little"),
        pytest.param(
            "dry_run: 'yes'\n",
            "1:10: dry_run: expected true or false, found the text 'yes': write it without quotes",
            id="a quoted truth",
        ),
        pytest.param(
            "dry_run: 1\n",
            "1:10: dry_run: expected true or false, found the number 1",
            id="a number as truth",
        ),
        pytest.param(
            "log: {level: warn}\n",
            "1:14: log.level: expected 'debug', 'info', 'warning' or 'error', found 'warn' "
            "(did you mean 'warning'?)",
            id="a word that is no choice",
        ),
        pytest.param(
            "servers: a.lan, b.lan\n",
            "1:10: servers: expected a list, found the text 'a.lan, b.lan': write [\"a.lan\", "
            '"b.lan"]',
            id="text as a list",
        ),
        pytest.param(
            "shutdown: {final: {command: systemctl poweroff}}\n",
            "1:29: shutdown.final.command: expected a list, found the text 'systemctl poweroff': "
            'write ["systemctl", "poweroff"]',
            id="a shell's line as a command",
        ),
        pytest.param(
            "shutdown: {commands: [[sync]]}\n",
            "1:23: shutdown.commands[0]: expected a section with any of the keys command, "
            "timeout, on_failure; found a list",
            id="a list in the place of a section",
        ),
        pytest.param(
            "upses: [a, b, a]\n", "1:15: upses[2]: is already in the list, on line 1", id="a double"
        ),
        pytest.param(
            "servers: [PI.lan, 'pi.lan:7444', 'pi.lan.']\n",
            "1:34: servers[2]: is already in the list, on line 1",
            id="a double in another spelling",
        ),
        pytest.param(
            "servers: [pi.lan:99999]\n",
            "1:11: servers[0]: 'pi.lan:99999': the port must be a number from 1 to 65535",
            id="an address that can't be parsed",
        ),
        pytest.param(
            "state_dir: var/lib\n",
            "1:12: state_dir: 'var/lib': the path must begin with '/': it must name the same file "
            "from any directory",
            id="a path that depends on where one stands",
        ),
        pytest.param(
            'shutdown: {final: {command: ["a\\0"]}}\n',
            "1:30: shutdown.final.command[0]: the text holds a character that no file or command "
            "can have",
            id="a NUL",
        ),
        pytest.param(
            "fleet: !vault abc\n",
            "1:8: fleet: expected text, found 'abc' with the tag '!vault': remove it",
            id="a tag of another program",
        ),
        pytest.param(
            "on_lost_contact: {shutdown_after: 60, only_if: [no_carrier]}\n",
            "1:35: on_lost_contact.shutdown_after: is 60, but must be 300 to 86400 s",
            id="lost contact that is taken for an outage too soon",
        ),
        pytest.param(
            "on_lost_contact: {shutdown_after: 600, only_if: [no_carier]}\n",
            "1:50: on_lost_contact.only_if[0]: expected 'no_carrier', 'gateway_silent', "
            "'own_battery' or 'witness_silent', found 'no_carier' (did you mean 'no_carrier'?)",
            id="evidence that there is not",
        ),
        pytest.param(
            "- fleet\n",
            "1:1: expected a section with any of the keys fleet, servers, port, discovery, upses, "
            "min_supplies, policy, wait_for, wait_timeout, on_lost_contact, shutdown, dry_run, "
            "warn_users, tls, state_dir, runtime_dir, log; found a list",
            id="a list in the place of the file",
        ),
    ],
)
def test_a_wrong_value_is_told_with_what_was_found_and_what_to_write(
    client_faults: FaultsOf, text: str, fault: str
) -> None:
    assert [f"client.yml:{fault}"] == client_faults(text)


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ("10m", "found the text '10m': write seconds: 600"),
        ("1h30m", "found the text '1h30m': write seconds: 5400"),
        ("90 seconds", "found the text '90 seconds': write seconds: 90"),
        ("500ms", "found the text '500ms': write seconds: 0.5"),
        ("10:00", "found the number 10:00: write seconds, such as 600"),
        ("1e3", "found the text '1e3': write 1000"),
        ("soon", "found the text 'soon'"),
        ("10 parsecs", "found the text '10 parsecs'"),
    ],
)
def test_a_duration_is_answered_with_its_seconds(
    client_faults: FaultsOf, written: str, remedy: str
) -> None:
    expected = f"client.yml:1:19: policy.confirm: expected a number of seconds, {remedy}"
    assert [expected] == client_faults(f"policy: {{confirm: {written}}}\n")


@pytest.mark.parametrize("written", [".nan", ".inf", "-.inf", ".NaN", "1.0e+999", "9" * 400])
def test_a_number_without_end_is_refused(client_faults: FaultsOf, written: str) -> None:
    (fault,) = client_faults(f"policy: {{after: {written}}}\n")
    assert "client.yml:1:17: policy.after: expected a finite number, found " in fault


@pytest.mark.parametrize("written", ["1:00", "190:20:30", "190:20:30.15"])
def test_base_60_is_no_number(server_faults: FaultsOf, written: str) -> None:
    (fault,) = server_faults(f"refill_ratio: {written}\n")
    assert f"server.yml:1:15: refill_ratio: expected a number, found the number {written}" == fault


def test_off_as_a_choice_must_be_quoted(server_faults: FaultsOf) -> None:
    expected = (
        "server.yml:1:29: upses.rack.gpio.pull: expected 'down', 'up' or 'off', found off, which "
        'YAML reads as false: quote it to make it text: "off"'
    )
    assert [expected] == server_faults("upses: {rack: {gpio: {pull: off}}}\n")
    assert server_faults('upses: {rack: {gpio: {pull: "off"}}}\n') == []


def test_a_key_in_the_place_of_a_name_is_told_apart(server_faults: FaultsOf) -> None:
    expected = (
        "server.yml:2:3: upses.sensor: is a key in the place of a name: put a name above it, as in "
        "upses.NAME.sensor"
    )
    assert [expected] == server_faults("upses:\n  sensor: simulated\n")


def test_a_key_of_a_named_section_is_found_under_its_name(server_faults: FaultsOf) -> None:
    expected = (
        "server.yml:3:5: upses.rack.pin: unknown key "
        "(it exists one level down, at upses.rack.gpio.pin)"
    )
    assert [expected] == server_faults("upses:\n  rack:\n    pin: 4\n")


def test_a_pin_beyond_the_header_is_refused(server_faults: FaultsOf) -> None:
    expected = "server.yml:3:17: upses.rack.gpio.pin: is 28, but must be 0 to 27"
    assert [expected] == server_faults("upses:\n  rack:\n    gpio: {pin: 28}\n")


def test_all_faults_of_a_file_come_at_once_in_its_order(client_faults: FaultsOf) -> None:
    text = """\
fleet: yes
min_supplies: 3
upses: [rack]
policy:
  aftr: 5
  confirm: 2s
shutdown:
  commands:
    - {command: []}
dry_run: maybe
"""
    places = [fault.split(": ")[0:2] for fault in client_faults(text)]
    assert places == [
        ["client.yml:1:8", "fleet"],
        ["client.yml:2:1", "min_supplies"],
        ["client.yml:5:3", "policy.aftr"],
        ["client.yml:6:12", "policy.confirm"],
        ["client.yml:9:8", "shutdown.commands[0].command"],
        ["client.yml:10:10", "dry_run"],
    ]


def test_a_fault_is_one_line_whatever_the_file_holds(client_faults: FaultsOf) -> None:
    """Neither a line break nor a terminal's escape sequence reaches the log."""
    (fault,) = client_faults('"a\\n\\e[31mb": 1\n')
    assert fault.startswith("client.yml:1:1: ['a\\n\\x1b[31mb']: unknown key (valid keys here: ")


def test_a_file_that_is_no_configuration_gets_a_bounded_answer(client_faults: FaultsOf) -> None:
    faults = client_faults("".join(f"wrong{number}: 1\n" for number in range(5000)))
    assert len(faults) == 101
    assert faults[-1] == "client.yml:101:1: more faults follow; they are not listed"
