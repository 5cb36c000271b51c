"""The fleet's keys and certificates, as OpenSSL's strictest rules want them.

Validity is 1970 to 9999: neither a Raspberry Pi without a clock nor a forgotten renewal may disarm
the fleet. What must no longer be trusted is revoked by its fingerprint.

Needs the package `cryptography`; the runner-up, the `openssl` program, needs a configuration file
for each certificate and puts passphrases on its command line or into files.
"""

from __future__ import annotations

import datetime as dt
import re
import secrets
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from powmonman.net.tls import SERVER_NAME

_FIRST = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_LAST = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
# Up to the next dashes: beginnings without an end would take the square of the file's length.
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?")
_KEY = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[^-]|-(?!----))+-----END [A-Z ]*PRIVATE KEY-----\n?"
)


class KeyLockedError(Exception):
    """A key is encrypted and the passphrase is missing or wrong."""


class Certificate:
    """A certificate of the fleet, or of its CA."""

    def __init__(self, certificate: x509.Certificate) -> None:
        self.x509 = certificate

    @property
    def pem(self) -> bytes:
        """The PEM block."""
        return self.x509.public_bytes(Encoding.PEM)

    @property
    def fingerprint(self) -> str:
        """SHA-256, 64 lower-case hex digits."""
        return self.x509.fingerprint(hashes.SHA256()).hex()

    @property
    def name(self) -> str:
        """The DNS name that it was issued to; empty for a CA."""
        try:
            extension = self.x509.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return ""
        return next(iter(extension.value.get_values_for_type(x509.DNSName)), "")

    def signed_by(self, authority: Certificate) -> bool:
        """Whether `authority`'s key has signed it."""
        key, algorithm = authority.x509.public_key(), self.x509.signature_hash_algorithm
        if not isinstance(key, ec.EllipticCurvePublicKey) or algorithm is None:
            return False
        try:
            key.verify(self.x509.signature, self.x509.tbs_certificate_bytes, ec.ECDSA(algorithm))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class Identity:
    """What one host carries: its key, its certificate, and the CAs that it trusts."""

    key: bytes
    leaf: Certificate
    trust: tuple[Certificate, ...]

    @property
    def pem(self) -> bytes:
        """The identity file."""
        return self.key + self.leaf.pem + b"".join(ca.pem for ca in self.trust)


class Signer:
    """A CA's key; made from its PEM by `load`, or new by `new`."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    @classmethod
    def new(cls) -> Signer:
        """Return a signer with a new key."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def load(cls, pem: bytes, passphrase: str) -> Signer:
        """Return the signer with the key in `pem`; an empty passphrase is none.

        Raises:
            KeyLockedError: The key is encrypted and the passphrase does not open it.
            ValueError: This is no key of ours.
        """
        locked = b"ENCRYPTED" in pem
        if locked and not passphrase:
            raise KeyLockedError
        try:
            key = load_pem_private_key(pem, passphrase.encode() if locked else None)
        except ValueError as error:
            if locked:
                raise KeyLockedError from error
            raise
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return cls(key)
        raise ValueError("not an elliptic curve key")

    def pem(self, passphrase: str) -> bytes:
        """Return the key, encrypted unless the passphrase is empty."""
        encryption: KeySerializationEncryption = NoEncryption()
        if passphrase:
            encryption = BestAvailableEncryption(passphrase.encode())
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)

    def owns(self, certificate: Certificate) -> bool:
        """Whether `certificate` is for this key."""
        key = certificate.x509.public_key()
        # By numbers: keys themselves compare only from cryptography 40 on.
        return isinstance(key, ec.EllipticCurvePublicKey) and (
            key.public_numbers() == self._key.public_key().public_numbers()
        )

    def certificate(self) -> Certificate:
        """Return a new CA certificate for this key."""
        # Two CAs of one fleet, as while one is replaced, must not share a name.
        subject = _common_name(f"PowMonMan fleet CA {secrets.token_hex(4)}")
        builder = _builder(subject, subject, self._key.public_key(), ca=True)
        return Certificate(builder.sign(self._key, hashes.SHA256()))

    def issue(self, name: str, authority: Certificate, trust: tuple[Certificate, ...]) -> Identity:
        """Return a new key and certificate for `name`, signed in the name of `authority`."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.CLIENT_AUTH
        if name == SERVER_NAME:
            usage = ExtendedKeyUsageOID.SERVER_AUTH
        # The name that counts is the DNS name: a common name ends at 64 characters.
        subject = _common_name(name[:64])
        builder = (
            _builder(subject, authority.x509.subject, key.public_key(), ca=False)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        leaf = Certificate(builder.sign(self._key, hashes.SHA256()))
        return Identity(Signer(key).pem(""), leaf, trust)


def load_certificates(pem: bytes) -> tuple[Certificate, ...]:
    """Return the certificates in `pem`, in order.

    Raises:
        ValueError: One of them is garbage.
    """
    try:
        return tuple(
            Certificate(x509.load_pem_x509_certificate(one)) for one in _CERTIFICATE.findall(pem)
        )
    except x509.InvalidVersion as error:
        raise ValueError(str(error)) from error


def load_identity(pem: bytes) -> Identity:
    """Return the identity in `pem`.

    Raises:
        ValueError: It is not key + certificate + CA.
    """
    keys, certificates = _KEY.findall(pem), load_certificates(pem)
    if len(keys) != 1 or len(certificates) < 2:
        raise ValueError("not a key, a certificate and a CA's certificate")
    if not Signer.load(keys[0], "").owns(certificates[0]):
        raise ValueError("the key does not belong to the certificate")
    return Identity(keys[0], certificates[0], certificates[1:])


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool
) -> x509.CertificateBuilder:
    usage = x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    constraints = x509.BasicConstraints(ca=ca, path_length=0 if ca else None)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_FIRST)
        .not_valid_after(_LAST)
        .add_extension(constraints, critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )
