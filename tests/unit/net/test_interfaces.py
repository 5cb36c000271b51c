"""What this host says of its own interfaces."""

from __future__ import annotations

import ipaddress
import json
import shutil
import subprocess
import sys

import pytest

from powmonman.net.interfaces import Interface, interfaces

linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems list no interfaces")


@linux
def test_loopback_is_listed_with_its_broadcast() -> None:
    """So that several hosts on one machine find each other."""
    assert Interface("lo", 1, "127.0.0.1", "127.255.255.255") in interfaces()


def shown_by_ip() -> set[tuple[str, int, str, int]]:
    shown = json.loads(subprocess.check_output(["ip", "-j", "-4", "addr", "show", "up"]))
    return {
        (device["ifname"], device["ifindex"], address["local"], address["prefixlen"])
        for device in shown
        for address in device["addr_info"]
    }


@linux
@pytest.mark.skipif(shutil.which("ip") is None, reason="needs iproute2 to compare with")
def test_every_ipv4_address_of_a_live_interface_is_listed_as_ip_lists_it() -> None:
    expected, listing = shown_by_ip(), interfaces()
    while (again := shown_by_ip()) != expected:  # something else on this host changes them
        expected, listing = again, interfaces()
    listed = {(it.device, it.index, it.address): it.broadcast for it in listing if it.address}
    assert {entry[:3] for entry in expected} == set(listed)
    for name, index, address, prefix in expected:
        network = ipaddress.ip_network(f"{address}/{prefix}", strict=False)
        possible = {"", "255.255.255.255", str(network.broadcast_address)}
        assert listed[name, index, address] in possible


def test_elsewhere_one_nameless_interface_stands_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert [Interface("", 0, "", "255.255.255.255")] == interfaces()


@pytest.mark.parametrize(
    ("names", "expected"), [((), True), (("eth0",), True), (("eth1",), False), (("eth",), False)]
)
def test_an_alias_is_meant_by_the_name_of_its_interface(
    names: tuple[str, ...], expected: bool
) -> None:
    assert expected == Interface("eth0:1", 2, "192.0.2.7", "192.0.2.255").is_among(names)
