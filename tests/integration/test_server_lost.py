"""The server dies, hangs or comes back in the middle of a countdown: hosts go on time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from powmonman.service.clock import boottime

from .daemon import sleep_until, wait_for
from .fleet import LEASE
from .stage import together

if TYPE_CHECKING:
    from .daemon import Daemon
    from .fleet import Fleet

AFTER = 4.0
ALONE = "no contact with the server · on battery: this host shuts down on its own"


def outage(fleet: Fleet) -> tuple[Daemon, Daemon, float]:
    """Return a server and a host that counts, and when the mains failed."""
    server, nas = fleet.server(policy__after=AFTER), fleet.client("nas", "backup")
    fleet.up(server, nas)
    lost_at = fleet.mains("off")
    nas.says("on battery · outage")
    return server, nas, lost_at


@together
def test_a_host_goes_on_time_when_the_server_is_killed(fleet: Fleet) -> None:
    server, nas, lost_at = outage(fleet)
    server.kill()
    assert AFTER - 0.05 <= fleet.down("nas") - lost_at <= AFTER + 2.5
    assert fleet.ran("nas") == ["backup", "poweroff"]
    nas.says(ALONE)
    nas.says("shutting down now .* the server is silent")


@together
def test_a_host_goes_on_time_when_the_server_hangs(fleet: Fleet) -> None:
    server, nas, lost_at = outage(fleet)
    with server.paused():
        assert AFTER - 0.05 <= fleet.down("nas") - lost_at <= AFTER + 2.5
    nas.says(f"lost: the server said nothing for {LEASE:g} s")
    nas.says(ALONE)


@together
def test_a_host_goes_on_time_when_the_server_is_restarted(fleet: Fleet) -> None:
    """Killed 1 s after the loss, back 1 s later: the outage keeps its id, its age, its budget."""
    server, nas, lost_at = outage(fleet)
    sleep_until(lost_at + 1)
    asked = boottime()
    before = fleet.report(server)["upses"]["ups"]
    answered = boottime()
    server.kill()
    sleep_until(lost_at + 2)
    away = boottime() - answered
    server.start().says("listening on")

    def sure() -> dict[str, Any]:
        ups = fleet.report(server)["upses"]["ups"]
        return ups if ups["state"] == "on_battery" else {}

    after = wait_for("the server is sure again", sure)
    assert before["outage"] == after["outage"] != ""
    passed = boottime() - asked
    for figure in ("age", "spent"):
        assert before[figure] + away <= after[figure] <= before[figure] + passed
    assert AFTER - 0.05 <= fleet.down("nas") - lost_at <= AFTER + 2.5
    assert len(nas.said("on battery · outage")) == 1
