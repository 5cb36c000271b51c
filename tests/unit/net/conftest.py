"""An authority that signs anything, also what the fleet CA never would."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import TYPE_CHECKING

import pytest
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

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

FOR_SERVER = ExtendedKeyUsageOID.SERVER_AUTH
FOR_CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
ALWAYS = (1970, 9999)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _usage(*, ca: bool) -> x509.KeyUsage:
    signs = {"key_cert_sign": ca, "crl_sign": ca, "digital_signature": not ca}
    others = (
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**signs, **dict.fromkeys(others, False))


class Authority:
    """A CA; `issue` writes the identity file of whoever asks."""

    def __init__(self, directory: Path, name: str, years: tuple[int, int]) -> None:
        self._directory = directory
        self._numbers = itertools.count()
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = _name(name)
        self.pem = self._sign(self.key, self.subject, years, ca=True)

    def issue(
        self,
        name: str,
        purposes: Sequence[x509.ObjectIdentifier] = (FOR_CLIENT,),
        *,
        years: tuple[int, int] = ALWAYS,
        trust: bytes | None = None,
        by: Path | None = None,
    ) -> Path:
        """Return an identity file; `by` lets another identity's key sign, as a thief would."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = self._sign(key, _name("host"), years, name=name, purposes=purposes, by=by)
        identity = self._directory / f"{next(self._numbers)}.pem"
        identity.write_bytes(_pem(key) + leaf + (self.pem if trust is None else trust))
        return identity

    def _sign(
        self,
        key: ec.EllipticCurvePrivateKey,
        subject: x509.Name,
        years: tuple[int, int],
        *,
        ca: bool = False,
        name: str = "",
        purposes: Sequence[x509.ObjectIdentifier] = (),
        by: Path | None = None,
    ) -> bytes:
        issuer, signer = self.subject, self.key
        if by is not None:
            signer = _load_key(by)
            issuer = x509.load_pem_x509_certificates(by.read_bytes())[0].subject
        first, last = years
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(dt.datetime(first, 1, 1, tzinfo=dt.UTC))
            .not_valid_after(dt.datetime(last, 12, 31, tzinfo=dt.UTC))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(_usage(ca=ca), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
                critical=False,
            )
        )
        if name:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
            )
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(list(purposes)), critical=False)
        return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM)


def _load_key(identity: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(identity.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


@pytest.fixture
def authority(tmp_path: Path) -> Callable[..., Callable[..., Path]]:
    """Return a maker of CAs; each is the function that issues its identities."""

    def make(name: str, years: tuple[int, int] = ALWAYS) -> Callable[..., Path]:
        directory = tmp_path / name
        directory.mkdir()
        return Authority(directory, name, years).issue

    return make


@pytest.fixture
def fleet(authority: Callable[..., Callable[..., Path]]) -> Callable[..., Path]:
    return authority("fleet")
