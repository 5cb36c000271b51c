"""Every key of `server.yml` and `client.yml`: type, default, bounds, and what it means.

The loader, the error messages and the generated reference all read these classes, so a key is
described here and nowhere else. Durations are seconds. What keys say of each other stands in
`relations`.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field
from typing import Any, Literal

from powmonman.config import forms

PORT = 7444


@dataclass(frozen=True)
class Key:
    """What a key's type doesn't say.

    Attributes:
        doc: What it means, for the reference.
        unit: Of its number: `s`, `KiB`, `a second`, or none.
        minimum: The least that its number may be.
        maximum: The most.
        form: Of its text, of each text of its list, or of the names in its mapping.
        distinct: No entry of its list may occur twice.
    """

    doc: str = ""
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    form: forms.Form | None = None
    distinct: bool = False


def key(
    default: Any,
    doc: str,
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    form: forms.Form | None = None,
    distinct: bool = False,
) -> Any:
    """Describe one key; `default` may be a class or function that makes the value."""
    metadata = {"key": Key(doc, unit, minimum, maximum, form, distinct)}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def described(part: Field[Any]) -> Key:
    """Return what `key` said of a field."""
    found = part.metadata.get("key")
    return found if isinstance(found, Key) else Key()


@dataclass(frozen=True)
class Tls:
    """Who this host is, and whom it refuses."""

    identity: str = key(
        "/etc/powmonman/identity.pem",
        "PEM file with this host's private key, its certificate and the fleet CA, in this order.",
        form=forms.PATH,
    )
    revoked: tuple[str, ...] = key(
        (),
        "SHA-256 fingerprints (hex) of certificates that are refused although the fleet CA "
        "signed them.",
        form=forms.FINGERPRINT,
        distinct=True,
    )


@dataclass(frozen=True)
class Log:
    """Where the story of an outage is written."""

    level: Literal["debug", "info", "warning", "error"] = key("info", "The least that is logged.")
    file: str = key(
        "",
        "Also write to this file, rotated. Empty: only the journal, or the terminal.",
        form=forms.OPTIONAL_PATH,
    )
    file_kib: int = key(
        1024, "Size at which the file is rotated.", unit="KiB", minimum=16, maximum=1048576
    )
    file_keep: int = key(3, "How many rotated files are kept.", minimum=1, maximum=100)


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
class Ups:
    """One battery-backed supply that the server watches."""

    sensor: Literal["gpio", "simulated"] = key("gpio", "What tells this UPS's condition.")
    gpio: Gpio = key(Gpio, "Used with `sensor: gpio`.")
    simulated: Simulated = key(Simulated, "Used with `sensor: simulated`.")
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
        "How long the full battery carries the load. Empty: assumed to be twice `policy.after`.",
        unit="s",
        minimum=1,
    )


@dataclass(frozen=True)
class FleetPolicy:
    """When hosts go down, where they don't say otherwise."""

    after: float = key(
        600.0, "Time on battery after which a host shuts down.", unit="s", minimum=1, maximum=86400
    )


@dataclass(frozen=True)
class Listen:
    """Where the server can be reached."""

    address: str = key(
        "", "Address to listen on. Empty: every address, IPv4 and IPv6.", form=forms.LISTEN_ADDRESS
    )
    port: int = key(PORT, "TCP port for clients, UDP port for discovery.", minimum=1, maximum=65535)


@dataclass(frozen=True)
class Announce:
    """How the server makes itself known on the LAN."""

    enabled: bool = key(True, "Announce the server by UDP broadcast and answer probes.")
    interval: float = key(5.0, "Time between announcements.", unit="s", minimum=0.5, maximum=3600)
    interfaces: tuple[str, ...] = key(
        (),
        "Network interfaces to announce on. Empty: all that are up.",
        form=forms.INTERFACE,
        distinct=True,
    )


@dataclass(frozen=True)
class Limits:
    """What one server takes on, so that nobody can exhaust it."""

    connections: int = key(2048, "Connections at once.", minimum=8, maximum=65536)
    handshakes: int = key(
        8, "TLS handshake steps taken before anything else gets its turn.", minimum=1, maximum=1024
    )
    handshake_timeout: float = key(
        10.0, "Time for a handshake and the first message.", unit="s", minimum=1, maximum=60
    )
    messages: int = key(
        50,
        "Messages from one client; beyond that it is disconnected.",
        unit="a second",
        minimum=5,
        maximum=100000,
    )


@dataclass(frozen=True)
class ServerConfig:
    """`server.yml`: the host that senses the mains and tells the fleet."""

    fleet: str = key("powmonman", "The fleet's name, announced on the LAN.", form=forms.NAME)
    upses: dict[str, Ups] = key(
        lambda: {"ups": Ups()},
        "The UPSes that this server watches, by name.",
        form=forms.NAME,
    )
    policy: FleetPolicy = key(FleetPolicy, "The fleet's shutdown policy; a host may override it.")
    clients: tuple[str, ...] = key(
        (),
        "Hosts that should be connected, so that `status` can name those that never were.",
        form=forms.HOST_NAME,
        distinct=True,
    )
    lease: float = key(
        15.0,
        "How long a pushed state stays fresh; it is repeated at a third of this. "
        "At most `policy.after`.",
        unit="s",
        minimum=0.3,
        maximum=300,
    )
    refill_ratio: float = key(
        10.0,
        "Seconds of good mains that pay back one second on battery.",
        minimum=1,
        maximum=1000,
    )
    listen: Listen = key(Listen, "Where clients connect.")
    announce: Announce = key(Announce, "How clients find this server.")
    limits: Limits = key(Limits, "Bounds on clients, so that a hostile one can't starve the rest.")
    tls: Tls = key(Tls, "This server's certificate.")
    state_dir: str = key("/var/lib/powmonman", "What must survive a power cut.", form=forms.PATH)
    runtime_dir: str = key(
        "/run/powmonman", "What must survive a restart, but no boot.", form=forms.PATH
    )
    log: Log = key(Log, "Logging.")


@dataclass(frozen=True)
class HostPolicy:
    """When this host goes down."""

    after: float | None = key(
        None,
        "Time on battery after which this host shuts down. Empty: the fleet's `policy.after`.",
        unit="s",
        minimum=1,
        maximum=86400,
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
        "Unbroken time on battery right before a shutdown. At most the UPS's `restore_confirm`.",
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


@dataclass(frozen=True)
class Discovery:
    """How the server is looked for when `servers` is empty or silent."""

    enabled: bool = key(True, "Look for the server on the LAN.")
    interfaces: tuple[str, ...] = key(
        (),
        "Network interfaces to look on. Empty: all that are up.",
        form=forms.INTERFACE,
        distinct=True,
    )


@dataclass(frozen=True)
class ClientConfig:
    """`client.yml`: a host that shuts down when its UPS can't carry it any longer."""

    fleet: str = key("powmonman", "The fleet that this host belongs to.", form=forms.NAME)
    servers: tuple[str, ...] = key(
        (),
        "Addresses of the server (`192.0.2.7`, `pi.lan`, `pi.lan:7444`, `[2001:db8::7]:7444`), "
        "tried before discovery. Addresses beat names: names need a working DNS.",
        form=forms.SERVER_ADDRESS,
        distinct=True,
    )
    port: int = key(
        PORT, "Port of addresses without one, and of discovery.", minimum=1, maximum=65535
    )
    discovery: Discovery = key(Discovery, "Finding the server without an address.")
    upses: tuple[str, ...] = key(
        (),
        "The UPSes that feed this host. Empty: all that the server watches.",
        form=forms.NAME,
        distinct=True,
    )
    min_supplies: int = key(
        1,
        "How many of them must be good for this host to run. At most as many as `upses` names.",
        minimum=1,
        maximum=16,
    )
    policy: HostPolicy = key(HostPolicy, "When this host shuts down.")
    shutdown: Shutdown = key(Shutdown, "How this host shuts down.")
    dry_run: bool = key(False, "Do everything except run the commands.")
    warn_users: bool = key(True, "Write to the terminals of logged-in users (`wall`).")
    tls: Tls = key(Tls, "This host's certificate.")
    state_dir: str = key("/var/lib/powmonman", "What must survive a reboot.", form=forms.PATH)
    runtime_dir: str = key(
        "/run/powmonman", "What must survive a restart, but no boot.", form=forms.PATH
    )
    log: Log = key(Log, "Logging.")
