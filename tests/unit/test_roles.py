"""The roles say one thing in their specs, their defaults, their READMEs and the inventories."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import pytest
import yaml

if TYPE_CHECKING:
    from types import ModuleType

REPOSITORY = Path(__file__).parents[2]
ROLES = REPOSITORY / "roles"
NAMES = ("powmonman", "powmonman_server", "powmonman_client")
NETWORK_FACING = ("powmonman-server.service", "powmonman-client.service")
UNITS = {
    "powmonman-server.service": "powmonman_server",
    "powmonman-client.service": "powmonman_client",
    "powmonman-shutdown.path": "powmonman_client",
    "powmonman-shutdown.service": "powmonman_client",
    "powmonman-shutdown-check.path": "powmonman_client",
    "powmonman-shutdown-check.service": "powmonman_client",
    "powmonman-wake.service": "powmonman_client",
}


def read(*parts: str) -> Any:
    return yaml.safe_load(ROLES.joinpath(*parts).read_text("utf-8"))


def specs(role: str) -> dict[str, Any]:
    options: dict[str, Any] = read(role, "meta", "argument_specs.yml")["argument_specs"]["main"][
        "options"
    ]
    return options


def readme() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme", ROLES / "readme.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def render(unit: str, *, gpio: bool = False) -> str:
    """Return a unit as the roll-out writes it."""
    role = UNITS[unit]
    defaults = read(role, "defaults", "main.yml")
    return fill(role, unit, __powmonman_server_gpio=gpio, **defaults)


def fill(role: str, name: str, **variables: Any) -> str:
    """Return a role's template, filled in as Ansible does it."""
    environment = jinja2.Environment(
        autoescape=jinja2.select_autoescape(default_for_string=False),
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["lookup"] = lambda _, path: Path(path).read_text("utf-8")
    text = (ROLES / role / "templates" / f"{name}.j2").read_text("utf-8")
    return environment.from_string(text).render(role_path=str(ROLES / role), **variables)


def settings(unit: str, *, gpio: bool = False) -> dict[str, list[str]]:
    """Return the values of each setting of a unit, in their order."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"(?m)^(\w+)=(.*)$", render(unit, gpio=gpio)):
        found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("role", NAMES)
def test_specs_and_defaults_agree(role: str) -> None:
    defaults = read(role, "defaults", "main.yml")
    fixed = {name: value for name, value in defaults.items() if "{{" not in str(value)}
    described = {name: spec["default"] for name, spec in specs(role).items() if "default" in spec}
    assert fixed == described


@pytest.mark.parametrize("role", NAMES)
def test_every_default_is_described_and_bears_the_name_of_its_role(role: str) -> None:
    defaults = set(read(role, "defaults", "main.yml"))
    assert defaults <= set(specs(role))
    assert {name for name in specs(role) if not name.startswith(f"{role}_")} == set()


@pytest.mark.parametrize("role", NAMES)
def test_a_variable_without_a_default_is_shown_in_the_defaults_all_the_same(role: str) -> None:
    text = (ROLES / role / "defaults" / "main.yml").read_text("utf-8")
    assert [name for name in specs(role) if f"{name}:" not in text] == []


@pytest.mark.parametrize("inventory", ["inventory.example", "inventory.demo", "molecule"])
def test_inventories_use_no_variable_that_no_role_knows(inventory: str) -> None:
    known = {name for role in NAMES for name in specs(role)}
    used = {
        name
        for path in (REPOSITORY / inventory).glob("**/*_vars/**/*.yml")
        for name in yaml.safe_load(path.read_text("utf-8")) or {}
        if name.startswith("powmonman_")
    }
    assert used - known == set()
    assert used != set()


def test_the_tables_in_the_readmes_are_up_to_date() -> None:
    """To mend it: roles/readme.py."""
    assert readme().main(["--check"]) == 0


def test_every_role_has_a_readme() -> None:
    assert readme().roles() == sorted(NAMES)


@pytest.mark.parametrize("unit", NETWORK_FACING)
def test_a_service_comes_back_for_ever(unit: str) -> None:
    found = settings(unit)
    assert found["Restart"] == ["always"]
    assert found["StartLimitIntervalSec"] == ["0"]
    assert float(found["RestartSec"][0]) <= 5


@pytest.mark.parametrize("unit", NETWORK_FACING)
def test_a_service_has_no_rights_and_keeps_its_plan_over_a_restart(unit: str) -> None:
    found = settings(unit)
    assert found["User"] == ["powmonman"]
    assert found["CapabilityBoundingSet"] == [""]
    assert found["RuntimeDirectoryPreserve"] == ["yes"]
    assert found["PrivateUsers"] == ["yes"]


def test_a_host_that_is_cut_off_may_look_at_its_links_and_its_gateway_and_do_no_more() -> None:
    """Carriers and batteries stand in /sys, routes in /proc/net, neighbours come by netlink."""
    found = settings("powmonman-client.service")
    assert found["RestrictAddressFamilies"] == ["AF_UNIX AF_INET AF_INET6 AF_NETLINK"]
    assert found["CapabilityBoundingSet"] == found["AmbientCapabilities"] == [""]
    hidden = {"ProcSubset", "PrivateNetwork", "IPAddressDeny", "InaccessiblePaths"}
    assert hidden.isdisjoint(found)


@pytest.mark.parametrize("unit", [unit for unit in UNITS if "shutdown" in unit])
def test_no_number_of_requests_makes_the_root_boundary_deaf(unit: str) -> None:
    assert settings(unit)["StartLimitIntervalSec"] == ["0"]


def test_the_request_is_taken_away_before_the_commands_run() -> None:
    assert settings("powmonman-shutdown.path")["PathExists"] == ["/run/powmonman/shutdown"]
    found = settings("powmonman-shutdown.service")
    request, taken = "/run/powmonman/shutdown", "/run/powmonman-shutdown"
    assert found["ExecStartPre"] == [f"rm -rf {taken}", f"-mv -T {request} {taken}"]
    (start,) = found["ExecStart"]
    assert f"powmonman run-shutdown --request {taken} --config " in start


@pytest.mark.parametrize("what", ["file", "link", "directory"])
def test_root_takes_whatever_lies_there_out_of_the_clients_reach(tmp_path: Path, what: str) -> None:
    (tmp_path / "powmonman").mkdir()
    request, taken = tmp_path / "powmonman" / "shutdown", tmp_path / "powmonman-shutdown"
    taken.mkdir()
    if what == "file":
        request.touch()
    elif what == "link":
        request.symlink_to("/nonexistent")
    else:
        request.mkdir()
    for line in settings("powmonman-shutdown.service")["ExecStartPre"]:
        command = line.lstrip("-").replace("/run/", f"{tmp_path}/").split()
        subprocess.run(command, check=True)
    assert not os.path.lexists(request)
    assert os.path.lexists(taken)


def test_the_check_takes_its_request_away_and_runs_no_command() -> None:
    """And it leaves its result where the client can't write."""
    assert settings("powmonman-shutdown-check.path")["PathExists"] == [
        "/run/powmonman/shutdown-check"
    ]
    found = settings("powmonman-shutdown-check.service")
    # Whatever the client has put there, a directory too, must not start it again and again.
    assert found["ExecStartPre"] == ["rm -rf /run/powmonman/shutdown-check"]
    assert found["RuntimeDirectory"] == ["powmonman-check"]
    assert found["RuntimeDirectoryPreserve"] == ["yes"]
    assert found["ExecStart"] == [
        "/usr/local/bin/powmonman run-shutdown --check --config /etc/powmonman/client.yml"
    ]


def test_the_client_brings_both_paths_to_root_with_it() -> None:
    assert settings("powmonman-client.service")["Wants"] == [
        "powmonman-shutdown.path powmonman-shutdown-check.path"
    ]
    assert settings("powmonman-shutdown-check.path")["PartOf"] == ["powmonman-shutdown.path"]


def test_a_host_that_wants_more_unbroken_time_than_it_is_let_see_is_named() -> None:
    own = {"policy": {"confirm": 8}}
    hosts = {
        "pi": {"powmonman_server_upses": {"rack": {"restore_confirm": 10}, "desk": None}},
        "nas": {"powmonman_client_config": own},
        "web": {},
    }
    known = {"__powmonman_servers": ["pi"], "__powmonman_clients": ["web", "nas"]}
    said = fill("powmonman", "confirm", hostvars=hosts, **known).splitlines()
    assert [line.partition(", but")[0] for line in said] == [
        "nas: powmonman_client_config.policy.confirm is 8.0"
    ]
    assert "takes its mains for back after 5.0 s (restore_confirm)" in said[0]


@pytest.mark.parametrize(
    ("unit", "early"),
    [
        ("docker.service", False),
        ("system-postgresql.slice", False),
        ("srv-data.mount", False),
        ("local-fs.target", True),
        ("sysinit.target", True),
        ("network.target", True),
        ("-.mount", True),
        ("docker.socket", True),
    ],
)
def test_what_is_there_before_any_service_can_not_be_outlived(unit: str, early: bool) -> None:
    text = (ROLES / "powmonman_client" / "templates" / "faults.j2").read_text("utf-8")
    (known,) = re.findall(r"elif unit is match\('(.*)'\)", text)
    assert bool(re.match(known.replace("\\\\", "\\"), unit)) is early


def test_the_timer_drills_by_the_calendar_and_makes_up_for_nothing() -> None:
    timer = fill(
        "powmonman_server", "powmonman-drill.timer", powmonman_server_drill_timer="monthly"
    )
    assert "OnCalendar=monthly\nPersistent=no" in re.sub("(?m)^#.*\n", "", timer)
    service = fill("powmonman_server", "powmonman-drill.service", powmonman_drill_scale="10")
    assert " drill --config /etc/powmonman/server.yml --scale 10.0\n" in service
    assert "KillSignal=SIGINT" in service


def test_nothing_ends_the_commands_before_their_time() -> None:
    found = settings("powmonman-shutdown.service")
    assert found["TimeoutStartSec"] == ["infinity"]
    assert found["DefaultDependencies"] == ["no"]
    assert found["Before"] == ["shutdown.target"]
    assert "Conflicts" not in found


def test_the_client_is_stopped_after_what_takes_long_and_before_the_network() -> None:
    """Stopping is the order of starting, backwards."""
    found = settings("powmonman-client.service")
    assert found["After"] == ["network.target dbus.socket dbus.service"]
    assert (
        found["Before"]
        == read("powmonman_client", "defaults", "main.yml")["powmonman_client_outlives"]
    )
    assert {"docker.service", "libvirt-guests.service"} < set(found["Before"])
    suffix = re.compile(r"[\w@.-]+\.(service|slice|target|scope)")
    assert [unit for unit in found["Before"] if not suffix.fullmatch(unit)] == []


ORDERS = {
    "network.target": "[Unit]\n",
    "dbus.socket": "[Socket]\nListenStream=/run/dbus\n",
    "dbus.service": "[Unit]\nRequires=dbus.socket\n[Service]\nExecStart=/bin/true\n",
    "docker.service": "[Unit]\nAfter=network-online.target containerd.service dbus.service\n"
    "[Service]\nExecStart=/bin/true\n",
    "containerd.service": "[Unit]\nAfter=network.target\n[Service]\nExecStart=/bin/true\n",
    "libvirt-guests.service": "[Unit]\nAfter=network.target libvirtd.service virt-guest-shutdown."
    "target\n[Service]\nExecStart=/bin/true\n",
    "nfs-server.service": "[Unit]\nAfter=network.target\nBefore=remote-fs-pre.target\n"
    "[Service]\nExecStart=/bin/true\n",
    "postgresql@15-main.service": "[Unit]\nAfter=network.target\nBefore=postgresql.service\n"
    "[Service]\nExecStart=/bin/true\n",
    "postgresql.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
    "machine.slice": "[Unit]\nBefore=slices.target\n",
    "systemd-nspawn@lab.service": "[Unit]\nBefore=machines.target\nAfter=network.target\n"
    "[Service]\nSlice=machine.slice\nExecStart=/bin/true\n",
    "multi-user.target": "[Unit]\nRequires=basic.target\nWants=powmonman-client.service "
    "docker.service containerd.service systemd-nspawn@lab.service libvirt-guests.service "
    "nfs-server.service postgresql.service postgresql@15-main.service\n",
}


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize("more", [(), ("Before=powmonman-client.service",)])
def test_the_order_of_units_has_no_cycle(tmp_path: Path, more: tuple[str, ...]) -> None:
    """With the order that distributions give these services; a cycle is seen if there is one."""
    for name, text in ORDERS.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    wrong = ORDERS["docker.service"].replace("[Unit]", "\n".join(("[Unit]", *more)))
    (tmp_path / "docker.service").write_text(wrong, encoding="utf-8")
    client = render("powmonman-client.service")
    client = re.sub(r"(?m)^ExecStart=.*$", "ExecStart=/bin/true", client)
    (tmp_path / "powmonman-client.service").write_text(client, encoding="utf-8")
    said = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / "multi-user.target")],
        capture_output=True,
        text=True,
        check=False,
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"},
    )
    assert ("ordering cycle" in said.stderr) is bool(more), said.stderr


def test_cards_are_armed_at_boot_and_before_the_network_goes_at_a_shutdown() -> None:
    """What comes after the network at a boot is stopped before it."""
    found = settings("powmonman-wake.service")
    assert found["After"] == ["network.target"]
    assert found["RemainAfterExit"] == ["yes"]
    assert found["ExecStart"] == found["ExecStop"] == ["/usr/local/bin/powmonman wake-arm"]


def test_arming_needs_one_right_and_never_holds_a_shutdown_up() -> None:
    found = settings("powmonman-wake.service")
    assert found["CapabilityBoundingSet"] == ["CAP_NET_ADMIN"]
    assert float(found["TimeoutSec"][0]) <= 30


def test_devices_are_hidden_unless_a_ups_hangs_on_a_pin() -> None:
    assert settings("powmonman-server.service")["PrivateDevices"] == ["yes"]
    found = settings("powmonman-server.service", gpio=True)
    assert "PrivateDevices" not in found
    assert found["DeviceAllow"] == ["char-gpiochip rw", "/dev/gpiomem rw"]
    assert "LG_WD=/run/powmonman" in found["Environment"]


def test_what_nut_drives_is_written_in_its_own_words() -> None:
    """A value is quoted, whatever is in it; an option without one stands alone."""
    drivers = {
        "desk": {"driver": "usbhid-ups", "port": "auto", "pollonly": True, "nolock": False},
        "rack": {"driver": "snmp-ups", "port": "192.0.2.9", "desc": 'the "big" \\ one'},
    }
    written = fill("powmonman_server", "ups.conf", powmonman_server_nut_drivers=drivers)
    lines = [line.strip() for line in written.splitlines() if not line.startswith("#")]
    assert lines == [
        "maxretry = 3",
        "",
        "[desk]",
        'driver = "usbhid-ups"',
        'port = "auto"',
        "pollonly",
        "",
        "[rack]",
        'driver = "snmp-ups"',
        'port = "192.0.2.9"',
        r'desc = "the \"big\" \\ one"',
    ]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is missing")
@pytest.mark.parametrize(
    ("unit", "gpio"),
    [(NETWORK_FACING[0], False), (NETWORK_FACING[0], True), (NETWORK_FACING[1], False)],
)
def test_the_exposure_of_a_network_facing_unit_is_at_most_2(
    unit: str, gpio: bool, tmp_path: Path
) -> None:
    (tmp_path / unit).write_text(render(unit, gpio=gpio))
    ran = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", tmp_path / unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-200:] + ran.stderr
