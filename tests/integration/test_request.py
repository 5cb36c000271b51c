"""`shutdown.via: unit`: the client asks once, and root answers."""

from __future__ import annotations

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
    assert f"outage {outage[:4]}: 2 s of battery spent, the server says so\n" == flag.read_text(
        "utf-8"
    )
    assert fleet.history == []

    assert fleet.run("run-shutdown", "--config", str(nas.config)).returncode == 0
    assert not flag.exists()
    assert fleet.ran("nas") == ["backup", "poweroff"]

    nas.reload()
    nas.kill()
    nas.start().says("resumed: committed")
    nas.says("server found")
    time.sleep(1)
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
