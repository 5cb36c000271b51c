"""Mutual TLS 1.3 by the fleet CA, without I/O.

Rules:

1. Only certificates *after* the first of an identity file are trust anchors; the leaf never is.
2. No clock decides: a certificate that is expired, or not yet valid, connects all the same, and
   `Peer.expired` says so. The fleet CA's own certificates never expire; somebody else's may, and
   a Raspberry Pi without a clock must still be told of an outage.
3. A client's certificate never passes as the server's, nor the server's as a client's.
4. In TLS 1.3 a client's handshake ends before the server has judged its certificate: a refusal
   arrives as an `ssl.SSLError` of a later `receive`, a welcome as the server's first line.

asyncio's own TLS keeps a buffer of 256 KiB for every connection; a pipe keeps a few KiB.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import ssl
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SERVER_NAME = "powmonman-server"
ALPN = "powmonman/1"
CLIENT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")  # and the name of a file

_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which the ssl module does not name
# What the fleet CA writes into every certificate: `pki.certificates`.
_FLEETS = {"Jan  1 00:00:00 1970 GMT": 0.0, "Dec 31 23:59:59 9999 GMT": 253402300799.0}
_HANDSHAKE_LIMIT = 64 * 1024
_SLICE = 4096  # a BIO keeps the size of the largest write it ever saw
# No dash in between: a file of beginnings without an end would take the square of its length.
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")


class IdentityError(Exception):
    """An identity file that can't be used; the message names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as its certificate says.

    Attributes:
        name: The first DNS name of the certificate: the inventory name, or `SERVER_NAME`.
        fingerprint: SHA-256 of the certificate, 64 lower-case hex digits.
        expired: The certificate or its CA is expired or not yet valid by this host's clock, which
            may itself be wrong: worth a warning, never a refusal.
        ends: When the first of them ends, in seconds of the wall clock; to be shown, no more.
    """

    name: str
    fingerprint: str
    expired: bool
    ends: float = 0.0


def server_context(identity: Path) -> ssl.SSLContext:
    """Return the server's side for the key and certificates in `identity`.

    Raises:
        IdentityError: The file is missing, unreadable, or not key + certificate + CA.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, identity)
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0
    return context


def client_context(identity: Path) -> ssl.SSLContext:
    """Return a client's side for the key and certificates in `identity`.

    Raises:
        IdentityError: The file is missing, unreadable, or not key + certificate + CA.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, identity)
    context.hostname_checks_common_name = False
    return context


def _context(protocol: int, identity: Path) -> ssl.SSLContext:
    anchors = _anchors(identity)
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([ALPN])
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VerifyFlags(_NO_CHECK_TIME)
    try:
        # A password, so that OpenSSL never asks for one on the terminal.
        context.load_cert_chain(identity, password="")
    except ssl.SSLError as error:
        raise IdentityError(f"{identity}: {_key_fault(error)}") from error
    try:
        context.load_verify_locations(cadata=b"".join(anchors))
    except ssl.SSLError as error:
        raise IdentityError(
            f"{identity}: a certificate after the first can't be read: issue the identity again"
        ) from error
    if len(context.get_ca_certs()) != len(anchors):
        raise IdentityError(
            f"{identity}: a certificate after the first is not a CA's: "
            "only this host's certificate and the fleet CA's belong here, in this order"
        )
    return context


def _anchors(identity: Path) -> list[bytes]:
    """Return the distinct CA certificates (DER) of an identity file."""
    try:
        text = identity.read_text("ascii", errors="replace")
    except FileNotFoundError:
        raise IdentityError(
            f"{identity}: no such file: run the roll-out for this host, or `powmonman ca issue` "
            "and copy its identity here"
        ) from None
    except PermissionError:
        raise IdentityError(
            f"{identity}: permission denied: it must be readable by the user that powmonman runs "
            "as (root:powmonman, mode 0640)"
        ) from None
    except OSError as error:
        raise IdentityError(f"{identity}: {error.strerror}: put the identity file here") from error
    if "PRIVATE KEY-----" not in text:
        raise IdentityError(f"{identity}: holds no private key: issue the identity again")
    if "ENCRYPTED PRIVATE KEY-----" in text or "4,ENCRYPTED" in text:
        raise IdentityError(
            f"{identity}: the private key is encrypted and nobody can type a passphrase at boot: "
            "issue the identity again without one"
        )
    try:
        leaf, *others = [ssl.PEM_cert_to_DER_cert(pem) for pem in _CERTIFICATE.findall(text)]
    except ValueError as error:
        raise IdentityError(
            f"{identity}: holds no readable certificate: issue the identity again"
        ) from error
    if not others:
        raise IdentityError(
            f"{identity}: no CA certificate after this host's own: append the fleet's ca.pem"
        )
    if leaf in others:
        raise IdentityError(
            f"{identity}: this host's own certificate stands where the fleet CA's belongs: "
            "replace what follows it by the fleet's ca.pem"
        )
    return list(dict.fromkeys(others))


def _key_fault(error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return (
            "the private key does not belong to the first certificate: the order is key, this "
            "host's certificate, fleet CA"
        )
    return "the key or a certificate can't be read: issue the identity again"


class TlsPipe:
    """One end of a TLS connection: bytes from the wire in, bytes for the wire out.

    After every call that may have produced some, put `outgoing()` on the wire; after an error too,
    since the alert tells the peer why. A client's pipe has its first bytes ready at once.

    Attributes:
        handshaken: The handshake is over and `peer()` is known.
        eof: The peer said that it sends nothing more.
    """

    __slots__ = (
        "_incoming",
        "_outgoing",
        "_peer",
        "_sealed",
        "_shaken_bytes",
        "_tls",
        "eof",
        "handshaken",
    )

    def __init__(
        self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None = None
    ) -> None:
        """A client checks the server's certificate for `server_hostname`, else `SERVER_NAME`."""
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        # As bytes: for a text Python loads all of Unicode's rules for names, 0.4 MB.
        name = None if server_side else server_hostname or SERVER_NAME.encode()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side, name)
        self._sealed: list[bytes] = []
        self._peer: Peer | None = None
        self._shaken_bytes = 0
        self.handshaken = False
        self.eof = False
        if not server_side:
            self._shake()

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the wire, in whatever pieces; return what they decrypt to.

        Raises:
            ssl.SSLError: The peer is refused, refuses us, or talks nonsense. Send `outgoing()`
                and drop the connection.
        """
        plain: list[bytes] = []
        view = memoryview(data)
        for start in range(0, len(view), _SLICE):
            if self.eof:
                break
            piece = view[start : start + _SLICE]
            self._incoming.write(piece)
            if not self.handshaken:
                self._shaken_bytes += len(piece)
                self._shake()
            if self.handshaken:
                self._decrypt(plain)
        return b"".join(plain)

    def send(self, plain: bytes) -> None:
        """Encrypt `plain` into `outgoing()`.

        Raises:
            ssl.SSLError: The handshake is not over, or the connection has failed.
        """
        if not self.handshaken:
            raise ssl.SSLError("the handshake is not over")
        view = memoryview(plain)
        while view:
            view = view[self._tls.write(view[:_SLICE]) :]
            self._sealed.append(self._outgoing.read())

    def outgoing(self) -> bytes:
        """Return and forget the bytes to put on the wire."""
        wire = b"".join(self._sealed) + self._outgoing.read()
        self._sealed.clear()
        return wire

    def close(self) -> None:
        """Tell the peer, in `outgoing()`, that nothing more comes."""
        # Before the handshake's end there is nothing to say; after it, no answer to wait for.
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()

    def peer(self) -> Peer:
        """Return who the peer is; only after the handshake."""
        if self._peer is None:
            raise ssl.SSLError("the handshake is not over")
        return self._peer

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            if self._shaken_bytes > _HANDSHAKE_LIMIT:
                raise ssl.SSLError("the handshake is longer than any honest one") from None
            return
        self._peer = self._judge()
        self.handshaken = True

    def _judge(self) -> Peer:
        """Return the peer, or refuse what OpenSSL lets pass."""
        if self._tls.selected_alpn_protocol() != ALPN:
            self.close()
            raise ssl.SSLError(f"the peer does not speak {ALPN}")
        certificate: dict[str, Any] = self._tls.getpeercert() or {}
        entries = certificate.get("subjectAltName", ())
        names: list[str] = [text for kind, text in entries if kind == "DNS"] or [""]
        if self._tls.server_side and (SERVER_NAME in names or not CLIENT_NAME.fullmatch(names[0])):
            self.close()
            raise ssl.SSLCertVerificationError(f"not a client's certificate: {names!r:.200}")
        issuer = certificate.get("issuer")
        signers = [ca for ca in self._tls.context.get_ca_certs() if ca.get("subject") == issuer]
        return Peer(
            name=names[0] if self._tls.server_side else SERVER_NAME,
            fingerprint=hashlib.sha256(self._tls.getpeercert(binary_form=True) or b"").hexdigest(),
            expired=any(_out_of_date(entry, time.time()) for entry in (certificate, *signers)),
            ends=min(_end(entry) for entry in (certificate, *signers)),
        )

    def _decrypt(self, plain: list[bytes]) -> None:
        try:
            while piece := self._tls.read(_SLICE):
                plain.append(piece)
                if not self._incoming.pending and not self._tls.pending():
                    # To ask once more would cost as much again, to be told to wait.
                    return
            self.eof = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.eof = True


@lru_cache(64)
def _seconds(text: str) -> float:
    # Those of the fleet CA: for all others Python loads three modules about dates, 0.5 MB.
    if text in _FLEETS:
        return _FLEETS[text]
    return ssl.cert_time_to_seconds(text)


def _out_of_date(certificate: dict[str, Any], now: float) -> bool:
    return not _seconds(certificate["notBefore"]) <= now <= _end(certificate)


def _end(certificate: dict[str, Any]) -> float:
    return _seconds(certificate["notAfter"])


def end_of_own(identity: Path) -> float:
    """Return when the server's certificate in `identity`, or its CA's, ends by the wall clock.

    The ssl module reads no certificate but a peer's, so this asks as a client would.

    Raises:
        IdentityError: The file can't be used.
        ssl.SSLError: No client would accept it.
    """
    server = TlsPipe(server_context(identity), server_side=True)
    client = TlsPipe(client_context(identity), server_side=False)
    server.receive(client.outgoing())
    client.receive(server.outgoing())
    return client.peer().ends


def is_revoked(fingerprint: str, revoked: Iterable[str]) -> bool:
    """Whether `fingerprint` is in the deny list; case and colons don't matter in either."""
    wanted = _plain_hex(fingerprint)
    return any(wanted == _plain_hex(entry) for entry in revoked)


def _plain_hex(fingerprint: str) -> str:
    return fingerprint.replace(":", "").strip().lower()
