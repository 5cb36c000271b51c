"""The keys of `upses`, and of `ups` in guard.yml: what each kind of sensor is told, and a UPS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from powmonman.config import forms
from powmonman.config.keys import key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from powmonman.config.faults import KeyPath

KNOW_BATTERIES = {"battery", "nut", "apcupsd", "command", "simulated"}


@dataclass(frozen=True)
class Gpio:
    """A wire from the mains to a GPIO pin of a Raspberry Pi."""

    pin: int = key(
        4,
        "BCM number of the GPIO (not the physical pin); 0 to 27 are on the header.",
        minimum=0,
        maximum=27,
    )
    active_low: bool = key(
        False, "The pin is low while the mains are on (an opto-isolator to ground does that)."
    )
    pull: Literal["down", "up", "off"] = key(
        "down", "The internal resistor. `down`: a cut wire must not read as mains."
    )
    wire_check: bool = key(
        True,
        "Before an outage is opened on a low pin, pull up briefly: a pin that follows is held by "
        "nothing (broken wire) and reads as unknown. Off where the circuit can't pull low.",
    )
    poll: float = key(0.25, "How often the pin is read.", unit="s", minimum=0.01, maximum=2)


@dataclass(frozen=True)
class Simulated:
    """Mains as a file says: for drills, tests and the demo."""

    file: str = key(
        "/run/powmonman/simulated.yml",
        "YAML file with `mains: on|off|unknown`, and optionally charge, runtime and low_battery.",
        form=forms.PATH,
    )
    poll: float = key(0.25, "How often the file is read.", unit="s", minimum=0.01, maximum=2)


@dataclass(frozen=True)
class Battery:
    """The batteries and adapters of the server's own host, as in a laptop."""

    root: str = key(
        "/sys/class/power_supply",
        "Where the kernel shows its power supplies. Off Linux psutil is asked instead.",
        form=forms.PATH,
    )
    ignore: tuple[str, ...] = key(
        (),
        "Names of supplies there that are not looked at, such as an adapter that is always online.",
        form=forms.POWER_SUPPLY,
        distinct=True,
    )
    low: float = key(
        10.0,
        "Charge at or below which the battery is low, where the kernel knows no alarm of its own.",
        unit="%",
        minimum=1,
        maximum=99,
    )
    poll: float = key(
        2.0,
        "How often the supplies are read; a change that the kernel reports is read at once.",
        unit="s",
        minimum=0.1,
        maximum=60,
    )


@dataclass(frozen=True)
class Nut:
    """A UPS that a NUT server (upsd) knows. It is only read, so no password is needed."""

    host: str = key("127.0.0.1", "Address of the NUT server.", form=forms.HOST)
    port: int = key(3493, "Its port.", minimum=1, maximum=65535)
    ups: str = key("ups", "The UPS's name there, as `upsc -l` lists it.", form=forms.NAME)
    calibration_floor: float = key(
        20.0,
        "A calibration (CAL) runs on the battery on purpose and is no outage, unless the charge "
        "falls below this.",
        unit="%",
        minimum=0,
        maximum=100,
    )
    poll: float = key(2.0, "How often it is asked.", unit="s", minimum=0.2, maximum=60)


@dataclass(frozen=True)
class Apcupsd:
    """A UPS that an apcupsd knows, read from its network information server (NIS)."""

    host: str = key("127.0.0.1", "Address of the apcupsd.", form=forms.HOST)
    port: int = key(3551, "Its port.", minimum=1, maximum=65535)
    calibration_floor: float = key(
        20.0,
        "A calibration (CAL) runs on the battery on purpose and is no outage, unless the charge "
        "falls below this.",
        unit="%",
        minimum=0,
        maximum=100,
    )
    poll: float = key(2.0, "How often it is asked.", unit="s", minimum=0.2, maximum=60)


@dataclass(frozen=True)
class Program:
    """Any program: its exit code, or JSON on its standard output."""

    command: tuple[str, ...] = key(
        (),
        "Program and arguments, as a list; no shell reads it. Exit code 0 without output: on "
        "mains, 1 without a word on stderr either: off, anything else: unknown. With output: a "
        "JSON object with `mains` (on, off or unknown) and optionally charge, runtime, "
        "low_battery, voltage, reason.",
    )
    timeout: float = key(
        5.0, "Time until it is killed, and reads as unknown.", unit="s", minimum=0.1, maximum=60
    )
    poll: float = key(5.0, "How often it is run.", unit="s", minimum=0.2, maximum=60)


@dataclass(frozen=True)
class Ping:
    """Hosts that are known not to hang on a UPS: all silent means that the mains are lost."""

    hosts: tuple[str, ...] = key(
        (),
        "Their IP addresses, in the LAN of the server's host. Several unlike ones. One that has "
        "never answered says nothing.",
        form=forms.IP_ADDRESS,
        distinct=True,
    )
    timeout: float = key(1.0, "Time that each has to answer.", unit="s", minimum=0.1, maximum=10)
    poll: float = key(2.0, "How often they are asked.", unit="s", minimum=0.2, maximum=60)


@dataclass(frozen=True)
class Source:
    """One sensor: its kind, and the section with that kind's settings."""

    sensor: Literal["gpio", "battery", "nut", "apcupsd", "command", "ping", "simulated"] = key(
        "gpio", "What tells the condition."
    )
    gpio: Gpio = key(Gpio, "Used with `sensor: gpio`.")
    battery: Battery = key(Battery, "Used with `sensor: battery`.")
    nut: Nut = key(Nut, "Used with `sensor: nut`.")
    apcupsd: Apcupsd = key(Apcupsd, "Used with `sensor: apcupsd`.")
    command: Program = key(Program, "Used with `sensor: command`.")
    ping: Ping = key(Ping, "Used with `sensor: ping`.")
    simulated: Simulated = key(Simulated, "Used with `sensor: simulated`.")


@dataclass(frozen=True)
class Ups(Source):
    """One battery-backed supply that the server watches."""

    witnesses: tuple[Source, ...] = key(
        (), "Further sensors of the same mains; with any, `quorum` of all must say off."
    )
    quorum: int | None = key(
        None,
        "How many of the sensors (this one and its witnesses) must say off before the mains count "
        "as lost. Empty: all of them; 1: any.",
        minimum=1,
        maximum=16,
    )
    confirm: float = key(
        2.0,
        "How long the sensor must say off, unbroken, before the mains count as lost.",
        unit="s",
        minimum=0,
        maximum=60,
    )
    restore_confirm: float = key(
        5.0,
        "How long it must say on, unbroken, before they count as returned. At least `confirm`.",
        unit="s",
        minimum=0,
        maximum=600,
    )
    runtime: float | None = key(
        None,
        "How long the full battery carries the load. Empty: as the sensor says where it knows, "
        "else twice `policy.after`.",
        unit="s",
        minimum=1,
    )
    recharge_reserve: float = key(
        30.0,
        "Charge below which no time on battery is paid back, where the sensor knows the charge: a "
        "second outage finds the budget as the first left it.",
        unit="%",
        minimum=0,
        maximum=100,
    )


def sources(ups: Ups, at: KeyPath = ()) -> Iterator[tuple[KeyPath, Source]]:
    """List the sensors of a UPS, itself first, each with the path of its section."""
    yield at, ups
    for index, witness in enumerate(ups.witnesses):
        yield (*at, "witnesses", index), witness
