"""What a battery says moves deadlines, on a real fleet; and what `plan` said of it before."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from .daemon import wait_for
from .stage import together

if TYPE_CHECKING:
    from .daemon import Daemon
    from .fleet import Fleet

SLOW = {"policy__after": 600}


def battery(fleet: Fleet, daemon: Daemon, **expected: object) -> None:
    """Wait until the server publishes this of its UPS."""

    def published() -> bool:
        ups = fleet.report(daemon).get("upses", {}).get("ups", {})
        return all(ups.get(name) == value for name, value in expected.items())

    wait_for(f"the server publishes {expected}", published)


@together
def test_every_trigger_shuts_down_who_has_it_and_nobody_else(fleet: Fleet) -> None:
    server = fleet.server(**SLOW)
    hosts = {
        "nas": fleet.client("nas", policy__charge_below=60),
        "db": fleet.client("db", policy__charge_drop=0.5),
        "hv": fleet.client("hv", policy__runtime_below=200),
        "desk": fleet.client("desk"),
        "web": fleet.client("web", policy__low_battery=False),
    }
    fleet.mains("on", charge=90, runtime=900)
    fleet.up(server, *hosts.values())
    battery(fleet, server, charge=90)
    fleet.mains("off", charge=90, runtime=900)
    for host in hosts.values():
        host.says("on battery · outage")
    battery(fleet, server, charge_at_start=90)

    fleet.mains("off", charge=59, runtime=400)
    fleet.down("nas")
    fleet.mains("off", charge=45, runtime=300)
    fleet.down("db")
    fleet.mains("off", charge=44, runtime=199)
    fleet.down("hv")
    fleet.mains("off", charge=43, runtime=210, low_battery=True)
    fleet.down("desk")
    fleet.mains("on", charge=43)
    hosts["web"].says("mains are back")
    assert {ran.host for ran in fleet.history} == {"nas", "db", "hv", "desk"}
    hosts["nas"].says("WARNING ups: charge 59 %, below 60 % · outage")
    hosts["db"].says("charge 45 %, down from 90 % when the outage began")
    hosts["hv"].says("runtime 199 s, below 200 s")
    hosts["desk"].says("shutting down now · outage ....: ups: low battery")
    server.says("LOW BATTERY")
    server.says("db is committed · outage ....: ups: charge 45 %")


@together
def test_an_empty_battery_on_mains_shuts_nothing_down(fleet: Fleet) -> None:
    server = fleet.server(**SLOW, policy__charge_below=50, policy__runtime_below=100)
    nas = fleet.client("nas")
    fleet.up(server, nas)
    fleet.mains("on", charge=3, runtime=10, low_battery=True)
    battery(fleet, server, low_battery=True, state="on_mains")
    nas_plan = fleet.run("plan", "nas", "--config", str(server.config))
    assert "ups is at 3 % already" in nas_plan.stdout
    assert fleet.history == []
    assert not nas.said("on battery · outage")


@together
def test_a_charge_of_nothing_for_one_poll_shuts_nothing_down(fleet: Fleet) -> None:
    """The file is read 20 times a second; a reading of its own between two others."""
    server = fleet.server(**SLOW, upses__ups__simulated__poll=0.5, policy__charge_below=50)
    nas = fleet.client("nas")
    fleet.up(server, nas)
    fleet.mains("off", charge=90)
    battery(fleet, server, charge=90, state="on_battery")
    fleet.mains("off", charge=89, low_battery=True)
    fleet.mains("off", charge=88)
    battery(fleet, server, charge=88)
    assert fleet.history == []


@together
def test_plan_says_what_then_happens(fleet: Fleet) -> None:
    server = fleet.server(policy__after=5, clients=["nas", "desk", "mail"])
    nas, desk = fleet.client("nas"), fleet.client("desk", dry_run=True, policy__charge_drop=0.5)
    fleet.mains("on", charge=80, runtime=100)
    fleet.up(server, nas, desk)
    battery(fleet, server, charge=80, runtime=100)
    for asker in (server, nas):
        said = fleet.run("plan", "--config", str(asker.config))
        assert (said.returncode, said.stderr) == (0, "")
        assert "nas · fed by ups · needs 1 of them" in said.stdout
        assert "shuts down 5 s after the loss, by: after 5 s; never sooner than 1 s" in said.stdout
        assert "desk · fed by ups · needs 1 of them · DRY RUN" in said.stdout
        assert "mail" in said.stdout
        assert "has never connected" in said.stdout
    foretold = json.loads(fleet.run("plan", "nas", "--json", "--config", str(nas.config)).stdout)
    lost = fleet.mains("off", charge=80, runtime=100)
    assert abs(fleet.down("nas") - lost - foretold["nas"]["shutdown"]) < 2.5
    assert fleet.run("plan", "who", "--config", str(server.config)).returncode == 1


@together
def test_what_an_outage_has_spent_is_shown_and_drains(fleet: Fleet) -> None:
    server = fleet.server(policy__after=60, refill_ratio=4, upses__ups__recharge_reserve=50)
    nas = fleet.client("nas")
    fleet.up(server, nas)
    fleet.mains("off", charge=90)
    nas.says("on battery · outage")
    wait_for("2 s are spent", lambda: fleet.report(server)["upses"]["ups"]["spent"] > 2)
    assert "and counting" in fleet.run("status", "--config", str(server.config)).stdout
    fleet.mains("on", charge=40)
    nas.says("mains are back")
    wait_for("a charge of 40", lambda: fleet.report(server)["upses"]["ups"]["charge"] == 40)
    spent = fleet.report(server)["upses"]["ups"]["spent"]
    said = fleet.run("status", "--config", str(server.config)).stdout
    assert "not draining below the recharge reserve (40 of 50 %)" in said
    assert fleet.report(server)["upses"]["ups"]["spent"] == spent
    fleet.mains("on", charge=60)
    wait_for("it drains", lambda: fleet.report(server)["upses"]["ups"]["spent"] < spent - 0.5)
    assert "draining: a second outage now is that much shorter" in (
        fleet.run("plan", "--config", str(server.config)).stdout
    )
