"""The default gateways, as the kernel lists them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from powmonman.net import gateway

if TYPE_CHECKING:
    from pathlib import Path

IPV4 = """\
Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
wlan0 00000000 FE02A8C0 0003 0 0 600 00000000 0 0 0
eth0 00000000 0102000A 0003 0 0 100 00000000 0 0 0
eth0 0002000A 00000000 0001 0 0 100 00FFFFFF 0 0 0
tun0 00000000 00000000 0001 0 0 50 00000080 0 0 0
ppp0 00000000 00000000 0001 0 0 10 00000000 0 0 0
"""
ZERO = "0" * 32
IPV6 = f"""\
{ZERO} 00 {ZERO} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00450003 eth0
fd990000000000000000000000000000 40 {ZERO} 00 {ZERO} 00000100 00000001 00000000 00000001 eth0
{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200200 lo
"""


@pytest.fixture
def routes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(gateway, "ROUTES", tmp_path)
    (tmp_path / "route").write_text(IPV4)
    (tmp_path / "ipv6_route").write_text(IPV6)
    return tmp_path


@pytest.mark.skipif(sys.byteorder != "little", reason="recorded on a little-endian machine")
def test_default_gateways_are_found_the_nearest_first(routes: Path) -> None:
    """Routes of a half of the Internet, or to a peer without an address, are none of them."""
    del routes
    assert gateway.gateways() == [
        ("10.0.2.1", "eth0"),
        ("192.168.2.254", "wlan0"),
        ("fe80::1%eth0", "eth0"),
    ]


def test_a_host_without_ipv6_has_those_of_ipv4(routes: Path) -> None:
    (routes / "ipv6_route").unlink()
    assert [interface for _, interface in gateway.gateways()] == ["eth0", "wlan0"]


def test_a_host_without_a_default_route_has_none(routes: Path) -> None:
    (routes / "route").write_text(IPV4.partition("\n")[0])
    (routes / "ipv6_route").write_text("")
    assert gateway.gateways() == []
