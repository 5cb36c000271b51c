"""The fleet CA of the tests, and certificates that an honest one would never sign."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .daemon import powmonman_command

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = ("nas", "db", "hv", "desk", "web", "mail", "lab", "spare")


class Authority:
    """A fleet CA in a directory, made by `powmonman ca`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        where = ("--dir", str(directory))
        made = powmonman_command("ca", "issue", *where, "--server", "--client", *HOSTS)
        assert made.returncode == 0, made.stderr

    @property
    def ca(self) -> Path:
        """The certificate of the CA."""
        return self._directory / "ca.pem"

    @property
    def server(self) -> Path:
        """The identity of the server."""
        return self._directory / "server.pem"

    def client(self, name: str) -> Path:
        """Return the identity of a host."""
        return self._directory / "hosts" / f"{name}.pem"

    def forge(self, name: str, *, serves: bool, years: tuple[int, int] = (1970, 9999)) -> Path:
        """Sign, with the true CA's key, what an honest one would not."""
        ca_pem = (self._directory / "ca.pem").read_bytes()
        ca = x509.load_pem_x509_certificate(ca_pem)
        signer = load_pem_private_key((self._directory / "ca.key").read_bytes(), None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.SERVER_AUTH if serves else ExtendedKeyUsageOID.CLIENT_AUTH
        leaf = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(ca.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(dt.datetime(years[0], 1, 1, tzinfo=dt.UTC))
            .not_valid_after(dt.datetime(years[1], 12, 31, tzinfo=dt.UTC))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
                critical=False,
            )
            .sign(signer, hashes.SHA256())
        )
        identity = self._directory / f"forged-{name}-{serves}-{years[0]}.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        identity.write_bytes(private + leaf.public_bytes(Encoding.PEM) + ca_pem)
        identity.chmod(0o600)
        return identity

    def fingerprint(self, name: str) -> str:
        """Return the fingerprint of a host's certificate, as `tls.revoked` takes it."""
        return fingerprint(self.client(name))


def fingerprint(identity: Path) -> str:
    """Return the fingerprint of the certificate in `identity`."""
    (leaf, *_) = x509.load_pem_x509_certificates(identity.read_bytes())
    return leaf.fingerprint(hashes.SHA256()).hex()
