"""The keys of `policy` and `shutdown`: when a host goes down, and what it runs then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from powmonman.config import forms
from powmonman.config.keys import key


@dataclass(frozen=True)
class FleetPolicy:
    """When hosts go down, where they don't say otherwise. What comes first counts."""

    after: float = key(
        600.0, "Time on battery after which a host shuts down.", unit="s", minimum=1, maximum=86400
    )
    charge_below: float = key(
        0.0, "Charge below which it does. 0: never.", unit="%", minimum=0, maximum=100
    )
    charge_drop: float = key(
        0.0,
        "Share of the charge at the outage's start whose loss shuts it down; 0.5 is the half. "
        "0: never.",
        minimum=0,
        maximum=1,
    )
    runtime_below: float = key(
        0.0,
        "Runtime left, as the UPS estimates it, below which it does. 0: never.",
        unit="s",
        minimum=0,
        maximum=86400,
    )
    low_battery: bool = key(True, "Whether it does when the UPS says that its battery is low.")


@dataclass(frozen=True)
class HostPolicy:
    """When this host goes down. What comes first counts."""

    after: float | None = key(
        None,
        "Time on battery after which this host shuts down. Empty: the fleet's `policy.after`.",
        unit="s",
        minimum=1,
        maximum=86400,
    )
    charge_below: float | None = key(
        None,
        "Charge below which it does. 0: never. Empty: the fleet's.",
        unit="%",
        minimum=0,
        maximum=100,
    )
    charge_drop: float | None = key(
        None,
        "Share of the charge at the outage's start whose loss shuts it down; 0.5 is the half. "
        "0: never. Empty: the fleet's.",
        minimum=0,
        maximum=1,
    )
    runtime_below: float | None = key(
        None,
        "Runtime left, as the UPS estimates it, below which it does. 0: never. Empty: the fleet's.",
        unit="s",
        minimum=0,
        maximum=86400,
    )
    low_battery: bool | None = key(
        None,
        "Whether it does when its UPS says that its battery is low. Empty: as the fleet says.",
    )
    min_observe: float = key(
        60.0,
        "Time on battery that this client itself must have seen before it may shut down.",
        unit="s",
        minimum=0,
        maximum=3600,
    )
    confirm: float = key(
        2.0,
        "Unbroken time on battery right before a shutdown. At most the UPS's `restore_confirm` "
        "counts.",
        unit="s",
        minimum=0,
        maximum=60,
    )


@dataclass(frozen=True)
class Command:
    """One step of a shutdown."""

    command: tuple[str, ...] = key(
        (), "Program and arguments, as a list; no shell reads it. Never empty."
    )
    timeout: float = key(
        60.0, "Time until the command is killed.", unit="s", minimum=0.1, maximum=86400
    )
    on_failure: Literal["continue", "stop"] = key(
        "continue", "`stop`: skip the remaining commands and go straight to `final`."
    )


@dataclass(frozen=True)
class Shutdown:
    """What this host runs at its deadline."""

    commands: tuple[Command, ...] = key(
        (), "Commands to run first, in this order. Whatever they do, `final` runs."
    )
    final: Command = key(
        lambda: Command(command=("systemctl", "poweroff")), "The command that ends it all."
    )
    via: Literal["direct", "unit"] = key(
        "direct",
        "`unit`: through the root-owned powmonman-shutdown.path, as the roles install it. "
        "`direct`: the client runs the commands itself, and so must be root.",
    )
    presets: tuple[str, ...] = key(
        (),
        "Ready-made lists of commands, run before `commands` (docs/presets.md).",
        form=forms.PRESET,
        distinct=True,
    )
