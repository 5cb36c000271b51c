"""The rows of `battery_table`, which are SAFETY.md's rows for the sensor `battery`, one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from powmonman.sensors.battery_table import Seen, decide
from powmonman.sensors.power_supply import PowerSupply

if TYPE_CHECKING:
    from powmonman.core.power import Reading

NOTHING = Seen()
PROVEN = Seen(adapter=True, battery=True, proven=frozenset({"AC"}))


def adapter(name: str = "AC", online: str | None = "0", kind: str = "Mains") -> PowerSupply:
    return PowerSupply(name, {"type": kind, "online": online})


def battery(status: str | None, name: str = "BAT0", **more: str | None) -> PowerSupply:
    return PowerSupply(name, {"type": "Battery", "status": status, "capacity": "50", **more})


def judge(*supplies: PowerSupply, seen: Seen = NOTHING) -> Reading:
    return decide(supplies, seen, 10.0)


ON, OFF, PORT_ON, PORT_OFF = (
    adapter(online="1"),
    adapter(online="0"),
    adapter("port1", "1", "USB"),
    adapter("port2", "0", "USB"),
)
CHARGING, DISCHARGING, FULL, RESTING, UNKNOWN = (
    battery(status) for status in ("Charging", "Discharging", "Full", "Not charging", "Unknown")
)
ALL = [CHARGING, DISCHARGING, FULL, RESTING, UNKNOWN]
SILENT = [FULL, RESTING, UNKNOWN]
each_silent = pytest.mark.parametrize("silent", SILENT, ids=lambda each: each.status)


@pytest.mark.parametrize("online", [ON, PORT_ON, adapter(online="2")])
@pytest.mark.parametrize("each", ALL, ids=lambda each: each.status)
def test_an_adapter_online_is_mains_on(online: PowerSupply, each: PowerSupply) -> None:
    assert judge(online, each).mains is True


@pytest.mark.parametrize(
    "kind", ["Mains", "USB", "USB_C", "USB_PD", "USB_PD_DRP", "USB_DCP", "BrickID", "Wireless"]
)
def test_any_kind_of_adapter_counts(kind: str) -> None:
    assert judge(adapter("one", "1", kind), battery("Unknown")).mains is True


def test_one_port_of_several_is_enough() -> None:
    assert judge(OFF, PORT_OFF, PORT_ON, CHARGING).mains is True


def test_a_weak_charger_is_mains_on_with_a_notice_and_no_low_battery() -> None:
    reading = judge(ON, battery("Discharging", capacity="3"))
    assert (reading.mains, reading.low_battery, reading.runtime) == (True, False, None)
    assert reading.reason == (
        "BAT0 discharges with AC online: a charger too weak, or one that is always online"
    )


def test_mains_on_without_a_battery_carries_a_notice() -> None:
    reading = judge(ON)
    assert (reading.mains, reading.charge) == (True, None)
    assert "no battery" in reading.reason


def test_mains_on_with_a_sound_battery_carries_none() -> None:
    assert judge(ON, FULL).reason == ""


@pytest.mark.parametrize("adapters", [[OFF], [PORT_OFF], [OFF, PORT_OFF], []])
def test_no_adapter_online_and_a_battery_discharging_is_an_outage(
    adapters: list[PowerSupply],
) -> None:
    assert judge(*adapters, DISCHARGING).mains is False


@pytest.mark.parametrize("other", ALL, ids=lambda each: each.status)
def test_one_battery_of_two_that_discharges_is_an_outage(other: PowerSupply) -> None:
    second = battery(other.status, "BAT1")
    assert judge(OFF, DISCHARGING, second).mains is False
    assert judge(DISCHARGING, second).mains is False


@each_silent
def test_the_adapter_alone_is_evidence_of_an_outage_once_it_was_online(
    silent: PowerSupply,
) -> None:
    reading = judge(OFF, silent, seen=PROVEN)
    assert (reading.mains, reading.reason) == (
        False,
        "AC offline; no battery says that it discharges",
    )


@each_silent
def test_an_adapter_that_was_never_online_is_no_evidence(silent: PowerSupply) -> None:
    """Many a laptop charges by USB-C while its AC says 0: full, it must not go down."""
    reading = judge(OFF, silent)
    assert reading.mains is None
    assert "plug the adapter in once" in reading.reason


@each_silent
def test_empty_ports_alone_are_no_evidence(silent: PowerSupply) -> None:
    seen = NOTHING.and_now([PORT_ON, silent])
    assert judge(adapter("port1", "0", "USB"), PORT_OFF, silent, seen=seen).mains is None


def test_a_graphics_cards_empty_port_in_a_desktop_is_no_outage() -> None:
    assert judge(PORT_OFF).mains is None
    assert judge(PORT_OFF, seen=NOTHING.and_now([adapter("port2", "1", "USB")])).mains is None


def test_a_charging_battery_with_all_adapters_offline_is_a_contradiction() -> None:
    reading = judge(OFF, CHARGING, seen=PROVEN)
    assert reading.mains is None
    assert reading.reason.startswith("AC offline, yet BAT0 charges; ")


@pytest.mark.parametrize("each", [*ALL, None])
def test_an_adapter_that_cant_be_read_makes_it_unknown(each: PowerSupply | None) -> None:
    supplies = [each] if each else []
    for online in (None, "", "yes", "-1", "3"):
        reading = judge(OFF, adapter("ADP1", online), *supplies, seen=PROVEN)
        assert reading.mains is None
        assert reading.reason.startswith("ADP1/online can't be read; ")


def test_an_adapter_that_cant_be_read_does_not_hide_another_that_is_online() -> None:
    assert judge(adapter("ADP1", None), ON, DISCHARGING).mains is True


@pytest.mark.parametrize(
    ("status", "mains"),
    [
        ("Charging", True),
        ("Full", True),
        ("Not charging", True),
        ("Discharging", False),
        ("Unknown", None),
        ("", None),
        (None, None),
        ("garbage", None),
    ],
)
def test_without_any_adapter_the_battery_decides(status: str | None, mains: bool | None) -> None:
    assert judge(battery(status)).mains is mains


def test_a_supply_without_a_word_on_being_online_is_no_adapter() -> None:
    assert judge(PowerSupply("usb", {"type": "USB"}), FULL).mains is True


def test_a_battery_that_vanished_makes_it_unknown_unless_an_adapter_is_online() -> None:
    seen = NOTHING.and_now([FULL])
    for reading in (judge(seen=seen), judge(OFF, seen=PROVEN)):
        assert reading.mains is None
        assert "battery is gone" in reading.reason
    assert judge(ON, seen=PROVEN).mains is True


def test_an_adapter_that_vanished_leaves_only_a_discharging_battery_to_be_believed() -> None:
    told = [judge(each, seen=PROVEN).mains for each in ALL]
    assert told == [None, False, None, None, None]


def test_nothing_at_all_is_unknown_and_names_the_way_out() -> None:
    reading = judge()
    assert reading.mains is None
    assert "; use another sensor: gpio, nut, apcupsd" in reading.reason


@pytest.mark.parametrize("status", ["Discharging", "Charging", "Full"])
def test_a_mouse_is_no_battery_of_the_host(status: str) -> None:
    mouse = battery(status, "hidpp_battery_0", scope="Device", online="1")
    assert judge(mouse).mains is None
    assert judge(ON, FULL, mouse) == judge(ON, FULL)
    assert judge(OFF, DISCHARGING, mouse) == judge(OFF, DISCHARGING)


def test_a_tablets_charger_is_no_adapter_of_the_host() -> None:
    charger = PowerSupply("wacom_ac_0", {"type": "Mains", "online": "1", "scope": "Device"})
    assert judge(charger, OFF, DISCHARGING).mains is False
    assert judge(charger, FULL).mains is True


def test_a_battery_bay_that_is_empty_does_not_count() -> None:
    assert judge(battery("Discharging", present="0"), OFF, FULL, seen=PROVEN).mains is False
    assert judge(battery("Discharging", present="0")).mains is None


def test_a_ups_that_the_kernel_shows_counts_as_a_battery() -> None:
    def ups(status: str) -> PowerSupply:
        return PowerSupply("ups", {"type": "UPS", "status": status, "online": "1"})

    told = [judge(ups(each.status)).mains for each in ALL]
    assert told == [True, False, True, True, None]


def test_the_charge_is_told_on_mains_too_but_low_and_runtime_on_battery_only() -> None:
    supply = {"capacity": "5", "time_to_empty_now": "300", "voltage_now": "11100000"}
    on, off = judge(ON, battery("Charging", **supply)), judge(OFF, battery("Discharging", **supply))
    assert (on.charge, on.runtime, on.low_battery, on.voltage) == (5, None, False, 11.1)
    assert (off.charge, off.runtime, off.low_battery, off.voltage) == (5, 300, True, 11.1)


def test_only_an_adapter_of_type_mains_is_ever_proven() -> None:
    seen = NOTHING.and_now([ON, PORT_ON]).and_now([OFF, PORT_OFF])
    assert seen.proven == {"AC"}


NUMBERS = [
    *("charge_now", "charge_full", "energy_now", "energy_full", "capacity", "alarm"),
    *("capacity_alert_min", "voltage_now", "voltage_min_design", "power_now", "current_now"),
    "time_to_empty_now",
]
TEXTS = [
    *("0", "1", "2", "3", "-1", "5", "50", "100", "65535", "3932100", "4968000", "-612000"),
    *("12080000", "1000000000000", "nan", "inf", "1e999", "1e308", "1e-320", "yes", "٣"),
]
WORDS = st.sampled_from([None, "", "\x00", *TEXTS])
STATUSES = ["Charging", "Discharging", "Not charging", "Full", "Unknown", None, "garbage"]
TYPES = ["Battery", "Mains", "USB", "USB_PD", "UPS", "Wireless", "BrickID", "Unknown", "", "new"]
FIXED = st.fixed_dictionaries(
    {"type": st.sampled_from(TYPES), "scope": st.sampled_from(["", "System", "Device", "Unknown"])},
    optional={
        "online": WORDS,
        "status": st.sampled_from(STATUSES),
        "present": st.sampled_from(["0", "1", None]),
    },
)
ATTRIBUTES = st.builds(
    lambda fixed, numbers: {**numbers, **fixed},
    FIXED,
    st.dictionaries(st.sampled_from(NUMBERS), WORDS, max_size=6),
)
SUPPLIES = st.lists(
    st.builds(PowerSupply, st.sampled_from(["AC", "BAT0", "BAT1", "port1"]), ATTRIBUTES), max_size=5
)


@given(st.lists(SUPPLIES, min_size=1, max_size=4), st.floats(1, 99))
@example([[battery("Discharging", charge_now="0", charge_full="1e-320")]], 10.0)
def test_whatever_is_read_the_promises_hold(readings: list[list[PowerSupply]], low: float) -> None:
    """It never raises, never says off beside an adapter online, and off never without evidence."""
    seen = Seen()
    for supplies in readings:
        reading = decide(supplies, seen, low)
        seen = seen.and_now(supplies)
        own = [each for each in supplies if each.attributes.get("scope") != "Device"]
        online = [each for each in own if each.is_adapter and each.online]
        if online:
            assert reading.mains is True
        if reading.mains is False:
            discharging = any(each.is_battery and each.status == "Discharging" for each in own)
            assert discharging or seen.proven
        if reading.mains is None:
            assert reading.reason
            assert (reading.charge, reading.runtime, reading.low_battery) == (None, None, False)
        assert "\n" not in reading.reason
        assert reading.charge is None or 0 <= reading.charge <= 100
        assert reading.runtime is None or (reading.mains is False and reading.runtime >= 0)
        assert not reading.low_battery or (reading.mains is False and reading.charge is not None)


@given(SUPPLIES, st.randoms(use_true_random=False))
def test_the_order_of_the_supplies_does_not_matter_for_the_mains(
    supplies: list[PowerSupply], random: object
) -> None:
    shuffled = list(supplies)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert decide(supplies, PROVEN, 10.0).mains is decide(shuffled, PROVEN, 10.0).mains
