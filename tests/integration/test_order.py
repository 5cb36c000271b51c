"""A fleet goes down in order, whatever happens to the server meanwhile.

All hosts are on this machine, where a ping proves nothing: who hung up counts as silent.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from powmonman.service.clock import boottime

from .daemon import wait_for
from .stage import together

if TYPE_CHECKING:
    from .daemon import Daemon
    from .fleet import Fleet

SETTLE, GONE_AFTER = 0.5, 3.0


def server_of(fleet: Fleet, *names: str, **changes: Any) -> Daemon:
    order = {"settle": SETTLE, "gone_after": GONE_AFTER}
    return fleet.server(clients=list(names), order=order, **changes)


def goes_down(fleet: Fleet, client: Daemon, name: str) -> float:
    """Wait for a host's last command, and let it be off; return when."""
    at = fleet.down(name)
    client.kill()
    return at


@together
def test_nobody_goes_before_those_that_it_waits_for_are_down(fleet: Fleet) -> None:
    server = server_of(fleet, "web", "mail", "nas", "hv")
    web, mail = fleet.client("web"), fleet.client("mail", policy__after=6)
    nas = fleet.client("nas", wait_for=["web", "mail"], wait_timeout=60)
    hv = fleet.client("hv", wait_for=["nas", "web"], wait_timeout=60)
    fleet.up(server, web, mail, nas, hv)
    fleet.mains("off")
    goes_down(fleet, web, "web")
    last = goes_down(fleet, mail, "mail")
    then = goes_down(fleet, nas, "nas")
    assert then - last >= SETTLE
    assert fleet.down("hv") - then >= SETTLE
    assert "no connection from this very host" in fleet.row(server, "nas")["down"]
    order = [ran.host for ran in fleet.history if ran.what == "poweroff"]
    assert order == ["web", "mail", "nas", "hv"]
    outage = fleet.report(server)["upses"]["ups"]["outage"]
    show = ("history", "show", outage[:8], "--config", str(server.config))
    said = "no connection from this very host"
    wait_for("it is on record", lambda: said in fleet.run(*show).stdout)


@together
def test_a_server_that_is_killed_in_the_middle_goes_on_with_the_order(fleet: Fleet) -> None:
    server = server_of(fleet, "web", "nas")
    web, nas = fleet.client("web"), fleet.client("nas", wait_for=["web"], wait_timeout=60)
    fleet.up(server, web, nas)
    fleet.mains("off")
    fleet.down("web")
    server.says("web is committed")
    nas.says("waiting for web")
    kept = server.runtime / "server-hosts.json"
    wait_for("the commit is kept", lambda: '"committed"' in kept.read_text("utf-8"))
    server.kill()
    web.kill()
    time.sleep(1)
    assert fleet.ran("nas") == []
    server.start().says("listening on")
    fleet.down("nas", within=60)
    nas.says("web is down")
    assert fleet.row(server, "web")["phase"] in {"committed", "halting"}


@together
def test_a_host_that_dies_without_a_word_holds_nobody_for_long(fleet: Fleet) -> None:
    server = server_of(fleet, "web", "nas")
    web = fleet.client("web", policy__after=600)
    nas = fleet.client("nas", wait_for=["web"], wait_timeout=60)
    fleet.up(server, web, nas)
    fleet.mains("off")
    nas.says("waiting for web")
    killed_at = boottime()
    web.kill()
    # The clock of a command's trace shows hundredths only.
    assert fleet.down("nas") - killed_at >= GONE_AFTER - 0.02
    assert "gone without a commit" in server.says("web is down")


@together
def test_a_rehearsal_goes_on_to_its_end(fleet: Fleet) -> None:
    server = server_of(fleet, "web", "nas")
    web = fleet.client("web", dry_run=True)
    nas = fleet.client("nas", wait_for=["web"], wait_timeout=60, dry_run=True)
    fleet.up(server, web, nas)
    fleet.mains("off")
    server.says("web is down: dry run")
    nas.says("dry run: would shut down now")
    assert fleet.history == []
    fleet.mains("on")
    server.says("web is not down any more")


@together
def test_a_circle_is_named_and_ends_by_the_timeout(fleet: Fleet) -> None:
    server = server_of(fleet, "web", "nas")
    web = fleet.client("web", wait_for=["nas"], wait_timeout=1)
    nas = fleet.client("nas", wait_for=["web"], wait_timeout=1)
    fleet.up(server, web, nas)
    server.says("order: a circle: nas -> web -> nas", within=40)
    status = fleet.run("status", "--config", str(server.config))
    assert (status.returncode, "a circle: nas -> web -> nas" in status.stdout) == (1, True)
    verified = json.loads(fleet.run("verify", "--config", str(server.config)).stdout)
    assert any("a circle" in warning for warning in verified["warnings"])
    assert verified["faults"] == []
    fleet.mains("off")
    for host in ("web", "nas"):
        fleet.down(host)


@together
def test_plan_and_status_show_the_order(fleet: Fleet) -> None:
    server = server_of(fleet, "web", "nas", policy__after=600)
    web, nas = fleet.client("web"), fleet.client("nas", wait_for=["web"])
    fleet.up(server, web, nas)
    for name in ("web", "nas"):
        wait_for("both are known", lambda n=name: fleet.row(server, n).get("order"))
    for asker in (server, nas):
        plan = fleet.run("plan", "--config", str(asker.config), "nas").stdout
        assert "waits until web is down; 300 s after its deadline it goes all the same" in plan
        assert "commits 660 s after the loss, when web is down; down at 720 s" in plan
        told = json.loads(fleet.run("plan", "--json", "--config", str(asker.config)).stdout)
        assert told["nas"]["order"]["after"] == "web"
        shown = fleet.run("status", "--config", str(asker.config)).stdout
        assert "WAITS FOR" in shown
        assert "Order: web; then nas" in shown


@together
def test_a_client_on_the_servers_own_host_is_told_what_is_lost(fleet: Fleet) -> None:
    server = server_of(fleet, "lab", "web", "nas")
    lab = fleet.client("lab", wait_for=["web"])
    fleet.up(server, lab)
    assert verify(fleet, lab) == []
    (lab.directory / "server.yml").write_text(server.config.read_text("utf-8"), encoding="utf-8")
    lost, early = verify(fleet, lab)
    assert "once it is off nobody wakes the others" in lost
    assert "waits only for 1 of 2 hosts" in early
    lab.configure(wait_for=["web", "nas"])
    assert len(verify(fleet, lab)) == 1


def verify(fleet: Fleet, client: Daemon) -> list[str]:
    run = fleet.run("verify", "--config", str(client.config))
    return list(json.loads(run.stdout)["warnings"])
