"""From the decision to the commands: through root's unit, or directly."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

from .daemon import wait_for
from .fleet import LEASE
from .stage import together

if TYPE_CHECKING:
    from .fleet import Fleet


@together
def test_the_request_is_made_once_and_names_its_reason(fleet: Fleet) -> None:
    server = fleet.server(policy__after=1.5)
    nas = fleet.client("nas", "backup", shutdown__via="unit")
    fleet.up(server, nas)
    fleet.mains("off")
    flag = nas.runtime / "shutdown"
    wait_for("the request", flag.exists)
    outage = fleet.report(server)["upses"]["ups"]["outage"]
    reason = rf"outage {outage[:4]}: \d+ s of battery spent, the server says so"
    assert re.fullmatch(reason, json.loads(flag.read_text("utf-8"))["reason"])
    assert fleet.history == []

    # What root's unit does.
    flag.unlink()
    assert fleet.run("run-shutdown", "--config", str(nas.config)).returncode == 0
    assert fleet.ran("nas") == ["backup", "poweroff"]

    nas.reload()
    nas.kill()
    nas.start().says("resumed: committed")
    nas.says("server found")
    time.sleep(0.5)
    assert not flag.exists()
    assert len(nas.said("shutdown requested")) == 1
    assert fleet.ran("nas") == ["backup", "poweroff"]


@together
def test_a_dry_run_makes_no_request(fleet: Fleet) -> None:
    server = fleet.server(policy__after=LEASE)
    nas = fleet.client("nas", shutdown__via="unit", dry_run=True)
    fleet.up(server, nas)
    fleet.mains("off")
    nas.says("dry run: would run .* poweroff")
    time.sleep(0.3)
    assert sorted(path.name for path in nas.runtime.glob("shutdown*")) == []
    assert fleet.history == []
    assert fleet.run("run-shutdown", "--config", str(nas.config)).returncode == 0
    assert fleet.history == []


@together
def test_commands_are_run_to_the_letter_although_the_file_is_broken_by_then(fleet: Fleet) -> None:
    long = "x" * 3000
    written = fleet.path("written")
    server = fleet.server(policy__after=LEASE)
    script = f'printf "%s" "$0" > {written}\n\ttrue'
    nas = fleet.client("nas", {"command": ["sh", "-c", script, f"a\nb\t{long}"]})
    fleet.up(server, nas)
    nas.config.write_text("shutdown: [", encoding="utf-8")
    fleet.mains("off")
    fleet.down("nas")
    assert written.read_text("utf-8") == f"a\nb\t{long}"


@together
def test_root_switches_the_host_off_although_the_file_is_broken_by_then(fleet: Fleet) -> None:
    nas = fleet.client("nas", "backup", shutdown__via="unit")
    nas.config.write_text("shutdown: [", encoding="utf-8")
    ran = fleet.run("run-shutdown", "--config", str(nas.config))
    assert ran.returncode == 0
    assert "running systemctl poweroff alone" in ran.stderr
    assert fleet.history == []
    assert fleet.calls("systemctl") == ["poweroff"]


@together
def test_a_request_that_nobody_took_is_seen_through_by_the_next_client(fleet: Fleet) -> None:
    """Killed with the request made, but not yet carried out: the next one does."""
    server = fleet.server(policy__after=LEASE)
    nas = fleet.client("nas", shutdown__via="unit")
    fleet.up(server, nas)
    fleet.mains("off")
    flag = nas.runtime / "shutdown"
    wait_for("the request", flag.exists)
    nas.kill()
    nas.configure(shutdown__via="direct")
    nas.start()
    fleet.down("nas")
    assert not flag.exists()
    nas.stop()
    nas.start().says("resumed: committed")
    time.sleep(0.5)
    assert fleet.ran("nas") == ["poweroff"]
