"""Who may talk to whom, and what happens to everybody else."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import os
import re
import socket
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from powmonman.net import tls
from powmonman.net.tls import SERVER_NAME, TlsPipe, client_context, is_revoked, server_context

if TYPE_CHECKING:
    from collections.abc import Callable

    Issue = Callable[..., Path]

SERVER = x509.oid.ExtendedKeyUsageOID.SERVER_AUTH
CLIENT = x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH
shared_fixture = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None
)


class Ends(NamedTuple):
    server: TlsPipe
    client: TlsPipe


def pipes(server: ssl.SSLContext, client: ssl.SSLContext) -> Ends:
    return Ends(TlsPipe(server, server_side=True), TlsPipe(client, server_side=False))


def carry(sender: TlsPipe, receiver: TlsPipe, chunk: int = 1 << 20) -> bytes:
    """Bring what `sender` has to `receiver`, in pieces; return what it decrypts to."""
    wire = sender.outgoing()
    return b"".join(receiver.receive(wire[at : at + chunk]) for at in range(0, len(wire), chunk))


def shake_hands(ends: Ends, chunk: int = 1 << 20) -> Ends:
    """Carry the client's hello, the server's answer, and the client's proof."""
    carry(ends.client, ends.server, chunk)
    carry(ends.server, ends.client, chunk)
    carry(ends.client, ends.server, chunk)
    return ends


def refusal(by: TlsPipe, of: TlsPipe) -> ssl.SSLError:
    """Return why `by` refuses `of`; the handshake has not begun."""
    try:
        for _ in range(3):
            carry(of, by)
            carry(by, of)
    except ssl.SSLError as refused:
        return refused
    pytest.fail("nobody was refused")


def blocks(identity: Path) -> list[bytes]:
    """Return the PEM blocks of an identity file: key, certificate, CA certificates."""
    ends = re.split(rb"(?<=-----END )([A-Z ]+-----\n)", identity.read_bytes())
    return [block + end for block, end in zip(ends[::2], ends[1::2], strict=False)]


@pytest.fixture
def server(fleet: Issue) -> ssl.SSLContext:
    return server_context(fleet(SERVER_NAME, [SERVER]))


@pytest.fixture
def client(fleet: Issue) -> ssl.SSLContext:
    return client_context(fleet("nas"))


@pytest.fixture
def connected(server: ssl.SSLContext, client: ssl.SSLContext) -> Ends:
    return shake_hands(pipes(server, client))


@pytest.mark.parametrize(("leaf", "ca"), [(2031, 9999), (9999, 2031)])
def test_the_end_of_a_certificate_is_its_own_or_its_cas(
    authority: Callable[..., Issue], leaf: int, ca: int
) -> None:
    issue = authority("aging", (1970, ca))
    served = issue(SERVER_NAME, [SERVER], years=(1970, leaf))
    ends = shake_hands(pipes(server_context(served), client_context(issue("nas"))))
    new_year = dt.datetime(2031, 12, 31, tzinfo=dt.UTC).timestamp()
    assert new_year == ends.client.peer().ends == tls.end_of_own(served)


def test_both_ends_know_each_other_by_certificate(fleet: Issue) -> None:
    served, carried = fleet(SERVER_NAME, [SERVER]), fleet("nas_1.rack")
    ends = shake_hands(pipes(server_context(served), client_context(carried)))
    leaf = x509.load_pem_x509_certificates(carried.read_bytes())[0]
    expected = hashlib.sha256(leaf.public_bytes(Encoding.DER)).hexdigest()
    peer = ends.server.peer()
    assert ("nas_1.rack", expected, False) == (peer.name, peer.fingerprint, peer.expired)
    assert ends.client.peer().name == SERVER_NAME
    assert ends.client.peer().expired is False


def test_a_server_hands_out_no_session_tickets(connected: Ends) -> None:
    assert connected.server.outgoing() == b""


@pytest.mark.parametrize("chunk", [1, 2, 7, 1000])
def test_the_handshake_survives_any_chunking(
    server: ssl.SSLContext, client: ssl.SSLContext, chunk: int
) -> None:
    ends = shake_hands(pipes(server, client), chunk)
    ends.client.send(b"hello\n")
    assert carry(ends.client, ends.server, chunk) == b"hello\n"


def test_what_follows_the_handshake_in_the_same_chunk_is_not_lost(
    server: ssl.SSLContext, client: ssl.SSLContext
) -> None:
    ends = pipes(server, client)
    carry(ends.client, ends.server)
    carry(ends.server, ends.client)
    ends.client.send(b"hello\n")
    assert carry(ends.client, ends.server) == b"hello\n"


@shared_fixture
@given(messages=st.lists(st.binary(max_size=40_000), max_size=4), chunk=st.integers(300, 50_000))
def test_every_byte_arrives_once_and_in_order(
    connected: Ends, messages: list[bytes], chunk: int
) -> None:
    for message in messages:
        connected.server.send(message)
    assert carry(connected.server, connected.client, chunk) == b"".join(messages)


def test_megabytes_pass_in_both_directions(connected: Ends) -> None:
    data = os.urandom(3 << 20)
    for sender, receiver in ((connected.server, connected.client), connected):
        sender.send(data)
        assert carry(sender, receiver, 65536) == data


def test_a_real_socket_carries_a_conversation(
    server: ssl.SSLContext, client: ssl.SSLContext
) -> None:
    near, far = pipes(server, client)
    left, right = socket.socketpair()
    with left, right:
        for sock in (left, right):
            sock.settimeout(5)
        right.sendall(far.outgoing())
        while not far.handshaken:
            near.receive(left.recv(100))
            left.sendall(near.outgoing())
            right.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                far.receive(right.recv(65536))
            right.settimeout(5)
        far.send(b"hello\n")
        right.sendall(far.outgoing())
        heard = b""
        while heard != b"hello\n":
            heard += near.receive(left.recv(100))
    assert near.peer().name == "nas"


def test_a_client_of_another_fleet_is_refused_and_told_why(
    authority: Callable[..., Issue], fleet: Issue, server: ssl.SSLContext
) -> None:
    """It trusts the server, and in TLS 1.3 believes itself connected until it reads the alert."""
    stranger = authority("other")("nas", trust=blocks(fleet("nas"))[-1])
    ends = pipes(server, client_context(stranger))
    carry(ends.client, ends.server)
    carry(ends.server, ends.client)
    assert ends.client.handshaken
    with pytest.raises(ssl.SSLCertVerificationError):
        carry(ends.client, ends.server)
    assert not ends.server.handshaken
    with pytest.raises(ssl.SSLError) as told:
        carry(ends.server, ends.client)
    assert told.value.reason == "TLSV1_ALERT_UNKNOWN_CA"


def test_a_server_of_another_fleet_is_refused_and_told_why(
    authority: Callable[..., Issue], client: ssl.SSLContext
) -> None:
    ends = pipes(server_context(authority("other")(SERVER_NAME, [SERVER])), client)
    assert isinstance(refusal(ends.client, of=ends.server), ssl.SSLCertVerificationError)
    with pytest.raises(ssl.SSLError) as told:
        carry(ends.client, ends.server)
    assert told.value.reason == "TLSV1_ALERT_UNKNOWN_CA"


def test_a_ca_with_the_same_name_is_still_another_ca(
    authority: Callable[..., Issue], server: ssl.SSLContext, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    forged = authority("elsewhere/../elsewhere/fleet")("nas")
    assert refusal(*pipes(server, client_context(forged)))


@pytest.mark.parametrize("name", ["nas", SERVER_NAME])
def test_a_clients_certificate_is_refused_as_the_servers(
    fleet: Issue, client: ssl.SSLContext, name: str
) -> None:
    ends = pipes(server_context(fleet(name, [CLIENT])), client)
    assert isinstance(refusal(ends.client, of=ends.server), ssl.SSLCertVerificationError)


def test_a_servers_certificate_for_another_name_is_refused(
    fleet: Issue, client: ssl.SSLContext
) -> None:
    ends = pipes(server_context(fleet("pi", [SERVER])), client)
    assert isinstance(refusal(ends.client, of=ends.server), ssl.SSLCertVerificationError)


@pytest.mark.parametrize("purposes", [[SERVER], [SERVER, CLIENT], [CLIENT]])
def test_the_servers_name_is_refused_as_a_clients(
    fleet: Issue, server: ssl.SSLContext, purposes: list[x509.ObjectIdentifier]
) -> None:
    ends = pipes(server, client_context(fleet(SERVER_NAME, purposes)))
    assert isinstance(refusal(*ends), ssl.SSLCertVerificationError)
    assert not ends.server.handshaken


@pytest.mark.parametrize("name", ["", "*.lan", "nas\nmains on", "nas\x1b[2J", "na s", ".lan"])
def test_a_name_that_could_lie_in_a_log_is_refused(
    fleet: Issue, server: ssl.SSLContext, name: str
) -> None:
    ends = pipes(server, client_context(fleet(name)))
    assert isinstance(refusal(*ends), ssl.SSLCertVerificationError)


def test_a_client_without_a_certificate_is_refused(server: ssl.SSLContext) -> None:
    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    nobody.check_hostname = False
    nobody.verify_mode = ssl.CERT_NONE
    nobody.set_alpn_protocols([tls.ALPN])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    caller, pipe = nobody.wrap_bio(incoming, outgoing), TlsPipe(server, server_side=True)
    with pytest.raises(ssl.SSLWantReadError):
        caller.do_handshake()
    pipe.receive(outgoing.read())
    incoming.write(pipe.outgoing())
    caller.do_handshake()
    with pytest.raises(ssl.SSLError) as refused:
        pipe.receive(outgoing.read())
    assert refused.value.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"


def test_a_host_cannot_sign_for_another(fleet: Issue, server: ssl.SSLContext) -> None:
    """A host's certificate is no CA's, although the fleet CA signed it."""
    thief = fleet("thief")
    chain = b"".join(blocks(thief)[1:])
    forged = fleet("nas", by=thief, trust=chain)
    with pytest.raises(tls.IdentityError):
        client_context(forged)
    caller = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    caller.load_cert_chain(forged)
    caller.load_verify_locations(cadata=blocks(thief)[-1].decode())
    caller.set_alpn_protocols([tls.ALPN])
    ends = pipes(server, caller)
    assert isinstance(refusal(*ends), ssl.SSLCertVerificationError)


def test_older_tls_is_refused(fleet: Issue, server: ssl.SSLContext) -> None:
    old = client_context(fleet("nas"))
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert refusal(*pipes(server, old)).reason == "UNSUPPORTED_PROTOCOL"


@pytest.mark.parametrize("spoken", [["http/1.1"], ["powmonman/2"], []])
def test_another_protocol_is_refused_by_either_side(fleet: Issue, spoken: list[str]) -> None:
    served, carried = fleet(SERVER_NAME, [SERVER]), fleet("nas")
    server, client = server_context(served), client_context(carried)
    server.set_alpn_protocols(spoken)
    ends = pipes(server, client)
    assert tls.ALPN in str(refusal(ends.client, of=ends.server))
    server, client = server_context(served), client_context(carried)
    client.set_alpn_protocols(spoken)
    assert tls.ALPN in str(refusal(*pipes(server, client)))


@pytest.mark.parametrize("years", [(1990, 2000), (2500, 2600)])
def test_a_certificate_out_of_date_connects_and_is_reported(
    fleet: Issue, years: tuple[int, int]
) -> None:
    served, carried = fleet(SERVER_NAME, [SERVER], years=years), fleet("nas", years=years)
    ends = shake_hands(pipes(server_context(served), client_context(carried)))
    assert ends.server.peer().expired
    assert ends.client.peer().expired


@pytest.mark.parametrize("years", [(1990, 2000), (2500, 2600)])
def test_a_ca_out_of_date_connects_and_is_reported(
    authority: Callable[..., Issue], years: tuple[int, int]
) -> None:
    """The other CA in the files, of the fleet, is in date and has signed neither."""
    bought, own = authority("bought", years), authority("own")
    trust = blocks(bought("x"))[-1] + blocks(own("x"))[-1]
    served, carried = bought(SERVER_NAME, [SERVER], trust=trust), bought("nas", trust=trust)
    ends = shake_hands(pipes(server_context(served), client_context(carried)))
    assert ends.server.peer().expired
    assert ends.client.peer().expired


def test_either_of_two_trusted_cas_may_have_signed(authority: Callable[..., Issue]) -> None:
    """As while the fleet CA is being replaced."""
    old, new = authority("old"), authority("new")
    trust = blocks(old("x"))[-1] + blocks(new("x"))[-1]
    served, carried = new(SERVER_NAME, [SERVER], trust=trust), old("nas", trust=trust)
    ends = shake_hands(pipes(server_context(served), client_context(carried)))
    assert ends.server.peer().name == "nas"
    assert not ends.server.peer().expired


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("ab" * 32, True),
        ("AB" * 32, True),
        (":".join(["Ab"] * 32), True),
        ("ab" * 31 + "ac", False),
        ("", False),
    ],
)
def test_a_revoked_fingerprint_is_found_however_it_is_written(listed: str, expected: bool) -> None:
    assert expected == is_revoked("ab" * 32, ["00" * 32, listed])
    assert expected == is_revoked(listed, ["ab" * 32])


@given(st.binary(min_size=1, max_size=3000), st.integers(1, 3000))
@shared_fixture
def test_garbage_is_refused_with_an_ssl_error_or_waited_out(
    server: ssl.SSLContext, garbage: bytes, chunk: int
) -> None:
    pipe = TlsPipe(server, server_side=True)
    try:
        for at in range(0, len(garbage), chunk):
            assert pipe.receive(garbage[at : at + chunk]) == b""
    except ssl.SSLError:
        pass
    assert not pipe.handshaken


@pytest.mark.parametrize("greeting", [b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n", bytes(99)])
def test_another_protocols_greeting_is_refused(server: ssl.SSLContext, greeting: bytes) -> None:
    with pytest.raises(ssl.SSLError):
        TlsPipe(server, server_side=True).receive(greeting)


def test_a_truncated_handshake_is_no_connection(
    server: ssl.SSLContext, client: ssl.SSLContext
) -> None:
    ends = pipes(server, client)
    carry(ends.client, ends.server)
    carry(ends.server, ends.client)
    assert ends.server.receive(ends.client.outgoing()[:-1]) == b""
    assert not ends.server.handshaken
    with pytest.raises(ssl.SSLError):
        ends.server.peer()
    with pytest.raises(ssl.SSLError):
        ends.server.send(b"state")
    ends.server.close()
    assert not ends.server.eof


def test_a_handshake_without_end_is_refused(server: ssl.SSLContext) -> None:
    """A first message that claims 128 KiB, in records of 16 KiB, all of it well formed so far."""
    record = b"\x16\x03\x01\x40\x00"
    hello = record + b"\x01\x01\xff\x00".ljust(16384, b"\0")
    pipe = TlsPipe(server, server_side=True)
    pipe.receive(hello + 2 * (record + bytes(16384)))
    with pytest.raises(ssl.SSLError, match="longer than any honest one"):
        pipe.receive(2 * (record + bytes(16384)))


def test_a_changed_byte_ends_the_connection(connected: Ends) -> None:
    connected.client.send(b"on mains")
    wire = bytearray(connected.client.outgoing())
    wire[-1] ^= 1
    with pytest.raises(ssl.SSLError):
        connected.server.receive(bytes(wire))


def test_replayed_bytes_end_the_connection(connected: Ends) -> None:
    connected.server.send(b"on mains")
    wire = connected.server.outgoing()
    assert connected.client.receive(wire) == b"on mains"
    with pytest.raises(ssl.SSLError):
        connected.client.receive(wire)


def test_a_close_is_seen_after_what_came_before_it(connected: Ends) -> None:
    connected.client.send(b"goodbye")
    connected.client.close()
    assert not connected.server.eof
    assert carry(connected.client, connected.server) == b"goodbye"
    assert connected.server.eof
    assert connected.server.receive(b"whatever" * 10_000) == b""
    assert connected.server._incoming.pending == 0
    connected.server.close()
    assert carry(connected.server, connected.client) == b""
    assert connected.client.eof


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_connection_costs_little_memory(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    def resident_kib() -> int:
        rollup = Path("/proc/self/smaps_rollup").read_text()
        found = re.search(r"^Rss:\s+(\d+) kB", rollup, re.MULTILINE)
        assert found
        return int(found[1])

    def busy_server_end() -> TlsPipe:
        ends = shake_hands(pipes(server, client))
        for sender, receiver in ((ends.client, ends.server), ends):
            sender.send(bytes(64 * 1024))
            carry(sender, receiver)
        return ends.server

    before = resident_kib()
    kept = [busy_server_end() for _ in range(200)]
    assert (resident_kib() - before) / len(kept) < 64


def write(directory: Path, *parts: bytes) -> Path:
    identity = directory / "identity.pem"
    identity.write_bytes(b"".join(parts))
    return identity


def fault(identity: Path) -> str:
    """Return what is said of an identity file; both sides say the same."""
    said = set()
    for context in (server_context, client_context):
        with pytest.raises(tls.IdentityError) as refused:
            context(identity)
        said.add(str(refused.value))
    (message,) = said
    assert message.startswith(f"{identity}: ")
    return message


def test_a_missing_identity_names_the_roll_out(tmp_path: Path) -> None:
    assert "ca issue" in fault(tmp_path / "identity.pem")


def test_a_directory_is_no_identity(tmp_path: Path) -> None:
    assert "put the identity file here" in fault(tmp_path)


def test_an_unreadable_identity_names_its_owner_and_mode(tmp_path: Path) -> None:
    identity = write(tmp_path, b"secret")
    identity.chmod(0)
    user = os.geteuid()
    os.seteuid(user or 65534)
    try:
        assert "root:powmonman, mode 0640" in fault(identity)
    finally:
        os.seteuid(user)


def test_a_key_that_is_missing_strange_or_encrypted_is_named(fleet: Issue, tmp_path: Path) -> None:
    key, leaf, ca = blocks(fleet("nas"))
    other = blocks(fleet("db"))[0]
    assert "no private key" in fault(write(tmp_path, leaf, ca))
    assert "does not belong" in fault(write(tmp_path, other, leaf, ca))
    assert "does not belong" in fault(write(tmp_path, key, ca, leaf))
    torn = write(tmp_path, key.replace(b"\n", b"\n!", 1), leaf, ca)
    assert "can't be read" in fault(torn)
    loaded = load_pem_private_key(key, None)
    locked = loaded.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    assert "is encrypted" in fault(write(tmp_path, locked, leaf, ca))


def test_an_identity_without_its_ca_is_refused(fleet: Issue, tmp_path: Path) -> None:
    key, leaf, _ = blocks(fleet("nas"))
    assert "ca.pem" in fault(write(tmp_path, key, leaf))
    assert "no readable certificate" in fault(write(tmp_path, key))
    torn = leaf.replace(b"\nM", b"\nA", 1)
    assert "can't be read" in fault(write(tmp_path, key, torn, leaf))
    assert "can't be read" in fault(write(tmp_path, key, leaf, torn))


def test_no_host_certificate_is_ever_a_trust_anchor(fleet: Issue, tmp_path: Path) -> None:
    key, leaf, ca = blocks(fleet("nas"))
    other = blocks(fleet("db"))[1]
    assert "fleet CA's belongs" in fault(write(tmp_path, key, leaf, leaf, ca))
    assert "not a CA's" in fault(write(tmp_path, key, leaf, ca, other))
    context = server_context(write(tmp_path, key, leaf, ca, ca))
    anchors = [ssl.DER_cert_to_PEM_cert(der) for der in context.get_ca_certs(binary_form=True)]
    assert [ca.decode()] == anchors
