"""Ready-made lists of shutdown commands for what people run (docs/presets.md).

A preset is a few plain commands, run before a host's own, and checks that prove without touching
anything that they would work. Presets run in the order of the table, however a host names them:
guests and containers before the databases that they use, and mounts at the very end.

No command goes on although something failed: each has its timeout, and the next one is run.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from powmonman.client.shutdown import PATH
from powmonman.config.shutdown_keys import Command, Shutdown

if TYPE_CHECKING:
    from collections.abc import Iterable

CHECK_TIMEOUT = 20.0
_NETWORK_TYPES = "nfs,nfs4,cifs,smb3"


@dataclass(frozen=True)
class Check:
    """Something that must hold for a preset to work; the command only reads.

    Attributes:
        command: Program and arguments. It must exit with 0.
        fault: What is wrong if it doesn't, and what to do.
        answer: What it must print; None: anything.
    """

    command: tuple[str, ...]
    fault: str
    answer: str | None = None


@dataclass(frozen=True)
class Preset:
    """What is run, and how to know beforehand that it works."""

    commands: tuple[Command, ...]
    checks: tuple[Check, ...]


def _stop(*units: str, timeout: float) -> Command:
    return Command(("systemctl", "stop", *units), timeout)


def _active(unit: str, what: str) -> Check:
    fault = f"{unit} is not active: {what}"
    return Check(("systemctl", "is-active", unit), fault)


PRESETS: dict[str, Preset] = {
    "libvirt_guests": Preset(
        (_stop("libvirt-guests.service", timeout=330),),
        (
            _active(
                "libvirt-guests.service",
                "stopping it would stop no guest. systemctl enable --now libvirt-guests",
            ),
        ),
    ),
    "proxmox_guests": Preset(
        (Command(("pvesh", "--nooutput", "create", "/nodes/localhost/stopall"), 330),),
        (
            Check(
                ("pvesh", "get", "/nodes/localhost/status", "--output-format", "json"),
                "pvesh can't ask this node: is it one of Proxmox VE, and does pve-cluster run?",
            ),
        ),
    ),
    # By stopping Docker: `docker stop` would keep some containers down after the next boot.
    "docker_containers": Preset(
        (_stop("docker.socket", "docker.service", timeout=120),),
        (
            _active("docker.service", "is Docker installed from another package, such as a snap?"),
            Check(
                ("docker", "info", "--format", "{{.LiveRestoreEnabled}}"),
                "containers outlive Docker here (live-restore), so stopping it would stop none: "
                "turn live-restore off in /etc/docker/daemon.json, or stop them in "
                "shutdown.commands",
                answer="false",
            ),
        ),
    ),
    "podman_containers": Preset(
        (Command(("podman", "stop", "--all"), 120),),
        (Check(("podman", "ps", "--quiet"), "podman can't list root's containers"),),
    ),
    "postgresql": Preset(
        (_stop("postgresql*.service", timeout=180),),
        (_active("postgresql*.service", "no PostgreSQL runs as a unit of systemd here"),),
    ),
    "mariadb": Preset(
        (_stop("mariadb*.service", timeout=180),),
        (_active("mariadb*.service", "no MariaDB runs as a unit of systemd here"),),
    ),
    "mysql": Preset(
        (_stop("mysql*.service", timeout=180),),
        (_active("mysql*.service", "no MySQL runs as a unit of systemd here"),),
    ),
    "network_mounts": Preset(
        # First properly, which writes what is unwritten. Then what is left is torn off: a mount
        # whose server is gone already would otherwise hold the shutdown up for minutes.
        (
            Command(("umount", "-a", "-t", _NETWORK_TYPES), 20),
            Command(("umount", "-a", "-f", "-l", "-t", _NETWORK_TYPES), 20),
        ),
        (Check(("umount", "--version"), "there is no umount of util-linux here"),),
    ),
}


def expand(names: Iterable[str]) -> tuple[Command, ...]:
    """Return the commands of the presets, in the order in which they are run.

    Names that stand for none are left out: a configuration that holds one is not accepted.
    """
    wanted = set(names)
    return tuple(
        command for name, preset in PRESETS.items() if name in wanted for command in preset.commands
    )


def expanded(shutdown: Shutdown) -> Shutdown:
    """Return `shutdown` with its presets written out before its own commands."""
    if not shutdown.presets:
        return shutdown
    commands = (*expand(shutdown.presets), *shutdown.commands)
    return replace(shutdown, commands=commands, presets=())


def preflight(name: str) -> list[str]:
    """Return what would keep a preset from working here; run as root, it only reads.

    The first check that fails ends it: those after it build on it.
    """
    for check in PRESETS[name].checks:
        fault = _fault(check)
        if fault:
            return [f"preset {name}: {fault}"]
    return []


def _fault(check: Check) -> str:
    program = check.command[0]
    try:
        done = subprocess.run(
            check.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": PATH} | os.environ | {"LC_ALL": "C"},
            timeout=CHECK_TIMEOUT,
            check=False,
        )
    except FileNotFoundError:
        return f"{program} is not installed"
    except OSError as error:
        return f"{program}: {error.strerror}"
    except subprocess.TimeoutExpired:
        return f"no answer within {CHECK_TIMEOUT:g} s from: {' '.join(check.command)}"
    answer = done.stdout.decode(errors="replace").strip()
    if done.returncode != 0 or check.answer not in {None, answer}:
        return check.fault
    return ""
