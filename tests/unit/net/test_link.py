"""Which interface leads where, and what keeps its link up."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from powmonman.net import link
from powmonman.net.link import Link, Target, cards, carrier, changes, link_to, target

if TYPE_CHECKING:
    from pathlib import Path


class Interfaces:
    """A recorded /sys/class/net, in which what is called `lo` leads everywhere that is near."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def add(
        self, name: str, carrier: str = "1", changes: int = 2, over: tuple[str, ...] = ()
    ) -> None:
        """Add an interface over others; one over none is a network card unless it is `lo`."""
        place = self._root / name
        place.mkdir()
        (place / "carrier").write_text(f"{carrier}\n")
        (place / "carrier_changes").write_text(f"{changes}\n")
        for below in over:
            (place / f"lower_{below}").symlink_to(self._root / below)
        if not over and not name.startswith(("lo", "tap")):
            (place / "device").mkdir()

    def carrier(self, name: str, *, up: bool) -> None:
        (self._root / name / "carrier").write_text("1\n" if up else "0\n")

    def switch_off(self, name: str) -> None:
        (self._root / name / "carrier").unlink()


@pytest.fixture
def interfaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Interfaces:
    monkeypatch.setattr(link, "INTERFACES", tmp_path)
    return Interfaces(tmp_path)


HERE = target("127.0.0.2")


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("192.0.2.7", Target(socket.AF_INET, "192.0.2.7")),
        ("2001:DB8:0::7", Target(socket.AF_INET6, "2001:db8::7")),
        ("fe80::1%lo", Target(socket.AF_INET6, "fe80::1", socket.if_nametoindex("lo"))),
    ],
)
def test_an_address_is_taken_apart_without_asking_anybody(address: str, found: Target) -> None:
    assert target(address) == found


@pytest.mark.parametrize("address", ["pi.lan", "", "1.2.3", "fe80::1%nowhere0", "1:2"])
def test_what_is_no_address_is_an_error(address: str) -> None:
    with pytest.raises(OSError, match=r"\w"):
        target(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1"])
def test_this_host_is_reached_by_the_loopback(address: str) -> None:
    found = link_to(target(address))
    assert (found.interface, found.up) == ("lo", True)


def test_where_no_route_leads_the_kernel_says_so() -> None:
    with pytest.raises(OSError, match=r"\w"):
        link_to(Target(socket.AF_INET6, "fe80::1", 999_999))


def test_a_link_is_up_with_a_carrier(interfaces: Interfaces) -> None:
    interfaces.add("lo", changes=5)
    assert link_to(HERE) == Link("lo", up=True, changes=5)
    interfaces.carrier("lo", up=False)
    assert link_to(HERE) == Link("lo", up=False, changes=5)
    interfaces.switch_off("lo")
    assert not link_to(HERE).up


def test_an_interface_that_went_away_is_down(interfaces: Interfaces) -> None:
    assert link_to(HERE) == Link("lo", up=False, changes=0)
    interfaces.add("eth0")
    assert not link_to(HERE).up


def test_guests_do_not_keep_the_link_of_a_bridge_up(interfaces: Interfaces) -> None:
    interfaces.add("eth0", changes=3)
    interfaces.add("tap0", changes=40)
    interfaces.add("lo", changes=2, over=("eth0", "tap0"))
    assert link_to(HERE) == Link("lo", up=True, changes=5)
    interfaces.carrier("eth0", up=False)
    assert link_to(HERE) == Link("lo", up=False, changes=5)


def test_one_card_of_a_bond_is_enough_also_below_a_vlan_on_a_bridge(
    interfaces: Interfaces,
) -> None:
    for card in ("eth0", "eth1"):
        interfaces.add(card)
    interfaces.add("bond0", over=("eth0", "eth1"))
    interfaces.add("bond0.7", over=("bond0",))
    interfaces.add("lo", over=("bond0.7",))
    interfaces.carrier("eth0", up=False)
    assert link_to(HERE).up
    interfaces.carrier("eth1", up=False)
    assert not link_to(HERE).up


def test_a_bridge_of_guests_alone_has_the_link_that_it_says(interfaces: Interfaces) -> None:
    interfaces.add("tap0")
    interfaces.add("lo", over=("tap0",))
    assert link_to(HERE).up


def test_interfaces_in_a_circle_are_no_endless_story(interfaces: Interfaces) -> None:
    interfaces.add("a0", over=("lo",))
    interfaces.add("lo", over=("a0",))
    assert link_to(HERE).up


def test_a_carrier_is_there_or_not_or_nobody_can_tell(interfaces: Interfaces) -> None:
    interfaces.add("eth0")
    assert carrier("eth0") is True
    interfaces.carrier("eth0", up=False)
    assert carrier("eth0") is False
    interfaces.switch_off("eth0")
    assert carrier("eth0") is None
    assert carrier("gone") is None


def test_a_bridge_has_a_carrier_by_its_cards_and_none_can_be_told_with_a_card_switched_off(
    interfaces: Interfaces,
) -> None:
    interfaces.add("eth0", changes=3)
    interfaces.add("tap1")
    interfaces.add("br0", changes=4, over=("eth0", "tap1"))
    assert carrier("br0") is True
    assert changes("br0") == 7
    assert cards() == ["eth0"]
    interfaces.carrier("eth0", up=False)
    assert carrier("br0") is False
    interfaces.switch_off("eth0")
    assert carrier("br0") is None
