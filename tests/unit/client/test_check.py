"""The shutdown commands, checked; nothing here runs one."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from powmonman import cli
from powmonman.client import check, presets
from powmonman.config.shutdown_keys import Command, Shutdown

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only directory in which programs are found."""
    place = tmp_path / "tools"
    place.mkdir()
    monkeypatch.setenv("PATH", f"{place}:/usr/bin:/bin")
    return place


def program(tools: Path, name: str, script: str = "exit 0") -> None:
    (tools / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (tools / name).chmod(0o755)


def shutdown(*commands: str, via: str = "direct", **values: Any) -> Shutdown:
    return Shutdown(
        tuple(Command(tuple(text.split())) for text in commands),
        Command(("true",)),
        via,  # type: ignore[arg-type]
        **values,
    )


def test_commands_that_are_there_are_in_order_and_none_is_run(tools: Path) -> None:
    program(tools, "backup", f"touch {tools}/ran")
    assert check.check_commands(shutdown("backup --all"))["faults"] == []
    assert not (tools / "ran").exists()


@pytest.mark.parametrize("text", ["no-such-program", "/no/such/program", "/proc/version"])
def test_one_that_is_missing_or_no_program_is_named(text: str) -> None:
    found = check.check_commands(shutdown(text))["faults"]
    assert found == [f"shutdown command not found or not executable: {text}"]


def test_the_script_that_a_shell_is_given_must_be_there(tmp_path: Path) -> None:
    missing = f"{tmp_path}/stop-it.sh"
    found = check.check_commands(shutdown(f"sh {missing}", "sh -c true"))["faults"]
    assert found == [f"script of a shutdown command not found or not readable: {missing}"]


def test_presets_bring_their_commands_and_their_preflights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "expand", lambda _: (Command(("no-virsh",)),))
    monkeypatch.setattr(presets, "preflight", lambda name: [f"preset {name}: no guest"])
    found = check.check_commands(shutdown(presets=("libvirt",)))["faults"]
    assert found == [
        "shutdown command not found or not executable: no-virsh",
        "preset libvirt: no guest",
    ]


def test_the_real_way_to_root_must_be_open(tools: Path) -> None:
    program(tools, "systemctl", '[ "$1" = show ] && echo masked; exit 3')
    assert check.check_commands(shutdown(via="unit"))["faults"] == [
        "powmonman-shutdown.path is not active: nothing would shut this host down",
        "powmonman-shutdown-check.path is not active: no drill could check the commands",
        "powmonman-shutdown.service is masked: nothing would run the commands",
    ]
    program(tools, "systemctl", '[ "$1" = show ] && echo loaded; exit 0')
    assert check.check_commands(shutdown(via="unit"))["faults"] == []


def test_a_file_that_root_would_not_use_is_a_fault(tmp_path: Path) -> None:
    broken = tmp_path / "client.yml"
    broken.write_text("polisy: {}\n", encoding="utf-8")
    (fault,) = check.check(broken)["faults"]
    assert fault.startswith("powmonman-shutdown would not run the commands: ")
    assert len(fault) <= check.LONGEST_FAULT


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's file can be anybody's")
def test_a_file_that_others_may_write_is_a_fault(tmp_path: Path) -> None:
    config = tmp_path / "client.yml"
    config.write_text("{}\n", encoding="utf-8")
    config.chmod(0o666)
    assert "can be written by others" in check.check(config)["faults"][0]


def test_the_command_leaves_its_result_where_everybody_may_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "result.json"
    monkeypatch.setattr(check, "RESULT", place)
    monkeypatch.setattr(check, "check", lambda _: {"faults": ["no"]})
    before = os.umask(0o077)
    try:
        code = cli.main(["run-shutdown", "--check", "--config", str(tmp_path / "client.yml")])
    finally:
        os.umask(before)
    assert code == 1
    assert (
        json.loads(capsys.readouterr().out) == json.loads(place.read_text()) == {"faults": ["no"]}
    )
    assert place.stat().st_mode & 0o777 == 0o644


CIRCLE = """\
sysinit.target: Found ordering cycle on systemd-timesyncd.service/start
sysinit.target: Found dependency on local-fs.target/start
sysinit.target: Found dependency on powmonman-client.service/start
sysinit.target: Found dependency on sysinit.target/start
sysinit.target: Job systemd-timesyncd.service/start deleted to break ordering cycle
sysinit.target: Found ordering cycle on local-fs.target/start
sysinit.target: Found dependency on powmonman-client.service/start
"""


@pytest.mark.parametrize(
    ("says", "fault"),
    [
        (CIRCLE, "a circle (local-fs.target, powmonman-client.service): systemd would leave one"),
        (CIRCLE.replace("powmonman-client", "another"), ""),
        ("powmonman-client.service: Unknown key name 'Foo', ignoring.\n", ""),
    ],
)
def test_a_circle_in_which_the_client_starts_is_a_fault(
    tools: Path, tmp_path: Path, says: str, fault: str
) -> None:
    """systemd breaks it by leaving a unit out, perhaps this one."""
    (tmp_path / "says").write_text(says, encoding="utf-8")
    script = f"#!/bin/sh\ncat {tmp_path}/says >&2\n"
    (tools / "systemd-analyze").write_text(script, encoding="utf-8")
    (tools / "systemd-analyze").chmod(0o755)
    check.circles.cache_clear()
    found = check.circles()
    check.circles.cache_clear()
    assert (fault in found[0]) if fault else (found == ())


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
@pytest.mark.parametrize(("before", "circle"), [("local-fs.target", 1), ("docker.service", 0)])
def test_systemd_itself_finds_the_circle(tmp_path: Path, before: str, circle: int) -> None:
    """The mount of a local disk, say, is there before any service."""
    unit = tmp_path / "powmonman-example.service"
    text = f"[Unit]\nAfter=network.target\nBefore={before}\n[Service]\nExecStart=/bin/true\n"
    unit.write_text(text, encoding="utf-8")
    assert len(check.circles(str(unit))) == circle
