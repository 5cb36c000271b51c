"""Every key of `client.yml`: type, default, bounds, its meaning; and the keys that all files share.

As in `schema`, which has the server's: a client imports none of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from powmonman.config import forms
from powmonman.config.keys import key
from powmonman.config.lost_contact_keys import LostContact
from powmonman.config.shutdown_keys import HostPolicy, Shutdown

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
