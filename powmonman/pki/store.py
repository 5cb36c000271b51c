"""What the files of a fleet CA hold, and what helps where one is missing or damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from powmonman.net.tls import SERVER_NAME
from powmonman.pki.certificates import (
    Certificate,
    Identity,
    KeyLockedError,
    Signer,
    load_certificates,
    load_identity,
)
from powmonman.pki.directory import AuthorityError, CaDirectory

if TYPE_CHECKING:
    from pathlib import Path

KEY_VARIABLE = "POWMONMAN_CA_PASSPHRASE"
CERTIFICATES, KEY, NEXT_KEY, REVOKED = "ca.pem", "ca.key", "ca-next.key", "revoked.txt"


def file_of(name: str) -> str:
    """Return the file with the identity of a host, or of the server."""
    return "server.pem" if name == SERVER_NAME else f"hosts/{name}.pem"


class Store:
    """The contents of a CA directory. Every method may raise `AuthorityError`."""

    def __init__(self, path: Path, passphrase: str) -> None:
        self.directory = CaDirectory(path)
        self._path = path
        self._passphrase = passphrase

    def trusted(self) -> tuple[Certificate, ...]:
        """Return the CAs that identities trust; the one that signs comes first."""
        pem = self.directory.read(CERTIFICATES)
        if pem is None:
            raise AuthorityError(f"{self._path}: no fleet CA here: `powmonman ca issue` makes one")
        try:
            found = load_certificates(pem)
        except ValueError:
            found = ()
        if not found:
            raise AuthorityError(
                f"{self._path / CERTIFICATES}: damaged: restore it from a copy, or from the end of "
                "any identity"
            )
        return found

    def signer(self) -> tuple[Signer, Certificate]:
        """Return the key that signs and its certificate."""
        signer = self.key(KEY)
        for authority in self.trusted():
            if signer.owns(authority):
                return signer, authority
        raise AuthorityError(
            f"{self._path / KEY}: belongs to no certificate in {CERTIFICATES}: restore both from "
            "the same copy"
        )

    def key(self, name: str) -> Signer:
        """Return the key in a file."""
        path = self._path / name
        pem = self.directory.read(name)
        if pem is None:
            raise AuthorityError(
                f"{path}: missing, and nothing is signed without it: restore it from a copy"
            )
        try:
            return Signer.load(pem, self._passphrase)
        except KeyLockedError:
            wrong = " (the one that is set is wrong)" if self._passphrase else ""
            raise AuthorityError(
                f"{path}: encrypted: set {KEY_VARIABLE} to its passphrase{wrong}"
            ) from None
        except ValueError as error:
            raise AuthorityError(f"{path}: not a key of ours: restore it from a copy") from error

    def add_key(self, name: str) -> bool:
        """Make the key in a file if there is none; return whether there was none."""
        if self.directory.read(name) is not None:
            return False
        self.directory.write(name, Signer.new().pem(self._passphrase))
        return True

    def names(self) -> list[str]:
        """Return everybody who has an identity, the server first."""
        server = self.directory.read(file_of(SERVER_NAME)) is not None
        return [*([SERVER_NAME] if server else []), *self.directory.hosts()]

    def identity(self, name: str) -> Identity | None:
        """Return the identity of a host or the server, None if it has none."""
        pem = self.directory.read(file_of(name))
        if pem is None:
            return None
        path = self._path / file_of(name)
        try:
            identity = load_identity(pem)
        except (ValueError, KeyLockedError) as error:
            raise AuthorityError(f"{path}: damaged: remove it and issue it again") from error
        if identity.leaf.name != name:
            raise AuthorityError(
                f"{path}: issued to {identity.leaf.name!r}: remove it and issue it again"
            )
        return identity

    def issued(self, name: str) -> Identity:
        """Return the identity of a host or the server, which must have one."""
        identity = self.identity(name)
        if identity is None:
            raise AuthorityError(f"{self._path}: no identity was issued to {name!r}")
        return identity

    def revoked(self) -> dict[str, str]:
        """Return the revoked fingerprints, each with its comment."""
        content = (self.directory.read(REVOKED) or b"").decode(errors="replace")
        entries = (line.partition("#") for line in content.splitlines())
        found = {entry.strip().replace(":", "").lower(): text.strip() for entry, _, text in entries}
        return {fingerprint: text for fingerprint, text in found.items() if fingerprint}

    def revoke(self, fingerprints: dict[str, str]) -> None:
        """Add fingerprints, each with its comment, to those already revoked."""
        content = self.directory.read(REVOKED) or b""
        if content and not content.endswith(b"\n"):  # somebody's editor left it so
            content += b"\n"
        for fingerprint, comment in fingerprints.items():
            content += f"{fingerprint}  # {comment}\n".encode()
        self.directory.write(REVOKED, content)
