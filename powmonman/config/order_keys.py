"""The keys of `order`, `recovery` and `history` in server.yml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from powmonman.config import forms
from powmonman.config.keys import key


@dataclass(frozen=True)
class Place:
    """One host's place in the order, as its client.yml says it too."""

    wait_for: tuple[str, ...] = key(
        (),
        "The hosts that must be down before this one commits.",
        form=forms.HOST_NAME,
        distinct=True,
    )
    wait_timeout: float = key(
        300.0, "How long it waits for them at most.", unit="s", minimum=0, maximum=86400
    )
    after: float | None = key(
        None,
        "Its own time on battery. Empty: the fleet's `policy.after`.",
        unit="s",
        minimum=1,
        maximum=86400,
    )


@dataclass(frozen=True)
class Order:
    """Who must be down before whom, and when a host counts as down."""

    hosts: dict[str, Place] = key(
        dict,
        "The places of hosts that wait, by name; the roles write them from the inventory. They are "
        "checked as a whole, and hold for hosts that have not said hello since.",
        form=forms.HOST_NAME,
    )
    settle: float = key(
        5.0,
        "A host that has committed and hung up is down when it has answered no ping and no ARP "
        "for this long.",
        unit="s",
        minimum=0.1,
        maximum=300,
    )
    gone_after: float = key(
        60.0,
        "A host that is gone without a commit counts as down after this long without an answer.",
        unit="s",
        minimum=1,
        maximum=3600,
    )


@dataclass(frozen=True)
class Wake:
    """How one host is switched on."""

    method: Literal["wake_on_lan", "command", "none"] = key(
        "wake_on_lan", "`command`: by IPMI, a smart plug and the like. `none`: by nobody."
    )
    macs: tuple[str, ...] = key(
        (),
        "MAC addresses for magic packets. Empty: those that its client says.",
        form=forms.MAC,
        distinct=True,
    )
    broadcasts: tuple[str, ...] = key(
        (),
        "Directed broadcast addresses that magic packets go to as well, for a host behind a router "
        "(192.0.2.255).",
        form=forms.IP_ADDRESS,
        distinct=True,
    )
    command: tuple[str, ...] = key(
        (),
        "With `method: command`, program and arguments as a list; no shell reads it. It runs as "
        "the server's user.",
    )
    timeout: float = key(
        30.0, "Time until the command is killed.", unit="s", minimum=0.1, maximum=600
    )


@dataclass(frozen=True)
class Recovery:
    """Bringing back what an outage took down."""

    enabled: bool = key(True, "Wake them.")
    wake_after: float = key(
        60.0,
        "How long the mains must have been good before the first is woken.",
        unit="s",
        minimum=0,
        maximum=86400,
    )
    reserve: float = key(
        300.0,
        "Time on battery that must be left: a boot and another shutdown must fit.",
        unit="s",
        minimum=0,
        maximum=86400,
    )
    repeat: float = key(
        15.0,
        "Time until a host that is not back is woken again; it doubles each time, up to eight "
        "times this.",
        unit="s",
        minimum=0.5,
        maximum=3600,
    )
    give_up: float = key(
        1800.0,
        "How long after its first waking a host that is not back is given up, by name.",
        unit="s",
        minimum=1,
        maximum=604800,
    )
    hosts: dict[str, Wake] = key(dict, "How hosts are switched on, by name.", form=forms.HOST_NAME)
    interfaces: tuple[str, ...] = key(
        (),
        "Network interfaces that magic packets leave by. Empty: all that are up.",
        form=forms.INTERFACE,
        distinct=True,
    )


@dataclass(frozen=True)
class History:
    """The record of outages and drills."""

    keep: int = key(200, "How many are kept; the oldest give way.", minimum=1, maximum=10000)
