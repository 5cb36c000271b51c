"""Every key of `server.yml` and `guard.yml`: type, default, bounds, its meaning.

The loader, the error messages and the generated reference all read these classes, `client_schema`'s
and those of the larger sections (`sources`, `shutdown_keys`, `lost_contact_keys`, `order_keys`,
`notify_keys`), so a key is described there and nowhere else. Durations are seconds. What keys say
of each other stands in `relations` and `server_relations`.
"""

from __future__ import annotations

from dataclasses import dataclass

from powmonman.config import forms
from powmonman.config.client_schema import PORT, ClientConfig, Discovery, Log, Tls
from powmonman.config.keys import key
from powmonman.config.notify_keys import Notify
from powmonman.config.order_keys import History, Order, Recovery
from powmonman.config.shutdown_keys import FleetPolicy, HostPolicy, Shutdown
from powmonman.config.sources import Ups

__all__ = [
    "PORT",
    "Announce",
    "ClientConfig",
    "Discovery",
    "GuardConfig",
    "Limits",
    "Listen",
    "Log",
    "ServerConfig",
    "Tls",
]


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
