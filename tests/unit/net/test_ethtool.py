"""Which cards a host has, and what wakes it by them, against a kernel that the test plays."""

from __future__ import annotations

import errno
import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from powmonman.net import ethtool
from powmonman.net.ethtool import Card, arm, armed, cards, wake_on_lan

MAGIC, PHY = 0x20, 0x1
MAC = "02:00:5e:10:00:01"


class Kernel:
    """Answers ethtool's requests for one card, and keeps what it was told."""

    def __init__(self, supported: int = 0, options: int = 0, permanent: str = MAC) -> None:
        self.supported, self.options, self.permanent = supported, options, permanent
        self.refuses = 0
        self.password = b"secret"

    def ethtool(self, name: str, request: bytes) -> bytes:
        (what,) = struct.unpack_from("=I", request)
        if what == 0x20:
            return struct.pack("=II", what, 6) + bytes.fromhex(self.permanent.replace(":", "")) * 2
        if self.refuses:
            raise OSError(self.refuses, "refused", name)
        if what == 0x6:
            _, _, self.options, self.password = struct.unpack("=III6s2x", request)
            return request
        return struct.pack("=III6s2x", what, self.supported, self.options, self.password)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(ethtool, "_ethtool", made.ethtool)
    return made


def plug(
    network: Path, name: str, *, mac: str = MAC, kind: str = "1", physical: bool = True
) -> Path:
    place = network / name
    place.mkdir()
    (place / "type").write_text(kind + "\n")
    (place / "address").write_text(mac + "\n")
    if physical:
        (place / "device" / "power").mkdir(parents=True)
    return place


@pytest.mark.parametrize(
    ("supported", "options", "expected"),
    [(MAGIC | PHY, MAGIC, "on"), (MAGIC | PHY, PHY, "off"), (PHY, PHY, "unable"), (0, 0, "unable")],
)
def test_a_card_says_whether_a_magic_packet_wakes_its_host(
    tmp_path: Path, kernel: Kernel, supported: int, options: int, expected: str
) -> None:
    plug(tmp_path, "eth0")
    kernel.supported, kernel.options = supported, options
    assert [Card("eth0", (MAC,), wireless=False, wake=expected)] == cards(tmp_path)


def test_a_card_whose_driver_has_never_heard_of_it_is_unable(
    tmp_path: Path, kernel: Kernel
) -> None:
    plug(tmp_path, "eth0")
    kernel.refuses = errno.EOPNOTSUPP
    assert ["unable"] == [card.wake for card in cards(tmp_path)]


def test_without_the_right_to_ask_it_is_unknown_and_not_unable(
    tmp_path: Path, kernel: Kernel
) -> None:
    plug(tmp_path, "eth0")
    kernel.refuses = errno.EPERM
    assert ["unknown"] == [card.wake for card in cards(tmp_path)]


def test_bridges_tunnels_and_virtual_functions_are_no_cards(tmp_path: Path, kernel: Kernel) -> None:
    kernel.supported = MAGIC
    plug(tmp_path, "br0", physical=False)
    plug(tmp_path, "lo", kind="772")
    (plug(tmp_path, "eth0v1") / "device" / "physfn").mkdir()
    plug(tmp_path, "dummy", mac="00:00:00:00:00:00")
    kernel.permanent = "00:00:00:00:00:00"
    assert cards(tmp_path) == []


def test_a_card_in_a_bond_is_known_by_both_of_its_addresses(tmp_path: Path, kernel: Kernel) -> None:
    plug(tmp_path, "eth1", mac="02:00:5e:10:00:ff")
    kernel.permanent = "02:00:5e:10:00:02"
    assert [("02:00:5e:10:00:ff", "02:00:5e:10:00:02")] == [card.macs for card in cards(tmp_path)]


def test_a_wireless_card_wakes_nothing(tmp_path: Path, kernel: Kernel) -> None:
    kernel.supported = kernel.options = MAGIC
    (plug(tmp_path, "wlan0") / "phy80211").mkdir()
    assert [Card("wlan0", (MAC,), wireless=True, wake="unable")] == cards(tmp_path)


def test_arming_adds_the_magic_packet_and_leaves_the_rest(tmp_path: Path, kernel: Kernel) -> None:
    plug(tmp_path, "eth0")
    kernel.supported, kernel.options = MAGIC | PHY, PHY
    assert arm("eth0", tmp_path)
    assert (MAGIC | PHY, b"secret") == (kernel.options, kernel.password)
    assert wake_on_lan("eth0") == (True, True)
    assert not arm("eth0", tmp_path)


def test_arming_lets_the_device_wake_where_its_driver_did_not(
    tmp_path: Path, kernel: Kernel
) -> None:
    switch = plug(tmp_path, "eth0") / "device" / "power" / "wakeup"
    switch.write_text("disabled\n")
    kernel.supported = kernel.options = MAGIC
    assert arm("eth0", tmp_path)
    assert switch.read_text() == "enabled"
    assert not arm("eth0", tmp_path)


def test_a_card_that_knows_no_magic_packet_is_not_armed(tmp_path: Path, kernel: Kernel) -> None:
    kernel.supported = PHY
    with pytest.raises(OSError, match="knows no magic packets"):
        arm("eth0", tmp_path)
    assert kernel.options == 0


@pytest.mark.skipif(sys.platform != "linux", reason="asks a real kernel")
def test_a_real_kernel_says_why_it_can_not_be_asked() -> None:
    with pytest.raises(OSError, match=r"No such device|not permitted"):
        wake_on_lan("no-such-card")


def test_the_file_alone_prints_the_cards() -> None:
    """As the roll-out runs it, on a host that has nothing of ours."""
    source = Path(ethtool.__file__).read_text("utf-8")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", source], capture_output=True, check=True, text=True
    )
    assert isinstance(json.loads(done.stdout), list)


def card(wake: str) -> Card:
    return Card("eth0", (MAC,), wireless=False, wake=wake)


@pytest.mark.parametrize(
    ("states", "would_wake"),
    [
        ((), None),
        (("on", "unknown"), True),
        (("off",), False),
        (("unable",), False),
        (("off", "unknown"), None),
    ],
)
def test_one_card_that_is_armed_is_enough(states: tuple[str, ...], would_wake: bool | None) -> None:
    assert armed([card(state) for state in states]) is would_wake
