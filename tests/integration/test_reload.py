"""SIGHUP: a good file is applied, a bad one changes nothing, and no deadline moves away."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from .daemon import sleep_until, wait_for
from .fleet import LEASE
from .stage import together

if TYPE_CHECKING:
    from .daemon import Daemon
    from .fleet import Fleet


def break_file(daemon: Daemon) -> None:
    """Reload a file with two mistakes in it."""
    good = daemon.config.read_text("utf-8")
    daemon.config.write_text(good + "leese: 3\npolicy: [5]\n", encoding="utf-8")
    daemon.reload()
    daemon.config.write_text(good, encoding="utf-8")


@together
def test_a_server_keeps_what_it_runs_with_when_the_file_is_bad(fleet: Fleet) -> None:
    server, nas = fleet.server(policy__after=60), fleet.client("nas")
    fleet.up(server, nas)
    before = fleet.row(server, "nas")["for"]
    break_file(server)
    server.says("reload refused, the running configuration stays")
    server.says(r"server\.yml:\d+:1: leese: unknown key")
    (fault,) = fleet.report(server)["faults"]
    assert fault.startswith("the last reload was refused: ")
    assert fleet.run("status", "--config", str(server.config)).returncode == 1
    assert fleet.report(server)["policy"]["after"] == 60
    assert fleet.row(server, "nas")["for"] >= before

    server.reload()
    server.says("reloaded")
    assert fleet.report(server)["faults"] == []


@together
def test_a_shorter_lease_is_kept_from_the_first_moment_on(fleet: Fleet) -> None:
    """The next word was due in 10 s; nobody is dropped for waiting for it."""
    server, nas = fleet.server(policy__after=60, lease=30), fleet.client("nas")
    fleet.up(server, nas)
    server.configure(lease=LEASE)
    server.reload()
    time.sleep(4 * LEASE)
    assert nas.said("connection .* lost") == []


@together
def test_a_client_keeps_what_it_runs_with_when_the_file_is_bad(fleet: Fleet) -> None:
    server, nas = fleet.server(policy__after=4), fleet.client("nas")
    fleet.up(server, nas)
    lost_at = fleet.mains("off")
    nas.says("on battery · outage")
    break_file(nas)
    nas.says("reload refused, the running configuration stays")
    faults = verify(fleet, nas)
    assert [it for it in faults if it.startswith("the last reload was refused: ")]
    assert 4 - 0.05 <= fleet.down("nas") - lost_at <= 4 + 2.5
    assert nas.said("connection .* lost") == []


@together
def test_a_client_with_a_bad_certificate_on_reload_keeps_the_good_one(fleet: Fleet) -> None:
    server, nas = fleet.server(), fleet.client("nas")
    fleet.up(server, nas)
    nas.configure(tls__identity=str(fleet.path("nothing.pem")))
    nas.reload()
    nas.says("reload refused")
    nas.says("nothing.pem: no such file")
    assert fleet.row(server, "nas")["connected"]


@together
def test_an_earlier_deadline_is_taken_over_in_a_countdown(fleet: Fleet) -> None:
    server, nas = fleet.server(policy__after=60), fleet.client("nas")
    fleet.up(server, nas)
    lost_at = fleet.mains("off")
    nas.says("on battery · outage")
    nas.configure(policy__after=4)
    nas.reload()
    assert 4 - 0.05 <= fleet.down("nas") - lost_at <= 4 + 2.5


@together
def test_a_later_deadline_waits_for_the_next_outage(fleet: Fleet) -> None:
    """On the client and on the server, while it counts: it goes when it had to."""
    server = fleet.server(policy__after=5)
    nas, db = fleet.client("nas"), fleet.client("db", policy__after=4)
    fleet.up(server, nas, db)
    lost_at = fleet.mains("off")
    nas.says("on battery · outage")
    server.configure(policy__after=60)
    server.reload()
    db.configure(policy__after=60)
    db.reload()
    assert 4 - 0.05 <= fleet.down("db") - lost_at <= 4 + 2.5
    assert 5 - 0.05 <= fleet.down("nas") - lost_at <= 5 + 2.5


@together
def test_the_fleets_earlier_deadline_reaches_who_counts(fleet: Fleet) -> None:
    server, nas = fleet.server(policy__after=60), fleet.client("nas")
    fleet.up(server, nas)
    lost_at = fleet.mains("off")
    nas.says("on battery · outage")
    server.configure(policy__after=4)
    server.reload()
    assert 4 - 0.05 <= fleet.down("nas") - lost_at <= 4 + 2.5
    assert nas.said("connection .* lost") == []


@together
def test_a_server_watches_another_ups_from_the_reload_on(fleet: Fleet) -> None:
    server, nas = fleet.server(policy__after=60, refill_ratio=10), fleet.client("nas")
    fleet.up(server, nas)
    fleet.mains("off")
    nas.says("on battery · outage")
    outage = fleet.report(server)["upses"]["ups"]["outage"]
    second: dict[str, Any] = json.loads(json.dumps(server.settings["upses"]["ups"]))
    fleet.path("second.yml").write_text("mains: on\n", encoding="utf-8")
    second["simulated"]["file"] = str(fleet.path("second.yml"))
    server.configure(upses__desk=second)
    server.reload()

    def settled() -> bool:
        upses = fleet.report(server)["upses"]
        return {name: it["state"] for name, it in upses.items()} == {
            "ups": "on_battery",
            "desk": "on_mains",
        }

    wait_for("two UPSes", settled)
    assert fleet.report(server)["upses"]["ups"]["outage"] == outage


@together
def test_a_dry_run_that_begins_in_a_countdown_keeps_the_host_up(fleet: Fleet) -> None:
    server, nas = fleet.server(policy__after=6), fleet.client("nas")
    fleet.up(server, nas)
    lost_at = fleet.mains("off")
    nas.says("on battery · outage")
    nas.configure(dry_run=True)
    nas.reload()
    nas.says("dry run: would run .* poweroff")
    sleep_until(lost_at + 7)
    assert fleet.history == []


def verify(fleet: Fleet, daemon: Daemon) -> list[str]:
    """Return the faults that `powmonman verify` finds."""
    ran = fleet.run("verify", "--config", str(daemon.config))
    return list(json.loads(ran.stdout)["faults"])
