"""What `guard.yml` means for the two processes: a server on loopback, and its only client.

Nothing here touches a disk but `server_of`, which reads the file it is given.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from powmonman.config.loader import ConfigError, load
from powmonman.config.order_keys import Recovery
from powmonman.config.schema import (
    Announce,
    ClientConfig,
    Discovery,
    GuardConfig,
    Listen,
    ServerConfig,
    Tls,
)
from powmonman.config.shutdown_keys import FleetPolicy
from powmonman.config.sources import Ups
from powmonman.core.records import to_json

ADDRESS = "127.0.0.1"
LEASE = 15.0
# The name that certificates give the server; a host can't have it.
_TAKEN = "powmonman-server"


@dataclass(frozen=True)
class Places:
    """Where a guard keeps what: directories of its own, and one for each of the two processes."""

    runtime: Path
    state: Path

    @property
    def authority(self) -> Path:
        """The CA that signed for the two."""
        return self.state / "guard-ca"

    @property
    def lock(self) -> Path:
        """Held by the guard that runs."""
        return self.runtime / "guard.lock"

    @property
    def targets(self) -> Path:
        """Where the server part finds the targets of notifications."""
        return self.runtime / "notify.yml"

    def config(self, kind: str) -> Path:
        """Return the derived configuration of `server` or `client`."""
        return self.runtime / f"{kind}.yml"

    def identity(self, kind: str) -> Path:
        """Return the key and certificate that `server` or `client` uses."""
        return self.runtime / f"{kind}.pem"

    def own(self, kind: str) -> tuple[Path, Path]:
        """Return the runtime and the state directory that belong to one process."""
        return self.runtime / kind, self.state / kind


def places(config: GuardConfig) -> Places:
    """Return where the guard of `config` keeps what."""
    return Places(Path(config.runtime_dir), Path(config.state_dir))


def host_name(name: str) -> str:
    """Return `name` as certificates and the configuration can hold it."""
    fitting = re.sub(r"[^A-Za-z0-9_.-]", "-", name).lstrip("._-")[:63]
    return fitting if fitting and fitting != _TAKEN else "host"


def server(config: GuardConfig, name: str, targets: str = "") -> ServerConfig:
    """Return the server part of `config` on the host `name`; `targets` stands in for its own.

    The UPS has the host's name: "Power lost: laptop" says in a message which machine it is.
    """
    where = places(config)
    runtime, state = where.own("server")
    policy = _policy(config)
    return ServerConfig(
        # An Ups as server.yml makes one, whatever class it has here.
        upses={name: Ups(**{part.name: getattr(config.ups, part.name) for part in fields(Ups)})},
        policy=policy,
        clients=(name,),
        lease=min(LEASE, policy.after),
        listen=Listen(address=ADDRESS, port=config.port),
        announce=Announce(enabled=False),
        # It goes down with its host, and nobody else is there.
        recovery=Recovery(enabled=False),
        tls=Tls(identity=str(where.identity("server"))),
        notify=replace(config.notify, targets=targets or config.notify.targets),
        state_dir=str(state),
        runtime_dir=str(runtime),
        # Two processes can't rotate one file, and this one may not write where the other does.
        log=replace(config.log, file=str(state / "server.log") if config.log.file else ""),
    )


def client(config: GuardConfig, name: str) -> ClientConfig:
    """Return the client part of `config` on the host `name`."""
    where = places(config)
    runtime, state = where.own("client")
    return ClientConfig(
        servers=(f"{ADDRESS}:{config.port}",),
        port=config.port,
        discovery=Discovery(enabled=False),
        upses=(name,),
        policy=config.policy,
        # It is root, or it may do what its user may; there is no other boundary.
        shutdown=replace(config.shutdown, via="direct"),
        dry_run=config.dry_run,
        warn_users=config.warn_users,
        tls=Tls(identity=str(where.identity("client"))),
        state_dir=str(state),
        runtime_dir=str(runtime),
        log=config.log,
    )


def _policy(config: GuardConfig) -> FleetPolicy:
    """Return the policy of a fleet of one: the host's own, where it has one."""
    own = {part.name: getattr(config.policy, part.name) for part in fields(FleetPolicy)}
    return FleetPolicy(**{name: value for name, value in own.items() if value is not None})


def as_text(config: ServerConfig | ClientConfig, source: Path) -> str:
    """Return a file that the loader reads as `config`."""
    document: dict[str, Any] = to_json(config)
    head = f"# Written by `powmonman guard` from {source}: change that file, and reload.\n"
    return head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def is_guard(path: Path) -> bool:
    """Tell by its name whether a file is a guard's."""
    return path.name.startswith("guard")


def server_of(path: Path) -> ServerConfig:
    """Return the configuration of the server that a server.yml or a guard.yml speaks of.

    Raises:
        ConfigError: The file can't be read or used.
    """
    try:
        if is_guard(path):
            return server(load(path, GuardConfig), this_host())
        return load(path, ServerConfig)
    except ConfigError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        (fault,) = error.faults
        message = f"{fault.message}: is this the server's host? --config names another file"
        raise ConfigError([replace(fault, message=message)]) from error


def this_host() -> str:
    """Return this host's name, as certificates and the configuration can hold it."""
    return host_name(socket.gethostname())
