"""Root runs what root has written, and nothing that anybody else could have put in its place."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from powmonman.client import presets
from powmonman.client.check import RESULT
from powmonman.service.program import home
from tests.attacks.nobody import TEMPLATES, USER, Host, host
from tests.integration.daemon import program

__all__ = ["host"]

INSTEAD = ["systemctl poweroff"]
EVIL = "import os, sys; open({trace!r}, 'a').write('evil\\n')\n"


def test_a_host_in_order_runs_its_own_commands(host: Host) -> None:
    host.root_runs()
    assert host.ran == ["own", "own"]


@pytest.mark.parametrize("way", ["file of the user", "file for all", "directory for all"])
def test_a_configuration_that_the_user_can_write_is_not_run(host: Host, way: str) -> None:
    """The host goes down all the same, by the command that stands in the program."""
    host.configure(host.config, "evil")
    match way:
        case "file of the user":
            os.chown(host.config, USER, -1)
        case "file for all":
            host.config.chmod(0o666)
        case "directory for all":
            host.etc.chmod(0o777)
    assert "running systemctl poweroff alone" in host.root_runs()
    assert host.ran == INSTEAD


def test_a_configuration_below_a_directory_of_the_user_is_not_run(host: Host) -> None:
    below = host.runtime / "etc"
    below.mkdir()
    host.configure(below / "client.yml", "evil")
    host.root_runs(config=below / "client.yml")
    assert host.ran == INSTEAD


@pytest.mark.parametrize("owner", [0, USER], ids=["root's", "the user's"])
def test_a_link_that_the_user_can_turn_is_not_followed(host: Host, owner: int) -> None:
    """It leads to root's own file when it is looked at; a moment later it may lead elsewhere."""
    link = host.runtime / "client.yml"
    link.symlink_to(host.config)
    os.chown(link, owner, -1, follow_symlinks=False)
    said = host.root_runs(config=link)
    assert "running systemctl poweroff alone" in said
    assert host.ran == INSTEAD


def test_a_link_of_the_user_in_a_directory_for_all_is_not_followed(host: Host) -> None:
    """As in /tmp: nobody else could turn it, but its owner can."""
    place = host.root / "tmp"
    place.mkdir()
    place.chmod(0o1777)
    link = place / "client.yml"
    link.symlink_to(host.config)
    os.chown(link, USER, -1, follow_symlinks=False)
    host.root_runs(config=link)
    assert host.ran == INSTEAD


def test_a_link_of_roots_is_followed(host: Host) -> None:
    link = host.lib / "client.yml"
    link.symlink_to(host.config)
    host.root_runs(config=link)
    assert host.ran == ["own", "own"]


def test_the_user_can_change_nothing_that_root_reads(host: Host) -> None:
    """As the user, for real: the file, its directory, the program, the result of the check."""
    for place in (host.config, host.program, host.checked / "result.json", host.etc / "new"):
        attempts = (
            f"echo evil >> {place}",
            f"rm -f {place}; echo evil > {place}",
            f"ln -sf {host.runtime}/evil {place}",
            f"mv {host.runtime}/evil {place}",
            f"chmod 777 {place.parent}",
            f"mv {place.parent} {host.runtime}/",
        )
        for attempt in attempts:
            host.user_runs(f"echo evil > {host.runtime}/evil; {attempt}")
    assert zipfile.is_zipfile(host.program)
    assert list(host.checked.iterdir()) == []
    assert sorted(path.name for path in host.etc.iterdir()) == ["client.yml"]
    host.root_runs()
    assert host.ran == ["own", "own"]


def test_neither_environment_nor_directory_brings_other_code_into_roots_program(
    host: Host,
) -> None:
    """The user's modules are on every path by which Python looks for some."""
    code = EVIL.format(trace=str(host.trace))
    names = ("sitecustomize", "usercustomize", "yaml", "powmonman", "argparse", "startup")
    for name in names:
        (host.runtime / f"{name}.py").write_text(code, encoding="utf-8")
    here = str(host.runtime)
    host.root_runs(
        PYTHONPATH=here,
        PYTHONSTARTUP=f"{here}/startup.py",
        PYTHONUSERBASE=here,
        PYTHONINSPECT="",
        HOME=here,
    )
    assert host.ran == ["own", "own"]


def test_what_a_client_starts_as_root_finds_its_modules_only_in_its_own_place(
    tmp_path: Path,
) -> None:
    """Without systemd and the single file: a client that root has started in somebody's directory.

    Python looks for a module that it is told to run in the directory in which it is started.
    """
    trace = tmp_path / "trace"
    for name in ("yaml", "powmonman", "sitecustomize"):
        code = EVIL.format(trace=str(trace))
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    script = (
        "from powmonman.client.shutdown import start_directly;"
        "from powmonman.config.shutdown_keys import Command, Shutdown;"
        f"final = Command(('sh', '-c', 'pwd >> {trace}; echo own >> {trace}'));"
        "start_directly(Shutdown((), final));"
        "import os; os.wait()"
    )
    subprocess.run(
        [sys.executable, "-P", "-c", script],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": program()},
        check=True,
        timeout=60,
    )
    assert trace.read_text("utf-8").split() == ["/", "own"]
    assert home().is_dir()


REQUESTS = {
    "file": "echo x > {name}",
    "link": "ln -s {victim} {name}",
    "directory": "mkdir {name}",
    "fifo": "mkfifo {name}",
    "socket": "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"{name}\")'",
    "tree": "mkdir -p {name}/a/b; ln -s {victim} {name}/a/link; chmod 0 {name}/a",
    "without end": "truncate --size 8G {name}",
}


@pytest.mark.parametrize("kind", REQUESTS)
@pytest.mark.parametrize("unit", ["powmonman-shutdown", "powmonman-shutdown-check"])
def test_a_request_of_any_kind_is_taken_away_with_nothing_else(
    host: Host, unit: str, kind: str
) -> None:
    """One that stays would start root's unit again and again; nothing of it is followed."""
    victim = host.etc / "victim"
    victim.mkdir()
    (victim / "precious").write_text("precious", encoding="utf-8")
    name = unit.removeprefix("powmonman-")
    script = REQUESTS[kind].format(name=name, victim=victim)
    # What is left of the first does not keep the second from being heard.
    for _ in range(2):
        assert host.user_runs(script).returncode == 0
        assert os.path.lexists(host.runtime / name)
        host.unit(f"{unit}.service", "ExecStartPre")
        assert not os.path.lexists(host.runtime / name)
    assert (victim / "precious").read_text("utf-8") == "precious"


@pytest.mark.parametrize("kind", REQUESTS)
def test_that_a_request_was_there_is_what_counts(host: Host, kind: str) -> None:
    victim = host.etc / "victim"
    victim.mkdir()
    host.user_runs(REQUESTS[kind].format(name="shutdown", victim=victim))
    host.unit("powmonman-shutdown.service", "ExecStartPre")
    host.root_runs()
    assert host.ran == ["own", "own"]


def test_what_the_request_says_is_nothing_to_root(host: Host) -> None:
    host.user_runs("printf 'shutdown:\\n  final: {command: [evil]}\\n' > shutdown; cp shutdown x")
    host.unit("powmonman-shutdown.service", "ExecStartPre")
    host.root_runs()
    assert host.ran == ["own", "own"]


def test_a_preset_that_the_program_does_not_hold_runs_nothing(host: Host) -> None:
    """A configuration with one is no configuration, so not even its other commands are run."""
    assert presets.expand(["../../run/evil"]) == ()
    host.configure(host.config, "own", presets=["../../run/evil"])
    host.root_runs()
    assert host.ran == INSTEAD


def test_what_root_found_out_lies_where_only_root_can_write() -> None:
    """In a directory that systemd makes for root's unit, below the one that is root's alone."""
    unit = (TEMPLATES / "powmonman-shutdown-check.service.j2").read_text("utf-8").splitlines()
    assert Path("/run") / RESULT.parent.name == RESULT.parent
    assert f"RuntimeDirectory={RESULT.parent.name}" in unit
    assert not [line for line in unit if line.startswith(("User=", "Group=", "DynamicUser="))]
