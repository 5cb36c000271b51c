"""Magic packets: what they are, and that they leave by every interface that can carry them."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from powmonman.net import wake as module
from powmonman.net.interfaces import Interface
from powmonman.net.wake import Sent, digits, magic, wake

if TYPE_CHECKING:
    from collections.abc import Iterator

MAC = "0200 5e00 0001".replace(" ", "")


@pytest.fixture
def ear() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", 0))
        sock.settimeout(5)
        yield sock


def test_the_packet_is_six_bytes_of_ones_and_the_address_sixteen_times() -> None:
    packet = magic(MAC)
    assert len(packet) == 102
    assert packet[:6] == b"\xff" * 6
    assert packet[6:] == bytes.fromhex(MAC) * 16


@pytest.mark.parametrize("mac", ["02:00:5E:00:00:01", "02-00-5e-00-00-01", "02005e000001"])
def test_an_address_may_be_written_in_several_ways(mac: str) -> None:
    assert digits(mac) == MAC


@pytest.mark.parametrize(
    "mac", ["", "02:00", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "x" * 12]
)
def test_what_no_interface_has_is_no_address(mac: str) -> None:
    assert digits(mac) == ""


def test_it_arrives_by_the_broadcast_of_an_interface(ear: socket.socket) -> None:
    sent = wake([MAC], only=["lo"], ports=[ear.getsockname()[1]])
    assert sent == Sent(("lo",))
    assert ear.recv(2048) == magic(MAC)


def test_it_arrives_where_it_is_directed(ear: socket.socket) -> None:
    sent = wake([MAC], only=["none0"], broadcasts=["127.1.2.3"], ports=[ear.getsockname()[1]])
    assert sent == Sent(("127.1.2.3",), ("none0: it is down or not there",))
    assert ear.recv(2048) == magic(MAC)


def test_an_interface_that_is_dead_does_not_stop_the_others(
    ear: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = Interface("gone0", 54321, "192.0.2.1", "192.0.2.255")
    alive = Interface("lo", socket.if_nametoindex("lo"), "127.0.0.1", "127.255.255.255")
    monkeypatch.setattr(module, "interfaces", lambda: [dead, alive])
    sent = wake([MAC], ports=[ear.getsockname()[1]])
    assert sent.by == ("lo",)
    assert [fault.partition(":")[0] for fault in sent.faults] == ["gone0"]
    assert ear.recv(2048) == magic(MAC)


def test_nothing_is_raised_where_nothing_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "interfaces", list)
    assert wake([MAC]) == Sent()
