"""The fleet CA's commands: issue, rotate, revoke, and the replacement of the CA itself.

`ca.pem` holds the CAs that identities trust: one, or two while the CA is being replaced. The one
that signs is the one whose key is in `ca.key`.

| step   | before                 | after                                                       |
|--------|------------------------|-------------------------------------------------------------|
| begin  | one CA                 | two; the new key waits in `ca-next.key`, the old one signs  |
| finish | two, a key that waits  | two; the new key signs, and has signed every identity       |
| retire | two, no key that waits | one, the new one                                            |

Roll out after each step, to every host: then the fleet stays connected throughout. Each step, and
each other command, may be killed at any moment: the same command, run again, completes it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from powmonman.net.tls import CLIENT_NAME
from powmonman.pki.certificates import Certificate, Identity
from powmonman.pki.directory import AuthorityError
from powmonman.pki.store import CERTIFICATES, KEY, NEXT_KEY, Store, file_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

Step = Literal["begin", "finish", "retire"]


@dataclass
class Changes:
    """What a command has changed.

    Attributes:
        created: Files made or made anew, relative to the directory.
        updated: `ca.pem`, and identities that kept key and certificate but trust other CAs now.
        revoked: Fingerprints that are refused from now on.
        removed: Files removed.
    """

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.created or self.updated or self.revoked or self.removed)


@dataclass(frozen=True)
class Entry:
    """Somebody who has an identity; the state is `valid`, `revoked` or `of another CA`."""

    name: str
    fingerprint: str
    state: str
    file: str


class Authority:
    """The fleet CA in a directory; a method that changes it keeps others out meanwhile.

    Every method may raise `AuthorityError`, which says what helps.
    """

    def __init__(self, path: Path, passphrase: str = "", *, in_repository: bool = False) -> None:
        """An empty passphrase is none; `in_repository` allows a git work tree around `path`."""
        self._store = Store(path, passphrase)
        self._directory = self._store.directory
        self._in_repository = in_repository

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the CA that signs."""
        return self._store.trusted()[0].fingerprint

    def entries(self) -> list[Entry]:
        """Return the server's identity and every host's."""
        revoked, trusted = self._store.revoked(), self._store.trusted()
        found = []
        for name in self._store.names():
            leaf = self._store.issued(name).leaf
            state = "valid" if any(map(leaf.signed_by, trusted)) else "of another CA"
            if leaf.fingerprint in revoked:
                state = "revoked"
            found.append(Entry(name, leaf.fingerprint, state, file_of(name)))
        return found

    def issue(self, names: Sequence[str]) -> Changes:
        """Make the CA and the identities that are missing or revoked; leave the others alone."""
        _check(names)
        with self._changing(new=True) as changes:
            self._found(changes)
            revoked = self._store.revoked()
            for name in dict.fromkeys(names):
                identity = self._store.identity(name)
                if identity is None or identity.leaf.fingerprint in revoked:
                    self._make(name, changes)
                else:
                    self._renew_trust(name, identity, changes)
        return changes

    def rotate(self, names: Sequence[str]) -> Changes:
        """Replace keys and certificates, and revoke the old ones."""
        _check(names)
        with self._changing() as changes:
            old = {name: self._store.issued(name) for name in names}
            self._store.signer()  # better no rotation than half of one
            # Revoked first: a run that is killed in between leaves a revoked identity, which
            # `issue` replaces; the other way round a stolen key would stay good.
            self._revoke(old, "rotated", changes)
            for name in old:
                self._make(name, changes)
        return changes

    def revoke(self, names: Sequence[str]) -> Changes:
        """Refuse what was issued to these names; who is still wanted must be issued anew."""
        _check(names)
        with self._changing() as changes:
            said = self._store.revoked().values()
            old = {}
            for name in names:
                again = any(comment.startswith(f"{name}, revoked ") for comment in said)
                if self._store.identity(name) or not again:
                    old[name] = self._store.issued(name)
            self._revoke(old, "revoked", changes)
            for name in old:
                self._directory.remove(file_of(name))
                changes.removed.append(file_of(name))
        return changes

    def replace(self, step: Step) -> Changes:
        """Take one step in replacing the CA itself (see the table above)."""
        with self._changing() as changes:
            two = len(self._store.trusted()) > 1
            waiting = self._directory.read(NEXT_KEY) is not None
            if step == "begin":
                self._begin(changes, two=two, waiting=waiting)
            elif step == "finish":
                self._finish(changes, two=two, waiting=waiting)
            else:
                self._retire(changes, two=two, waiting=waiting)
        return changes

    @contextlib.contextmanager
    def _changing(self, *, new: bool = False) -> Iterator[Changes]:
        if not new:
            self._store.trusted()
        self._directory.prepare(in_repository=self._in_repository)
        with self._directory.locked():
            yield Changes()

    def _found(self, changes: Changes) -> None:
        """Make the CA if there is none."""
        if self._directory.read(CERTIFICATES) is not None:
            return
        if names := self._store.names():
            raise AuthorityError(
                f"{self._directory.path / CERTIFICATES}: missing, but {file_of(names[0])} is there:"
                " restore it from a copy, or from the end of that file"
            )
        if self._store.add_key(KEY):
            changes.created.append(KEY)
        self._directory.write(CERTIFICATES, self._store.key(KEY).certificate().pem)
        changes.created.append(CERTIFICATES)

    def _make(self, name: str, changes: Changes) -> None:
        signer, authority = self._store.signer()
        identity = signer.issue(name, authority, self._store.trusted())
        self._directory.write(file_of(name), identity.pem)
        changes.created.append(file_of(name))

    def _renew_trust(self, name: str, identity: Identity, changes: Changes) -> None:
        """Let an identity of this CA trust what identities trust now."""
        trusted = self._store.trusted()
        if not any(map(identity.leaf.signed_by, trusted)):
            raise AuthorityError(
                f"{self._directory.path / file_of(name)}: issued by another CA: remove it and "
                "issue it again"
            )
        renewed = Identity(identity.key, identity.leaf, trusted)
        if renewed.pem != identity.pem:
            self._directory.write(file_of(name), renewed.pem)
            changes.updated.append(file_of(name))

    def _revoke(self, identities: dict[str, Identity], why: str, changes: Changes) -> None:
        known = self._store.revoked()
        today = dt.datetime.now(dt.UTC).date()
        new = {
            identity.leaf.fingerprint: f"{name}, {why} {today}"
            for name, identity in identities.items()
            if identity.leaf.fingerprint not in known
        }
        if new:
            self._store.revoke(new)
            changes.revoked += new

    def _begin(self, changes: Changes, *, two: bool, waiting: bool) -> None:
        if two and not waiting:
            raise AuthorityError("the last replacement of the CA is not over: retire the old CA")
        if not two:
            if self._store.add_key(NEXT_KEY):
                changes.created.append(NEXT_KEY)
            added = self._store.key(NEXT_KEY).certificate()
            self._trust_only((*self._store.trusted(), added), changes)
        for name in self._store.names():
            self._renew_trust(name, self._store.issued(name), changes)

    def _finish(self, changes: Changes, *, two: bool, waiting: bool) -> None:
        if not two:
            raise AuthorityError("no replacement of the CA has begun: begin it, and roll that out")
        if waiting:
            self._store.key(NEXT_KEY)  # a wrong passphrase must show before anything changes
            self._directory.rename(NEXT_KEY, KEY)
            changes.created.append(KEY)
        _, authority = self._store.signer()
        old = [other for other in self._store.trusted() if other.pem != authority.pem]
        self._trust_only((authority, *old), changes)
        for name in self._store.names():
            identity = self._store.issued(name)
            if identity.leaf.signed_by(authority):
                self._renew_trust(name, identity, changes)
            else:
                self._make(name, changes)

    def _retire(self, changes: Changes, *, two: bool, waiting: bool) -> None:
        identities = {name: self._store.issued(name) for name in self._store.names()}
        if two:
            _, authority = self._store.signer()
            late = any(not identity.leaf.signed_by(authority) for identity in identities.values())
            if waiting or late:
                raise AuthorityError("the old CA is still in use: finish first, and roll that out")
            self._trust_only((authority,), changes)
        for name, identity in identities.items():
            self._renew_trust(name, identity, changes)

    def _trust_only(self, authorities: tuple[Certificate, ...], changes: Changes) -> None:
        pem = b"".join(authority.pem for authority in authorities)
        if pem != self._directory.read(CERTIFICATES):
            self._directory.write(CERTIFICATES, pem)
            changes.updated.append(CERTIFICATES)


def _check(names: Sequence[str]) -> None:
    bad = [name for name in names if not CLIENT_NAME.fullmatch(name)]
    if bad:
        raise AuthorityError(
            f"can't be the name of a host: {', '.join(map(repr, bad))}: up to 200 letters, digits, "
            "'.', '-' and '_', beginning with a letter, a digit or '_'"
        )
