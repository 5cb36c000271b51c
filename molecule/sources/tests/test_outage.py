"""What the mains did to hosts with real sources, as recorded while it happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from testinfra.host import Host

GUARD = "laptop"
DUAL_FED = "hypervisor"
GOING = ("nas", "database", GUARD)
# From the trigger to a container that is seen to be off, on a machine that carries all of them:
# two readings, the request, and systemd's way down.
WAY_DOWN = 8.0
CHARGE_BELOW = 60


def first(record: dict[str, Any], met: Any) -> float:
    """Return when the UPS was first seen to say so."""
    return next(at for at, charge, status in record["real"]["ups"] if met(charge, status))


def journal(host: Host, unit: str) -> str:
    return host.check_output("journalctl --output=cat --no-pager -u %s", unit)


def test_a_ups_that_its_witness_contradicts_starts_no_countdown(record: dict[str, Any]) -> None:
    alone = record["alone"]
    assert "OB" in alone["ups"]
    assert alone["phases"] == ["idle"]


def test_in_a_short_outage_those_count_whose_last_supply_is_lost(record: dict[str, Any]) -> None:
    assert record["short"]["phases"] == {
        **dict.fromkeys(GOING, "counting"),
        DUAL_FED: "idle",
    }


def test_when_the_mains_return_in_time_nobody_powers_off(record: dict[str, Any]) -> None:
    assert set(record["short"]["states"].values()) == {"running"}


def test_a_fallen_charge_takes_a_host_down_before_the_battery_is_low(
    record: dict[str, Any],
) -> None:
    """`charge_below` on the charge that a real upsd told."""
    off = record["real"]["off"]
    below = first(record, lambda charge, _: charge < CHARGE_BELOW)
    assert below <= off["database"] <= below + WAY_DOWN
    assert off["database"] < off["nas"]


def test_a_low_battery_takes_the_rest_down(record: dict[str, Any]) -> None:
    off = record["real"]["off"]
    low = first(record, lambda _, status: "LB" in status.split())
    assert low <= off["nas"] <= low + WAY_DOWN


def test_the_laptop_goes_at_half_of_the_charge_that_it_had_at_the_start(
    record: dict[str, Any],
) -> None:
    """As the script of 2009 did. What it lost on the way down is lost too: 4 % a second."""
    half = record["real"]["laptop_start"] / 2
    left = record["recovery"]["laptop_charge"]
    assert half - 4 * WAY_DOWN <= left <= half


def test_a_host_that_another_ups_still_feeds_stays_up(record: dict[str, Any]) -> None:
    real = record["real"]
    assert set(real["off"]) == set(GOING)
    assert (real["states"][DUAL_FED], real["phases"][DUAL_FED]) == ("running", "idle")


def test_hosts_that_are_switched_on_again_stay_on(record: dict[str, Any]) -> None:
    """Though the batteries are as empty as they were."""
    recovery = record["recovery"]
    assert recovery["power"] == ["on_mains"]
    assert set(recovery["phases"].values()) == {"idle"}
    assert set(recovery["states"].values()) == {"running"}
