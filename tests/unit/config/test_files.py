"""Files that can't be read, or are no YAML, or mean harm: one clear error each."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from powmonman.config.loader import ConfigError, Fault, load, read
from powmonman.config.schema import ClientConfig, ServerConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    FaultsOf = Callable[[str], list[str]]


def fault_of(path: Path) -> str:
    with pytest.raises(ConfigError) as error:
        load(path, ClientConfig)
    return str(error.value)


def test_a_good_file_becomes_its_configuration(tmp_path: Path) -> None:
    path = tmp_path / "client.yml"
    path.write_text("policy:\n  after: 300\nshutdown:\n  final: {timeout: 5}\n")

    config = load(path, ClientConfig)

    assert config.policy.after == 300.0
    assert config.policy.confirm == 2.0
    assert config.shutdown.final.timeout == 5.0
    assert config.shutdown.final.command == ("systemctl", "poweroff")


@pytest.mark.parametrize("content", ["", "\n", "# nothing\n", "---\n", "{}\n", "\ufeff"])
@pytest.mark.parametrize("cls", [ServerConfig, ClientConfig])
def test_a_file_without_keys_is_all_defaults(tmp_path: Path, content: str, cls: type) -> None:
    path = tmp_path / "some.yml"
    path.write_text(content)
    assert cls() == load(path, cls)


def test_an_empty_file_is_warned_of(tmp_path: Path) -> None:
    """A power cut may have emptied it."""
    path = tmp_path / "client.yml"
    path.touch()
    expected = (Fault(str(path), None, None, "", "is empty: every key has its default"),)
    assert expected == read(path, ClientConfig).warnings


def test_an_empty_section_is_its_defaults(tmp_path: Path) -> None:
    path = tmp_path / "server.yml"
    path.write_text("upses:\n  rack:\npolicy:\nclients:\n")
    config = load(path, ServerConfig)
    assert {"rack"} == config.upses.keys()
    assert ServerConfig().upses["ups"] == config.upses["rack"]


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "client.yml"
    assert f"{path}: can't be opened: No such file or directory" == fault_of(path)


def test_a_directory(tmp_path: Path) -> None:
    assert f"{tmp_path}: is a directory" == fault_of(tmp_path)


def test_a_pipe_does_not_hold_up_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "client.yml"
    os.mkfifo(path)
    assert f"{path}: is not a regular file" == fault_of(path)


def test_a_file_that_this_user_may_not_read(tmp_path: Path) -> None:
    path = tmp_path / "client.yml"
    path.touch(mode=0o000)
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        assert f"{path}: can't be opened: Permission denied" == fault_of(path)
    finally:
        os.seteuid(was)


def test_a_file_that_fails_while_it_is_read() -> None:
    path = Path("/proc/self/mem")
    assert fault_of(path) == "/proc/self/mem: can't be read: Input/output error"


def test_a_file_beyond_256_kib(tmp_path: Path) -> None:
    path = tmp_path / "client.yml"
    path.write_text("#" * (256 * 1024 + 1))
    assert f"{path}: is larger than 256 KiB" == fault_of(path)


def test_bytes_that_are_no_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "client.yml"
    path.write_bytes("fleet: a\n# Z\u00fcrich ".encode() + b"\xfc\n")
    assert f"{path}:2:10: is not UTF-8 text: byte 0xfc" == fault_of(path)


def test_a_file_of_nul_bytes_as_a_power_cut_leaves_it(tmp_path: Path) -> None:
    path = tmp_path / "client.yml"
    path.write_bytes(b"fleet: a\n" + b"\0" * 500)
    assert f"{path}:2:1: character U+0000 is not allowed in YAML" == fault_of(path)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "fleet: a\n\tport: 1\n",
            (
                "2:1: not valid YAML: found character '\\t' that cannot start any token, while "
                "scanning for the next token (indent with spaces: YAML refuses tabs)"
            ),
        ),
        (
            "fleet: a: b\n",
            (
                "1:9: not valid YAML: mapping values are not allowed here (quote a text that holds "
                "': ', or check the indentation)"
            ),
        ),
        (
            "servers: [a, b\nfleet: c\n",
            (
                "2:6: not valid YAML: expected ',' or ']', but got ':', while parsing a flow "
                "sequence that begins on line 1"
            ),
        ),
        (
            "servers:\n  - [2001:db8::7]:7444\n",
            (
                "2:18: not valid YAML: expected <block end>, but found '<scalar>', while parsing a "
                "block collection that begins on line 2 (check the indentation, and quote a text "
                "that begins with '[')"
            ),
        ),
        (
            "fleet: a\n---\nfleet: b\n",
            (
                "2:1: not valid YAML: found another document, expected a single document in the "
                "stream that begins on line 1 (remove what begins with the second '---')"
            ),
        ),
        ('fleet: "\\U99999999"\n', None),
        ("%YAML 1." + "9" * 5000 + "\n---\n", None),
        ("fleet: @a\n", None),
        ("fleet: *nowhere\n", "1:8: not valid YAML: found undefined alias 'nowhere'"),
        ("fleet: &a x\nlog: &a {}\n", None),
        ("fleet: 'a\n", None),
        ("fleet: !<tag: a\n", None),
    ],
)
def test_text_that_is_no_yaml(client_faults: FaultsOf, text: str, fault: str | None) -> None:
    (told,) = client_faults(text)
    assert told.startswith("client.yml:")
    assert ": not valid YAML: " in told
    if fault is not None:
        assert f"client.yml:{fault}" == told


def test_ten_aliases_of_ten_aliases_end_soon(client_faults: FaultsOf) -> None:
    """A few lines that stand for 10^9 values cost no more than any other file."""
    lines = ["shutdown:", "  commands:", "    - &a0 {command: [x]}"]
    lines += [
        f"    - &a{level + 1} {{command: [{', '.join([f'*a{level}'] * 10)}]}}" for level in range(9)
    ]
    began = time.monotonic()
    faults = client_faults("\n".join(lines))
    assert 101 >= len(faults) > 0
    assert time.monotonic() - began < 20.0


def test_a_good_section_repeated_without_end_is_refused(server_faults: FaultsOf) -> None:
    """Each alias counts as what it stands for."""
    keys = "confirm: 1, restore_confirm: 2, sensor: simulated, gpio: {pin: 5, poll: 1}"
    names = "".join(f"  n{number}: *u\n" for number in range(5000))
    (fault,) = server_faults(f"upses:\n  first: &u {{{keys}}}\n{names}")
    assert fault.endswith("more than 20000 values, counted with repeated aliases")


def test_a_section_that_contains_itself(server_faults: FaultsOf, client_faults: FaultsOf) -> None:
    assert server_faults("upses: &a {rack: *a}\n") == [
        "server.yml:1:8: upses.rack: this section contains itself"
    ]
    assert any("contains itself" in fault for fault in client_faults("&a\nshutdown: *a\n"))
    assert len(client_faults("&a [*a]\n")) == 1


def test_nesting_without_end(client_faults: FaultsOf) -> None:
    expected = "client.yml:1:21: not valid YAML: nested more than 20 levels deep"
    assert [expected] == client_faults("[" * 5000)
    assert [expected] == client_faults("{" * 5000)
    assert len(client_faults("\n".join(" " * depth + "a:" for depth in range(200)))) == 1


def test_more_values_than_any_configuration_has(client_faults: FaultsOf) -> None:
    (fault,) = client_faults("servers: [" + "a," * 30_000 + "]")
    assert fault.endswith("not valid YAML: more than 20000 values")


def test_aliases_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "server.yml"
    path.write_text("upses:\n  a: &a {sensor: simulated}\n  b: *a\n")
    upses = load(path, ServerConfig).upses
    assert upses["a"] == upses["b"]
    assert upses["b"].sensor == "simulated"


def test_a_file_name_with_a_line_break_stays_on_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a\nclient.yml"
    assert len(fault_of(path).splitlines()) == 1
