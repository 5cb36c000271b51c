"""A UPS with a second witness: a program that has to agree before anybody counts down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from powmonman.service.clock import boottime

from .daemon import sleep_until, wait_for
from .fleet import CONFIRM, LEASE
from .stage import together

if TYPE_CHECKING:
    from .daemon import Daemon
    from .fleet import Fleet

POLL = 0.2


class Witness:
    """A program on disk, and what it says."""

    def __init__(self, fleet: Fleet) -> None:
        self._program = fleet.path("mains-on")
        self.says("exit 0")

    @property
    def section(self) -> dict[str, object]:
        """Return its section of `server.yml`."""
        settings = {"command": [str(self._program)], "timeout": POLL * 3, "poll": POLL}
        return {"sensor": "command", "command": settings}

    def says(self, script: str) -> None:
        """Let it run this piece of shell from now on."""
        new = self._program.with_suffix(".new")
        new.write_text(f"#!/bin/sh\n{script}\n")
        new.chmod(0o755)
        new.replace(self._program)


def server_with(fleet: Fleet, witness: Witness, **ups: object) -> Daemon:
    """Return a server whose UPS has that witness."""
    server = fleet.server(policy__after=2)
    server.settings["upses"]["ups"] |= {"witnesses": [witness.section], **ups}
    server.configure()
    return server


def power(fleet: Fleet, server: Daemon) -> str:
    return str(fleet.report(server)["upses"]["ups"]["state"])


@together
def test_one_of_two_sensors_alone_shuts_nothing_down(fleet: Fleet) -> None:
    witness = Witness(fleet)
    server, nas = server_with(fleet, witness), fleet.client("nas")
    fleet.up(server, nas)
    assert "2 of 2 must say off: simulated: " in server.said("ups: .* must say off")[0]
    began = fleet.mains("off")
    sleep_until(began + CONFIRM + LEASE)
    fleet.mains("on")
    witness.says("exit 1")
    sleep_until(boottime() + CONFIRM + LEASE)
    assert nas.said("on battery · outage") == []
    assert power(fleet, server) == "on_mains"
    assert fleet.history == []


@together
def test_both_of_two_sensors_do(fleet: Fleet) -> None:
    witness = Witness(fleet)
    server, nas = server_with(fleet, witness), fleet.client("nas")
    fleet.up(server, nas)
    fleet.mains("off")
    witness.says("""echo '{"mains": "off", "charge": 80}'""")
    nas.says("on battery · outage")
    fleet.down("nas")
    assert fleet.ran("nas") == ["poweroff"]


@together
def test_the_first_of_them_to_see_the_mains_again_ends_the_countdown(fleet: Fleet) -> None:
    """A sentinel may take minutes to boot; nobody waits for it."""
    witness = Witness(fleet)
    server, nas = server_with(fleet, witness), fleet.client("nas", policy__after=30)
    fleet.up(server, nas)
    fleet.mains("off")
    witness.says("exit 1")
    nas.says("on battery · outage")
    fleet.mains("on")
    nas.says("mains are back")
    assert fleet.history == []


@together
def test_a_witness_that_fails_makes_the_power_unknown_and_starts_nothing(fleet: Fleet) -> None:
    witness = Witness(fleet)
    server, nas = server_with(fleet, witness), fleet.client("nas")
    fleet.up(server, nas)
    witness.says("echo no such device >&2; exit 1")
    began = fleet.mains("off")
    server.says(r"power unknown · simulated says off, 2 must · .*exit code 1 \(no such device\); ")
    witness.says("sleep 60")
    server.says("power unknown · simulated says off, 2 must · .*killed after 0.6 s; ")
    sleep_until(began + 2 + LEASE)
    assert nas.said("on battery · outage") == []
    assert fleet.history == []


@together
def test_with_a_quorum_of_one_any_of_them_is_enough(fleet: Fleet) -> None:
    witness = Witness(fleet)
    server, nas = server_with(fleet, witness, quorum=1), fleet.client("nas")
    fleet.up(server, nas)
    witness.says("exit 1")
    fleet.down("nas")
    wait_for("no doubt", lambda: power(fleet, server) == "on_battery")
