"""The sandbox of the network-facing services, tried from within: settings and scores may lie.

In containers some settings are silently ignored unless others are set, so each is provoked.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fleet import Fleet
    from testinfra.host import Host

UNITS = (("pi", "powmonman-server"), ("nas", "powmonman-client"))
MAY = ["open a connection", "write its run-time directory", "write its state"]
# The unit itself, drop-ins included, with the probe in place of the daemon.
AS_THE_SERVICE = """
set -eu
cd /run/systemd/system
program=/usr/local/lib/powmonman-probe.py
trap 'rm -rf powmonman-probe.service* "$program"; systemctl daemon-reload' EXIT
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
Restart=no
WatchdogSec=0
RuntimeDirectoryPreserve=yes
StandardOutput=truncate:/run/powmonman-probe.json
UNIT
systemctl daemon-reload
systemctl start powmonman-probe.service
cat /run/powmonman-probe.json
"""


@pytest.mark.parametrize(("name", "unit"), UNITS)
def test_the_service_can_do_its_work_and_nothing_else(fleet: Fleet, name: str, unit: str) -> None:
    probe = Path(__file__).with_name("probe.py").read_text("utf-8")
    answer = fleet.run(name, "sh", "-c", AS_THE_SERVICE, "sh", unit, given=probe)
    assert json.loads(answer) == MAY


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
    status = dict(
        line.split(":\t", 1)
        for line in host.file(f"/proc/{pid}/status").content_string.splitlines()
    )
    assert {key: status[key].strip() for key in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")} == {
        "CapEff": "0" * 16,
        "CapBnd": "0" * 16,
        "NoNewPrivs": "1",
        "Seccomp": "2",
    }


@pytest.mark.parametrize(("name", "unit"), UNITS)
def test_systemd_rates_the_exposure_at_most_2(hosts: dict[str, Host], name: str, unit: str) -> None:
    last = hosts[name].check_output("systemd-analyze security --no-pager %s.service", unit)
    score = float(last.splitlines()[-1].split(":")[1].split()[0])
    assert score <= 2.0
