"""The sandbox of the network-facing services, tried from within: settings and scores may lie.

In containers some settings are silently ignored unless others are set, so each is provoked.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fleet import Fleet
    from testinfra.host import Host

UNITS = (("pi", "powmonman-server"), ("nas", "powmonman-client"))
MAY = ["open a connection", "write its run-time directory", "write its state"]
# No card of a container can wake it, so there the roll-out leaves this unit out.
WAKE = Path(__file__).parents[3] / "roles/powmonman_client/templates/powmonman-wake.service.j2"
# The unit itself, drop-ins included, with the probe in place of the daemon.
AS_THE_SERVICE = """
set -eu
cd /run/systemd/system
program=/usr/local/lib/powmonman-probe.py
marker=/tmp/powmonman-marker
trap 'rm -rf powmonman-probe.service* "$program" "$marker"; systemctl daemon-reload' EXIT
touch "$marker"
cat > "$program"
systemctl cat "$1.service" > powmonman-probe.service
mkdir -p powmonman-probe.service.d
cat > powmonman-probe.service.d/probe.conf <<UNIT
[Service]
Type=oneshot
ExecStartPre=
ExecStart=
ExecStart=/usr/bin/python3 $program
ExecReload=
ExecStop=
RemainAfterExit=no
Restart=no
WatchdogSec=0
RuntimeDirectoryPreserve=yes
StandardOutput=truncate:/run/powmonman-probe.json
UNIT
systemctl daemon-reload
systemctl start powmonman-probe.service
cat /run/powmonman-probe.json
"""


STATUS = """
set -eu
mkdir -p "/run/systemd/system/$1.service.d"
trap 'rm -r "/run/systemd/system/$1.service.d"; systemctl daemon-reload' EXIT
printf '[Service]\\nExecStart=\\nExecStart=cat /proc/self/status\\nExecStop=\\n%s\\n' \\
    StandardOutput=truncate:/run/powmonman-status > "/run/systemd/system/$1.service.d/status.conf"
systemctl daemon-reload
systemctl restart "$1"
systemctl stop "$1"
cat /run/powmonman-status
"""
CAP_NET_ADMIN = 1 << 12


def status_of(text: str) -> dict[str, str]:
    """Return what the kernel says of a process."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {key: value.strip() for key, _, value in pairs}


def exposure(host: Host, unit: str) -> float:
    """Return how systemd rates a unit: from 0, which is safe, to 10."""
    said = host.check_output("systemd-analyze security --no-pager %s.service", unit)
    return float(said.splitlines()[-1].split(":")[1].split()[0])


@pytest.fixture(scope="module")
def _wake(fleet: Fleet) -> Iterator[None]:
    """Put the unit that arms the cards on a host."""
    place = f"/run/systemd/system/{WAKE.stem}"
    fleet.run("nas", "sh", "-c", f"cat > {place}", given=WAKE.read_text("utf-8"))
    fleet.run("nas", "systemctl", "daemon-reload")
    yield
    fleet.run("nas", "sh", "-c", f"rm -f {place}; systemctl daemon-reload")


def possible(fleet: Fleet, name: str, unit: str) -> list[str]:
    """Return what a process of this unit can do, of what is tried."""
    probe = Path(__file__).with_name("probe.py").read_text("utf-8")
    return list(json.loads(fleet.run(name, "sh", "-c", AS_THE_SERVICE, "sh", unit, given=probe)))


@pytest.mark.parametrize(("name", "unit"), UNITS)
def test_the_service_can_do_its_work_and_nothing_else(fleet: Fleet, name: str, unit: str) -> None:
    assert possible(fleet, name, unit) == MAY


def test_what_starts_a_drill_can_ask_for_it_and_nothing_else(fleet: Fleet) -> None:
    assert possible(fleet, "pi", "powmonman-drill") == MAY[:2]


@pytest.mark.usefixtures("_wake")
def test_what_arms_the_cards_has_one_capability_and_few_system_calls(
    fleet: Fleet, hosts: dict[str, Host]
) -> None:
    """It is root's, so the rest of its sandbox is rated only: in a container it would not hold."""
    status = status_of(fleet.run("nas", "sh", "-c", STATUS, "sh", "powmonman-wake"))
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert int(status["CapBnd"], 16) | CAP_NET_ADMIN == CAP_NET_ADMIN
    assert exposure(hosts["nas"], "powmonman-wake") <= 2.5


@pytest.mark.usefixtures("_wake")
def test_the_cards_are_armed_from_within_as_from_without(hosts: dict[str, Host]) -> None:
    nas = hosts["nas"]
    without = nas.check_output("powmonman wake-arm")
    nas.check_output("systemctl start powmonman-wake")
    said = nas.check_output("journalctl --unit=powmonman-wake --output=cat")
    nas.check_output("systemctl stop powmonman-wake")
    assert without in said.splitlines()


def test_without_the_sandbox_the_same_user_can_do_more(fleet: Fleet) -> None:
    """The probe would see it, if a setting were missing. Some of it podman forbids as well."""
    probe = Path(__file__).with_name("probe.py").read_text("utf-8")
    user = "exec setpriv --reuid=powmonman --regid=powmonman --clear-groups python3 -"
    loose = json.loads(fleet.run("nas", "sh", "-c", user, given=probe))
    assert {
        "lend its rights by a file",
        "let itself be debugged",
        "map memory to write and run",
        "run before all others",
    } <= set(loose)


@pytest.mark.parametrize(
    "path", ["/etc/powmonman/evil", "/usr/local/lib/powmonman/evil", "/var/lib/evil", "/boot/evil"]
)
@pytest.mark.parametrize(("name", "unit"), UNITS)
def test_even_root_could_not_write_in_the_file_system_of_the_service(
    fleet: Fleet, hosts: dict[str, Host], name: str, unit: str, path: str
) -> None:
    pid = hosts[name].service(unit).systemd_properties["MainPID"]
    tried = hosts[name].backend.run_local(
        " ".join(["%s"] * 9),
        *fleet.engine.command("exec", "--privileged", fleet.container(name), plain=True),
        "nsenter", f"--target={pid}", "--mount", "touch", path,
    )  # fmt: skip
    assert (tried.rc, "Read-only file system" in tried.stderr) == (1, True), tried.stderr


@pytest.mark.parametrize(("name", "unit"), UNITS)
def test_a_process_of_the_service_has_no_privileges_to_lose(
    hosts: dict[str, Host], name: str, unit: str
) -> None:
    host = hosts[name]
    pid = host.service(unit).systemd_properties["MainPID"]
    status = status_of(host.file(f"/proc/{pid}/status").content_string)
    assert {key: status[key] for key in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")} == {
        "CapEff": "0" * 16,
        "CapBnd": "0" * 16,
        "NoNewPrivs": "1",
        "Seccomp": "2",
    }


@pytest.mark.parametrize(("name", "unit"), UNITS)
def test_systemd_rates_the_exposure_at_most_2(hosts: dict[str, Host], name: str, unit: str) -> None:
    assert exposure(hosts[name], unit) <= 2.0
