"""An identity file: `IdentityError`, or a context of exactly the CAs that stand in it.

`@KEY@`, `@LEAF@`, `@OTHER@` and `@CA@` stand for PEM blocks, so that no key lies in the corpus. The
numbers in the first line are the places where a bit of the file is turned.
"""

from __future__ import annotations

import contextlib
import re
import ssl
from functools import cache
from typing import TYPE_CHECKING

from fuzzing import emptied, expect, headed, scratch

from powmonman.net.tls import IdentityError, client_context, end_of_own, server_context
from powmonman.pki.authority import Authority
from powmonman.pki.certificates import KeyLockedError, load_certificates, load_identity

if TYPE_CHECKING:
    from collections.abc import Iterator

# In two parts: no file here shall look as if it held a key.
_KEY = b"PRIVATE " + b"KEY-----"
WORDS = (
    *(b"@KEY@", b"@LEAF@", b"@OTHER@", b"@CA@", b"ENCRYPTED ", b"\r\n", b"\xef\xbb\xbf", b"\0"),
    *(b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n", b"-----BEGIN EC " + _KEY),
    *(b"-----BEGIN " + _KEY, b"\n-----END " + _KEY, b"Proc-Type: 4,ENCRYPTED\n"),
)
LARGEST = 1024
MOST_BYTES = 200_000
_MARK = re.compile(b"-----BEGIN CERTIFICATE-----")
_PEM = re.compile(rb"-----BEGIN.+?-----END [A-Z ]+-----\n", re.DOTALL)


def target(data: bytes) -> None:
    turns, text = headed(data)
    for name, block in _blocks().items():
        text = text.replace(name, block)
    content = bytearray(text[:MOST_BYTES])
    for place in turns.split()[:20]:
        if place.isascii() and place.isdigit() and len(place) < 9 and content:
            content[int(place) // 8 % len(content)] ^= 1 << int(place) % 8
    _use(bytes(content))


def hostile() -> Iterator[bytes]:
    begin, end = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
    yield b"\n" + begin * 5000
    yield b"\n" + begin + b"A" * 100_000 + end
    yield b"\n" + (begin + b"\nAAAA\n" + end) * 3000
    yield b"\n" + (b"-----BEGIN " + _KEY) * 5000
    yield b"\n-----BEGIN " + b"A" * 100_000
    yield b"\n@KEY@@LEAF@" + b"@CA@" * 200


def _use(content: bytes) -> None:
    path = scratch() / "identity.pem"
    path.write_bytes(content)
    for make in (server_context, client_context):
        try:
            context = make(path)
        except IdentityError as error:
            expect(str(path) in str(error), "the error does not name the file")
            expect(str(error).isprintable(), "an error that is more than one line")
            continue
        expect(context.verify_mode is ssl.CERT_REQUIRED, "S7: nobody is verified")
        expect(context.minimum_version is ssl.TLSVersion.TLSv1_3, "an older TLS")
        expect(0 < len(context.get_ca_certs()) < len(_MARK.findall(content)), "S7: the leaf is one")
    with contextlib.suppress(IdentityError, ssl.SSLError):
        end_of_own(path)
    with contextlib.suppress(ValueError, KeyLockedError):
        load_identity(content)
    with contextlib.suppress(ValueError):
        found = load_certificates(content)[:5]
        for each in found:
            expect(len(each.fingerprint) == 64, "no fingerprint")
            expect(each.name.isprintable(), "a name that is more than one line")
            expect(isinstance(each.signed_by(found[-1]), bool), "signed, or not")


@cache
def _blocks() -> dict[bytes, bytes]:
    directory = emptied("ca") / "fleet"
    Authority(directory, passphrase="").issue(["powmonman-server", "nas"])
    key, leaf, authority = _PEM.findall((directory / "server.pem").read_bytes())
    other = _PEM.findall((directory / "hosts" / "nas.pem").read_bytes())[1]
    return {b"@KEY@": key, b"@LEAF@": leaf, b"@OTHER@": other, b"@CA@": authority}
