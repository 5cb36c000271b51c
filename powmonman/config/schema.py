"""Every key of `server.yml`, `client.yml` and `guard.yml`: type, default, bounds, its meaning.

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
        unit: Of its number: `s`, `%`, `KiB`, `a second`, or none.
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
class Events:
    """What is told, each on or off."""

    on_battery: bool = key(True, "A UPS is on battery: an outage has begun.")
    on_mains: bool = key(True, "A UPS is back on mains: the outage is over.")
    low_battery: bool = key(True, "A UPS on battery says that its battery is low.")
    countdown: bool = key(True, "The first host goes down in one of `milestones`.")
    host_committed: bool = key(True, "A host shuts down now.")
    host_down: bool = key(True, "A host that had committed is gone.")
    host_back: bool = key(True, "A host that was down or lost is connected again.")
    host_lost: bool = key(True, "A host was connected, and is gone for `lost_after` on mains.")
    host_given_up: bool = key(True, "A host was woken for `recovery.give_up`, and is not back.")
    recovered: bool = key(True, "All that an outage took down are back, or given up.")
    sensor_unknown: bool = key(True, "The power of a UPS is unknown for `unknown_after`.")
    sensor_recovered: bool = key(True, "It is known again.")
    advice: bool = key(True, "A UPS asks for attention, such as a new battery.")
    order: bool = key(
        True, "The order in which hosts go down has a fault, or does not fit into the batteries."
    )
    certificate: bool = key(True, "A certificate is near its end.")
    drill: bool = key(True, "A drill has ended; with its result.")


@dataclass(frozen=True)
class Template:
    """The words of one event, as Jinja2 templates. What is empty has the default words."""

    title: str = key("", "One line.")
    body: str = key("", "The text.")


@dataclass(frozen=True)
class Notify:
    """Word of it: notifications through Apprise, never in the way of a shutdown."""

    enabled: bool = key(False, "Send notifications. Needs the extra `notify` on the server.")
    targets: str = key(
        "/etc/powmonman/notify.yml",
        "YAML file with `targets:`, Apprise URLs by name. They hold passwords: root's, and for the "
        "group powmonman alone (0640). It is read anew for each delivery.",
        form=forms.PATH,
    )
    events: Events = key(Events, "Which events are told.")
    milestones: tuple[float, ...] = key(
        lambda: (300.0, 60.0),
        "Seconds before the first host's shutdown at which `countdown` is told.",
        unit="s",
        minimum=1,
        maximum=86400,
        distinct=True,
    )
    lost_after: float = key(
        300.0, "How long a host must be gone to be lost.", unit="s", minimum=1, maximum=86400
    )
    unknown_after: float = key(
        10.0,
        "How long the power must be unknown to be told.",
        unit="s",
        minimum=0,
        maximum=86400,
    )
    coalesce: float = key(
        2.0, "Events within this time make one message.", unit="s", minimum=0, maximum=300
    )
    timeout: float = key(
        30.0,
        "Time that the delivery of one message has, the start of its process included.",
        unit="s",
        minimum=5,
        maximum=300,
    )
    late_after: float = key(
        60.0, "Age from which a message is marked late.", unit="s", minimum=1, maximum=86400
    )
    keep: int = key(
        200,
        "Messages that wait for delivery at most; the oldest give way, and the next one sent says "
        "how many.",
        minimum=1,
        maximum=2000,
    )
    templates: dict[str, Template] = key(
        dict, "Own words, by event (docs/notifications.md).", form=forms.EVENT
    )


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
    order: Order = key(Order, "Who goes down after whom.")
    recovery: Recovery = key(Recovery, "Bringing back what an outage took down.")
    history: History = key(History, "The record of outages and drills.")
    listen: Listen = key(Listen, "Where clients connect.")
    announce: Announce = key(Announce, "How clients find this server.")
    limits: Limits = key(Limits, "Bounds on clients, so that a hostile one can't starve the rest.")
    tls: Tls = key(Tls, "This server's certificate.")
    notify: Notify = key(Notify, "Word of it to people.")
    state_dir: str = key("/var/lib/powmonman", "What must survive a power cut.", form=forms.PATH)
    runtime_dir: str = key(
        "/run/powmonman", "What must survive a restart, but no boot.", form=forms.PATH
    )
    log: Log = key(Log, "Logging.")


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
    presets: tuple[str, ...] = key(
        (),
        "Ready-made lists of commands, run before `commands` (docs/presets.md).",
        form=forms.PRESET,
        distinct=True,
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
    wait_for: tuple[str, ...] = key(
        (),
        "The hosts that must be down before this one shuts down, as their certificates name them.",
        form=forms.HOST_NAME,
        distinct=True,
    )
    wait_timeout: float = key(
        300.0,
        "How long this host waits for them after its deadline. Then it goes all the same.",
        unit="s",
        minimum=0,
        maximum=86400,
    )
    shutdown: Shutdown = key(Shutdown, "How this host shuts down.")
    dry_run: bool = key(False, "Do everything except run the commands.")
    warn_users: bool = key(True, "Write to the terminals of logged-in users (`wall`).")
    tls: Tls = key(Tls, "This host's certificate.")
    state_dir: str = key("/var/lib/powmonman", "What must survive a reboot.", form=forms.PATH)
    runtime_dir: str = key(
        "/run/powmonman", "What must survive a restart, but no boot.", form=forms.PATH
    )
    log: Log = key(Log, "Logging.")


@dataclass(frozen=True)
class GuardConfig:
    """`guard.yml`: a laptop, or any single machine, that guards itself."""

    ups: Ups = key(lambda: Ups(sensor="battery"), "What carries this host when the mains fail.")
    policy: HostPolicy = key(
        lambda: HostPolicy(
            after=14400.0, charge_below=0.0, charge_drop=0.5, runtime_below=0.0, low_battery=True
        ),
        "When this host shuts down. On most batteries half of the charge comes before `after`. "
        "The fleet is this host alone, with the defaults of `policy` in server.yml.",
    )
    shutdown: Shutdown = key(Shutdown, "How this host shuts down. `via` is always `direct`.")
    dry_run: bool = key(False, "Do everything except run the commands.")
    warn_users: bool = key(True, "Write to the terminals of logged-in users (`wall`).")
    notify: Notify = key(Notify, "Word of it to people.")
    port: int = key(
        PORT, "TCP port of the server part, on 127.0.0.1 only.", minimum=1, maximum=65535
    )
    user: str = key(
        "nobody",
        "Who the server part runs as, if the guard is started as root. Better a user that "
        "nothing else runs as.",
        form=forms.USER,
    )
    state_dir: str = key("/var/lib/powmonman", "What must survive a power cut.", form=forms.PATH)
    runtime_dir: str = key(
        "/run/powmonman", "What must survive a restart, but no boot.", form=forms.PATH
    )
    log: Log = key(
        Log,
        "Logging. `file` is the client's; the server part's is `server/server.log` in `state_dir`.",
    )
