"""What the roll-out leaves on a host: services, files, and who may change them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testinfra.host import Host

DAEMON = {"pi": "powmonman-server.service"}
SHUTDOWN = "powmonman-shutdown"


def daemon(host: Host) -> str:
    return DAEMON.get(host.backend.hostname, "powmonman-client.service")


def config(host: Host) -> str:
    return "/etc/powmonman/" + ("server.yml" if daemon(host) in DAEMON.values() else "client.yml")


def owned(host: Host, path: str) -> str:
    return host.check_output("stat -c '%%U:%%G %%a' %s", path)


def test_the_daemon_runs_and_starts_at_boot(host: Host) -> None:
    said = host.check_output("systemctl is-active %s; systemctl is-enabled %s", *[daemon(host)] * 2)
    assert said.split() == ["active", "enabled"]


def test_nothing_has_failed(host: Host) -> None:
    assert host.check_output("systemctl --failed --no-legend --plain") == ""


def test_the_daemon_runs_as_its_own_user_without_a_shell(host: Host) -> None:
    pid = host.check_output("systemctl show --property=MainPID --value %s", daemon(host))
    assert host.check_output("stat -c %%U /proc/%s", pid) == "powmonman"
    assert host.check_output("getent passwd powmonman").endswith("/nologin")


def test_the_service_user_is_in_no_group_but_that_of_the_terminals_it_warns(host: Host) -> None:
    terminals = [] if daemon(host) in DAEMON.values() else ["tty"]
    groups = host.check_output("id -nG powmonman").split()
    assert sorted(groups) == ["powmonman", *terminals]


def test_the_roll_out_would_call_this_host_protected(host: Host) -> None:
    answer = json.loads(host.check_output("powmonman verify --config %s --wait 10", config(host)))
    assert (answer["ok"], answer["faults"]) == (True, [])


def test_the_key_is_for_root_to_write_and_for_the_service_to_read(host: Host) -> None:
    server = daemon(host) in DAEMON.values()
    name = "server-identity.pem" if server else "identity.pem"
    assert owned(host, f"/etc/powmonman/{name}") == "root:powmonman 640"


def test_the_configuration_belongs_to_root(host: Host) -> None:
    assert owned(host, config(host)) == "root:root 644"


def test_a_host_that_booted_waits_for_the_request_to_shut_down(client: Host) -> None:
    said = client.run("systemctl is-active %s.path %s.service", SHUTDOWN, SHUTDOWN)
    assert said.stdout.split() == ["active", "inactive"]


def test_the_service_user_can_change_nothing_that_root_runs(client: Host) -> None:
    """Every file on the way from the request to the commands, and every directory above it."""
    program = client.check_output("readlink -f /usr/local/bin/powmonman")
    units = client.check_output(
        "systemctl show --property=FragmentPath --value %s.path %s.service", SHUTDOWN, SHUTDOWN
    ).split()
    interpreter = client.check_output("readlink -f /usr/bin/python3")
    paths = [
        "/usr/local/bin/powmonman",
        program,
        *units,
        interpreter,
        "/etc/powmonman/client.yml",
    ]
    looked_at = """
    for path do
        while :; do
            if test -w "$path"; then echo "$path"; fi
            [ "$path" != / ] || break
            path=$(dirname "$path")
        done
    done
    """
    writable = client.check_output(
        "setpriv --reuid powmonman --regid powmonman --init-groups sh -c %s sh "
        + "%s " * len(paths),
        looked_at,
        *paths,
    )
    assert writable == ""
