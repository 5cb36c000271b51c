"""Reading trees as the kernel makes them, and as it takes them away."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

import pytest
from supplies import MACHINES, Tree

from powmonman.sensors.battery_table import Seen, decide
from powmonman.sensors.power_supply import PowerSupply, read_supplies

if TYPE_CHECKING:
    from pathlib import Path

    from powmonman.core.power import Reading

# What each recorded machine must read as: mains, charge, low battery, runtime, voltage, and words
# of the reason.
READINGS: dict[str, tuple[bool | None, float | None, bool, float | None, float | None, str]] = {
    "chromebook": (False, 55, False, 16560, 7.702, ""),
    "desktop-graphics-port": (None, None, False, None, None, "an empty port proves nothing"),
    "desktop-mouse": (None, None, False, None, None, "neither a battery nor an adapter"),
    "desktop-ups": (True, 100, False, None, 13.6, ""),
    "framework": (
        True,
        100,
        False,
        None,
        17.42,
        "BAT1 discharges with ACAD, ucsi-source-psy-USBC000:004 online",
    ),
    "laptop-usb-c": (True, 60, False, None, 16.31, ""),
    "macbook": (True, 80, False, None, 12.08, "BAT0 discharges with sbs-charger online"),
    "pi-ups-hat": (True, 97, False, None, 4.151, ""),
    "server": (None, None, False, None, None, "neither a battery nor an adapter"),
    "tablet-pen": (True, 100, False, None, 8.62, ""),
    "thinkpad": (True, 94.5, False, None, 16.802, ""),
    "thinkpad-two-batteries": (False, 5.3, False, 314, 10.459, ""),
}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path, "thinkpad")


def judge(tree: Tree, *ignore: str, seen: Seen | None = None) -> Reading:
    return decide(read_supplies(tree.root, ignore), seen or Seen(), 10.0)


def supply(tree: Tree, name: str) -> PowerSupply:
    return next(each for each in read_supplies(tree.root) if each.name == name)


def test_every_recorded_machine_has_its_reading() -> None:
    assert MACHINES == sorted(READINGS)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_recorded_machine_reads_as_it_is(machine: str, tmp_path: Path) -> None:
    reading = judge(Tree(tmp_path, machine))
    *values, words = READINGS[machine]
    told = [reading.mains, reading.charge, reading.low_battery, reading.runtime, reading.voltage]
    assert told == values
    assert words in reading.reason
    assert words or not reading.reason


def test_a_charger_that_is_always_online_can_be_ignored(tmp_path: Path) -> None:
    reading = judge(Tree(tmp_path, "macbook"), "sbs-*")
    assert (reading.mains, reading.runtime, reading.reason) == (False, 14400, "")


def test_ignoring_is_by_the_whole_name(tree: Tree) -> None:
    assert judge(tree, "A", "C", "BAT").mains is True
    assert "no battery" in judge(tree, "BAT?").reason


def test_a_pi_on_a_ups_hat_loses_the_mains(tmp_path: Path) -> None:
    """Its gauge knows no status: the charger's wire is the only evidence."""
    tree = Tree(tmp_path, "pi-ups-hat")
    seen = Seen().and_now(read_supplies(tree.root))
    tree.set({"charger/online": "0", "battery/capacity": "9"})
    reading = judge(tree, seen=seen)
    assert (reading.mains, reading.low_battery) == (False, True)


def test_a_usb_c_laptop_loses_the_mains_whichever_port_fed_it(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "laptop-usb-c")
    tree.set({"ucsi-source-psy-USBC000:004/online": "0", "ucsi-source-psy-USBC000:001/online": "1"})
    assert judge(tree).mains is True
    tree.set({"ucsi-source-psy-USBC000:001/online": "0", "BAT1/status": "Discharging"})
    assert judge(tree).mains is False


def test_a_missing_tree_is_the_callers_to_tell(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_supplies(tmp_path / "gone")


def test_what_is_no_supply_is_passed_over(tree: Tree) -> None:
    (tree.root / "README").write_text("x")
    (tree.root / "empty").mkdir()
    (tree.root / "dangling").symlink_to("nowhere")
    tree.set({"odd/type": "Quantum", "odd/online": "1"})
    assert ["AC", "BAT0", "odd"] == [each.name for each in read_supplies(tree.root)]
    assert judge(tree).mains is True


def test_a_file_that_cant_be_read_is_told_from_one_that_is_not_there(tree: Tree) -> None:
    tree.spoil("BAT0/energy_now")
    tree.remove("BAT0/energy_full")
    attributes = supply(tree, "BAT0").attributes
    assert attributes["energy_now"] is None
    assert "energy_full" not in attributes
    assert judge(tree).charge == 94


def test_an_adapter_that_cant_be_read_is_unknown(tree: Tree) -> None:
    tree.spoil("AC/online")
    tree.set({"BAT0/status": "Discharging"})
    assert judge(tree).reason == "AC/online can't be read; see what the kernel says: dmesg"


@pytest.mark.parametrize("file", ["type", "scope"])
def test_what_a_supply_is_must_be_readable(tree: Tree, file: str) -> None:
    """Else a mouse might pass for the host's battery."""
    tree.spoil(f"BAT0/{file}")
    with pytest.raises(OSError, match="Input/output error") as failed:
        read_supplies(tree.root)
    assert failed.value.filename == str(tree.root / "BAT0" / file)


def test_a_supply_that_is_going_away_is_gone(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree.root / "AC" / "type").unlink()
    with socket.socket(socket.AF_UNIX) as gone:
        # Opening it fails with ENXIO, as a file of a device that was just removed.
        monkeypatch.chdir(tree.root / "AC")
        gone.bind("type")
    assert ["BAT0"] == [each.name for each in read_supplies(tree.root)]


@pytest.mark.parametrize("number", [errno.ENODEV, errno.ENXIO])
def test_a_supply_that_goes_away_in_mid_read_is_gone(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    real = os.read

    def read(descriptor: int, size: int) -> bytes:
        data = real(descriptor, size)
        if data == b"Mains\n":
            raise OSError(number, os.strerror(number))
        return data

    monkeypatch.setattr(os, "read", read)
    assert ["BAT0"] == [each.name for each in read_supplies(tree.root)]


def test_an_adapter_whose_driver_answers_no_such_device_is_not_taken_for_offline(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ACPI driver says ENODEV when the embedded controller did not answer."""
    real = os.read

    def read(descriptor: int, size: int) -> bytes:
        data = real(descriptor, size)
        if data == b"1\n":
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        return data

    monkeypatch.setattr(os, "read", read)
    tree.set({"BAT0/status": "Discharging"})
    assert judge(tree).mains is None


def test_bytes_that_are_no_text_are_no_value(tree: Tree) -> None:
    (tree.root / "BAT0" / "status").write_bytes(b"\xff\xfe\x00" * 2000)
    (tree.root / "BAT0" / "energy_now").write_bytes(b"\xff")
    reading = judge(tree)
    assert (reading.mains, reading.charge) == (True, 94)


def test_a_fifo_in_the_place_of_a_file_holds_nobody_up(tree: Tree) -> None:
    (tree.root / "AC" / "online").unlink()
    os.mkfifo(tree.root / "AC" / "online")
    assert judge(tree).mains is None
