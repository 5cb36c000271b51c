"""Every key of `server.yml`, `client.yml` and `guard.yml`: type, default, bounds, its meaning.

The loader, the error messages and the generated reference all read these classes and those of the
larger sections (`sources`, `shutdown_keys`, `lost_contact_keys`, `order_keys`, `notify_keys`), so a
key is described there and nowhere else. Durations are seconds. What keys say of each other stands
in `relations`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from powmonman.config import forms
from powmonman.config.keys import key
from powmonman.config.lost_contact_keys import LostContact
from powmonman.config.notify_keys import Notify
from powmonman.config.order_keys import History, Order, Recovery
from powmonman.config.shutdown_keys import FleetPolicy, HostPolicy, Shutdown
from powmonman.config.sources import Ups

PORT = 7444


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
    on_lost_contact: LostContact = key(
        LostContact,
        "What this host does when it has lost the server without knowing of an outage "
        "(docs/lost-contact.md).",
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
