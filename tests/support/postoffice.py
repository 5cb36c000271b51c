"""A real mail server on loopback, and what it takes to send to it."""

from __future__ import annotations

import contextlib
import datetime as dt
import email
import email.policy
import ipaddress
import socket
import ssl
import threading
import time
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from powmonman.config.notify_keys import Notify
from powmonman.core.events import Event, HostLine, Kind
from powmonman.core.power import PowerState

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import EmailMessage
    from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "pi", "hunter2-s3cret"

T = TypeVar("T")


def wait_for(what: str, check: Callable[[], T], within: float = 30.0) -> T:
    end = time.monotonic() + within
    while not (value := check()):
        assert time.monotonic() < end, f"not within {within:g} s: {what}"
        time.sleep(0.02)
    return value


def power_lost(ups: str = "rack", **changes: Any) -> Event:
    event = Event(
        Kind.ON_BATTERY,
        at=time.time(),
        ups=ups,
        outage="3f2a" * 8,
        state=PowerState.ON_BATTERY,
        since=time.time(),
        charge=87.0,
        voltage=12.9,
        runtime=1500.0,
        hosts=(HostLine("nas", "counting", 600.0, 600.0), HostLine("db", "idle", 900.0, 900.0)),
    )
    return replace(event, **changes)


@dataclass(frozen=True)
class Certificate:
    """A certificate for 127.0.0.1 and localhost, and the CA that signed it."""

    ca: Path
    context: ssl.SSLContext


def make_certificate(directory: Path) -> Certificate:
    """Make a certificate that signs itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail in the tests")])
    now = dt.datetime.now(dt.UTC)
    secret = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(secret, hashes.SHA256())
    )
    ca, both = directory / "ca.pem", directory / "both.pem"
    ca.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    both.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + ca.read_bytes()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return Certificate(ca, context)


class Mailbox:
    """A mail server with a login; it keeps what it gets."""

    def __init__(self, port: int = 0, *, mode: str = "starttls", tls: ssl.SSLContext) -> None:
        self.mails: list[EmailMessage] = []
        self.logins: list[bool] = []
        self.mode = mode
        outer = self

        class _Controller(Controller):
            def factory(self) -> SMTP:
                secure: dict[str, Any] = {
                    "starttls": {"tls_context": tls, "require_starttls": True},
                    "ssl": {"auth_require_tls": False},
                    "plain": {"auth_require_tls": False},
                }[outer.mode]
                with warnings.catch_warnings():
                    # It doesn't know that it is behind TLS from the first byte on.
                    warnings.simplefilter("ignore", UserWarning)
                    return SMTP(
                        self.handler, authenticator=outer.login, auth_required=True, **secure
                    )

        wrapped = {"ssl_context": tls} if mode == "ssl" else {}
        self._controller = _Controller(self, hostname="127.0.0.1", port=port or free(), **wrapped)
        self._controller.start()

    @property
    def port(self) -> int:
        return int(self._controller.port)

    def login(self, *call: Any) -> AuthResult:
        data = call[-1]
        assert isinstance(data, LoginPassword)
        good = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        self.logins.append(good)
        return AuthResult(success=good, handled=False)

    async def handle_DATA(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        self.mails.append(email.message_from_bytes(content, policy=email.policy.default))
        return "250 OK"

    def url(self, password: str = PASSWORD, **query: str) -> str:
        scheme = "mailto" if self.mode == "plain" else "mailtos"
        options = {"from": "pi@example.org", "to": "admin@example.org", "smtp": "127.0.0.1"}
        if self.mode != "plain":
            options["mode"] = self.mode
        text = "&".join(f"{name}={value}" for name, value in {**options, **query}.items())
        return f"{scheme}://{USER}:{password}@127.0.0.1:{self.port}?{text}"

    @property
    def subjects(self) -> list[str]:
        return [str(mail["Subject"]) for mail in self.mails]

    def text(self, index: int = -1) -> str:
        body = self.mails[index].get_body(("plain",))
        assert body is not None
        return str(body.get_content())

    def stop(self) -> None:
        self._controller.stop(no_assert=True)


def free() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Hanging:
    """Takes connections, and never says a word."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.taken: list[socket.socket] = []
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def _take(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.taken.append(self._socket.accept()[0])

    @property
    def url(self) -> str:
        query = "mode=ssl&from=pi@example.org&to=admin@example.org&rto=300&cto=300"
        return f"mailtos://{USER}:{PASSWORD}@127.0.0.1:{self.port}?{query}"

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)
        for each in self.taken:
            each.close()


class Settings:
    """The file with the targets, and the section `notify` that names it."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "notify.yml"
        self.spool = directory / "state" / "notify"
        self.targets({"nobody": "json://127.0.0.1:1"})

    def targets(self, urls: dict[str, str]) -> None:
        lines = [f'  {name}: "{url}"\n' for name, url in urls.items()]
        self.file.write_text("targets:\n" + "".join(lines))
        self.file.chmod(0o640)

    def config(self, **changes: Any) -> Notify:
        given: dict[str, Any] = {"enabled": True, "targets": str(self.file), "coalesce": 0.1}
        return Notify(**{**given, **changes})
