"""`powmonman check-config`, as a person or a program sees it."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from powmonman.config.check import check_files

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.usefixtures("some_files")


@pytest.fixture
def some_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory with a good and a bad file of each kind; names are relative to it."""
    monkeypatch.chdir(tmp_path)
    files = {
        "server.yml": "upses:\n  rack:\n  desk: {gpio: {pin: 17}}\npolicy: {after: 300}\n",
        "server-bad.yml": "polcy: {}\nlease: 10m\n",
        "client.yml": "policy: {after: 120}\nshutdown: {commands: [{command: [sync]}]}\n",
        "client-dry.yaml": "dry_run: true\npolicy: {after: 20}\n",
        "nas.yml": "fleet: home\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)


def test_a_good_server_file_is_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_files(["server.yml"]) == 0
    assert capsys.readouterr() == (
        (
            "server.yml: ok (2 UPSes: rack on GPIO4, desk on GPIO17; hosts shut down after 300 s "
            "on battery or at low battery, if not told otherwise)\n"
        ),
        "",
    )


def test_a_good_client_file_is_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_files(["client.yml"]) == 0
    expected = "client.yml: ok (shuts down after 120 s on battery: sync, then systemctl poweroff)\n"
    assert capsys.readouterr() == (expected, "")


def test_long_commands_are_told_by_their_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    final = f"[/usr/local/sbin/halt-all, {'x' * 60}]"
    (tmp_path / "client.yml").write_text(
        "shutdown:\n  commands: [{command: [a]}, {command: [b]}, {command: [c]}, {command: [d]}]\n"
        f"  final: {{command: {final}}}\n"
    )
    assert check_files(["client.yml"]) == 0
    assert capsys.readouterr().out.endswith(": a, then b, then 2 more, then halt-all …)\n")


def test_a_warning_is_shown_and_the_file_is_good(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_files(["client-dry.yaml"]) == 0
    assert capsys.readouterr() == (
        (
            "client-dry.yaml: ok (dry run, would shut down after 60 s on battery: systemctl "
            "poweroff)\n"
        ),
        (
            "client-dry.yaml:2:10: warning: policy.after: is 20, but min_observe is 60: the "
            "shutdown comes after 60 s on battery\n"
        ),
    )


def test_one_bad_file_is_enough_and_hides_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_files(["server-bad.yml", "client.yml", "missing-client.yml"]) == 2
    out, err = capsys.readouterr()
    assert out.startswith("client.yml: ok ")
    assert err == (
        "server-bad.yml:1:1: polcy: unknown key (did you mean 'policy'?)\n"
        "server-bad.yml:2:8: lease: expected a number of seconds, found the text '10m': write "
        "seconds: 600\n"
        "missing-client.yml: can't be opened: No such file or directory\n"
    )


def test_a_name_that_tells_no_kind_asks_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_files(["nas.yml"]) == 2
    expected = (
        "nas.yml: is this a server's, a client's or a guard's file? Say --kind server, "
        "--kind client or --kind guard\n"
    )
    assert capsys.readouterr() == ("", expected)
    assert check_files(["nas.yml"], "client") == 0


def test_the_standard_input_is_read_as_a_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the roll-out does it, which checks what it has not written yet."""
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"lease": 0}'))
    assert check_files(["-"], "server") == 2
    assert capsys.readouterr().err.startswith("-:1:11: lease: is 0, but must be")


def test_a_given_kind_beats_the_name() -> None:
    assert check_files(["client.yml"], "server") == 2


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_a_terminal_gets_colour_unless_it_declines(
    environment: dict[str, str], *, coloured: bool
) -> None:
    inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    ours, theirs = pty.openpty()
    try:
        ran = subprocess.run(
            [sys.executable, "-c", CHECK],
            stdout=subprocess.PIPE,
            stderr=theirs,
            env={**inherited, "TERM": "xterm", "PYTHONPATH": os.pathsep.join(sys.path)}
            | environment,
            check=False,
        )
        shown = os.read(ours, 10_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert ran.returncode == 2
    assert coloured == ("\x1b[" in shown)
    assert b"\x1b[" not in ran.stdout


CHECK = """
import sys
from powmonman.config.check import check_files
sys.exit(check_files(["server-bad.yml", "server.yml"]))
"""


@pytest.mark.parametrize(
    ("rack", "told"),
    [
        pytest.param("{sensor: nut, nut: {ups: eaton}}", "by NUT's eaton at 127.0.0.1", id="nut"),
        pytest.param("{sensor: battery}", "by this host's own battery", id="battery"),
        pytest.param("{sensor: apcupsd}", "by the apcupsd at 127.0.0.1", id="apcupsd"),
        pytest.param(
            "{sensor: command, command: {command: [mains, -q]}}", "by mains -q", id="command"
        ),
        pytest.param(
            "{witnesses: [{sensor: ping, ping: {hosts: [192.0.2.1]}}]}",
            "on GPIO4, by ping of 192.0.2.1 (2 of 2 must say off)",
            id="a witness",
        ),
    ],
)
def test_every_sensor_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rack: str, told: str
) -> None:
    path = tmp_path / "server.yml"
    path.write_text(f"upses: {{rack: {rack}}}\n", encoding="utf-8")
    assert check_files([path]) == 0
    assert f"(1 UPS: rack {told}; hosts" in capsys.readouterr().out


def test_every_trigger_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "client.yml"
    policy = "{after: 300, charge_below: 30, charge_drop: 0.5, runtime_below: 120}"
    path.write_text(f"policy: {policy}\n", encoding="utf-8")
    assert check_files([path]) == 0
    assert (
        "after 300 s on battery or below 30 % charge or when 0.5 of the charge is used up "
        "or below 120 s runtime"
    ) in capsys.readouterr().out


def test_a_trigger_that_no_sensor_can_bring_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "server.yml"
    path.write_text("policy: {charge_below: 30}\n", encoding="utf-8")
    assert check_files([path]) == 0
    assert "warning: policy.charge_below: never comes: no sensor here knows a battery" in (
        capsys.readouterr().err
    )


def test_words_that_cannot_be_rendered_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "server.yml"
    words = '{on_battery: {title: "{{ upps }} lost", body: "{{ ups }}"}}'
    path.write_text(f"notify: {{templates: {words}}}\n", encoding="utf-8")
    assert check_files([path]) == 2
    assert "notify.templates.on_battery: title: " in capsys.readouterr().err
