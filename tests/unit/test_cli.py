"""The command line, before any daemon runs."""

import subprocess
import sys
from pathlib import Path

import pytest
from daemons import free_port

from powmonman import __version__, cli

COMMANDS = [
    "server",
    "client",
    "run-shutdown",
    "check-config",
    *(name for name, _, _ in cli.MODULES),
]


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert 0 == ended.value.code
    assert f"powmonman {__version__}\n" == capsys.readouterr().out


def test_without_a_command_it_explains_itself_and_fails(capsys):
    assert cli.USAGE == cli.main([])
    listed = capsys.readouterr().out
    hidden = {name for name, _, what in cli.MODULES if not what}
    assert all((command in listed) != (command in hidden) for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert 0 == ended.value.code
    assert f"powmonman {command}" in capsys.readouterr().out


def test_an_unknown_command_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["shutdown-everything"])
    assert cli.USAGE == ended.value.code
    assert "invalid choice" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["server", "client"])
def test_a_daemon_never_starts_without_its_configuration(command, tmp_path, capsys):
    missing = tmp_path / f"{command}.yml"
    assert cli.USAGE == cli.main([command, "--config", str(missing)])
    assert str(missing) in capsys.readouterr().err


@pytest.mark.parametrize("command", ["server", "client"])
def test_a_daemon_never_starts_on_a_faulty_configuration(command, tmp_path, capsys):
    path = tmp_path / f"{command}.yml"
    path.write_text("polcy: {after: 600}\n")
    assert cli.USAGE == cli.main([command, "--config", str(path)])
    assert f"{path}:1:1: polcy: unknown key (did you mean 'policy'?)" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["server", "client"])
def test_a_daemon_without_a_certificate_says_what_to_do(command, tmp_path, capsys):
    path = tmp_path / f"{command}.yml"
    path.write_text(
        f"tls: {{identity: {tmp_path}/none.pem}}\n"
        f"state_dir: {tmp_path}/state\nruntime_dir: {tmp_path}/run\n"
    )
    assert cli.USAGE == cli.main([command, "--config", str(path)])
    assert "run the roll-out for this host" in capsys.readouterr().err


def test_a_clients_imports_stay_small():
    """What a client imports is what every host pays for."""
    script = (
        "import sys, powmonman.client.agent; "
        "print(*(m for m in ('asyncio', 'cryptography', 'http', 'email', 'ansible') "
        "if m in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "" == done.stdout.strip()


def test_a_server_keeps_nothing_of_what_reads_its_configuration(identities, tmp_path):
    """Nor the parser of Python's own code, whichever sensor is read: two megabytes together."""
    config = tmp_path / "server.yml"
    config.write_text(
        f"upses: {{ups: {{sensor: battery, battery: {{root: {tmp_path}}}}}}}\n"
        f"tls: {{identity: {identities}/server.pem}}\n"
        f"listen: {{address: 127.0.0.1, port: {free_port()}}}\nannounce: {{enabled: false}}\n"
        f"state_dir: {tmp_path}/state\nruntime_dir: {tmp_path}/run\n"
    )
    script = (
        "import importlib, os, signal, sys\n"
        "from powmonman import cli, sensors\n"
        "from powmonman.service import notify\n"
        "def ready(_):\n"
        "    for kind in set(sensors.KINDS) - {'simulated'}:\n"
        "        name = sensors.KINDS[kind].partition('.')[0]\n"
        "        importlib.import_module(f'powmonman.sensors.{name}')\n"
        "    print(*(m for m in ('yaml', 'ast', 'stringprep') if m in sys.modules))\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "notify.ready = ready\n"
        f"sys.exit(cli.main(['server', '--config', {str(config)!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_no_process_is_read_as_text_without_an_encoding():
    """`subprocess` would ask `locale`, which is loaded then: in an outage, from the disk."""
    package = Path(cli.__file__).parent
    for path in package.rglob("*.py"):
        assert "text=True" not in path.read_text("utf-8"), path
