"""What must lie on the disk before the two processes start: directories, keys, derived files.

As root, everything is root's but two directories and two files, which are the server part's and
readable by it alone: the process that listens on a port gets at nothing else.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from powmonman.client.shutdown import check_trusted
from powmonman.config.loader import parse
from powmonman.config.schema import ClientConfig, GuardConfig, ServerConfig
from powmonman.guard import derive
from powmonman.service.program import home, own_program

if TYPE_CHECKING:
    from powmonman.guard.derive import Places

KINDS = ("server", "client")
ISSUING = 60.0


class GuardError(Exception):
    """The guard can't do what it should; the text says why and what helps."""


@dataclass(frozen=True)
class Account:
    """Who a process runs as."""

    user: int
    group: int
    groups: tuple[int, ...]
    home: str

    @classmethod
    def named(cls, name: str) -> Account | None:
        """Return the user `name`; None if this process isn't root, and so can be nobody else.

        Raises:
            GuardError: There is no such user, or it is root.
        """
        if os.geteuid() != 0:
            return None
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            raise GuardError(
                f"user: there is no user {name!r} on this host: useradd --system {name}"
            ) from None
        if entry.pw_uid == 0:
            raise GuardError(f"user: {name} is root by another name: the server part is never root")
        groups = set(os.getgrouplist(name, entry.pw_gid))
        with contextlib.suppress(KeyError):
            groups.add(grp.getgrnam("gpio").gr_gid)
        return cls(entry.pw_uid, entry.pw_gid, tuple(sorted(groups)), entry.pw_dir)


def directories(places: Places, account: Account | None) -> None:
    """Make the directories, each with its owner.

    Raises:
        GuardError: One can't be made, or others than root could change what root reads.
    """
    try:
        for above in (places.runtime, places.state):
            above.mkdir(mode=0o755, parents=True, exist_ok=True)
            if account:
                check_trusted(above)
                # The server part passes through to its own.
                above.chmod(above.stat().st_mode & 0o7777 | 0o011)
        for kind in KINDS:
            for own in places.own(kind):
                own.mkdir(mode=0o700, exist_ok=True)
                if account and kind == "server":
                    os.chown(own, account.user, account.group)
    except OSError as error:
        mine = "" if os.geteuid() == 0 else ": be root, or set state_dir and runtime_dir"
        raise GuardError(f"{_told(error)}{mine}") from None


def name_and_keys(places: Places) -> str:
    """Make the CA and the two identities, once; return the name that this host has in them.

    Raises:
        GuardError: They can't be made; the text says what is missing.
    """
    if not (known := _known(places)):
        name = derive.this_host()
        issue = ("ca", "issue", "--dir", str(places.authority), "--server", "--client", name)
        # A process of its own: what signs is large, and never needed again.
        try:
            made = subprocess.run(
                [*own_program(), *issue],
                cwd=home(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                timeout=ISSUING,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise GuardError(f"the keys can't be made: {error}") from None
        if made.returncode != 0 or not (known := _known(places)):
            raise GuardError(f"the keys can't be made: {made.stderr.strip() or made.stdout}")
    return known


def _known(places: Places) -> str:
    """Return the host that has keys; a host that was renamed since keeps the name it has there."""
    hosts = sorted((places.authority / "hosts").glob("[!.]*.pem"))
    complete = hosts and (places.authority / "server.pem").exists()
    return hosts[0].stem if complete else ""


def files(
    config: GuardConfig, source: Path, places: Places, name: str, account: Account | None
) -> None:
    """Write what the two processes read; on any fault, what they can't do without is as it was.

    Raises:
        ConfigError: What was derived can't be used.
        GuardError: A file can't be read or written.
    """
    targets = _targets(config)
    server = derive.server(config, name, str(places.targets) if targets is not None else "")
    texts = {
        "server": derive.as_text(server, source),
        "client": derive.as_text(derive.client(config, name), source),
    }
    # What a process would refuse must not take the place of what it runs with.
    parse(texts["server"], ServerConfig, str(places.config("server")))
    parse(texts["client"], ClientConfig, str(places.config("client")))
    try:
        keys = {
            "server": (places.authority / "server.pem").read_bytes(),
            "client": (places.authority / "hosts" / f"{name}.pem").read_bytes(),
        }
        if targets is not None:
            _place(places.targets, targets, account)
        for kind in KINDS:
            owner = account if kind == "server" else None
            _place(places.identity(kind), keys[kind], owner)
            _place(places.config(kind), texts[kind].encode(), owner)
    except OSError as error:
        raise GuardError(_told(error)) from None


def _targets(config: GuardConfig) -> bytes | None:
    """Return the targets of notifications, which root alone may read; None if nobody may."""
    if config.notify.enabled:
        with contextlib.suppress(OSError):
            return Path(config.notify.targets).read_bytes()
    return None


def _place(path: Path, content: bytes, owner: Account | None) -> None:
    """Replace a file in one step, for its owner's eyes only."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o400)
            if owner:
                os.fchown(file.fileno(), owner.user, owner.group)
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _told(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)
