"""One target, as Apprise reaches it. Works with Apprise 1.2 (Debian 12) and later.

Apprise was chosen because it knows more than a hundred services behind one kind of address, and is
packaged by the distributions. The runner-up, smtplib alone, would have reached only mail.
"""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING, Any

from powmonman.notify.redact import redacted

if TYPE_CHECKING:
    from powmonman.notify.rendering import Text

REMEDIES = (
    ("connection refused", "is the service up, and the port right?"),
    ("name or service not known", "check the name, and this host's DNS"),
    ("name resolution", "check the name, and this host's DNS"),
    ("no address associated", "check the name, and this host's DNS"),
    ("unreachable", "check this host's network"),
    ("no route to host", "check this host's network"),
    ("timed out", "does a firewall drop it?"),
    ("no answer within", "does a firewall drop it? Else raise notify.timeout"),
    ("certificate", "use the name in the certificate, and add its CA to those of this host"),
    ("wrong_version_number", "the other side speaks no TLS on this port: check port and mode"),
    ("wrong version number", "the other side speaks no TLS on this port: check port and mode"),
    ("535", "check user and password"),
    ("auth", "check user and password"),
    ("401", "check the token, or user and password"),
    ("403", "check the token, or user and password"),
)


class SenderError(Exception):
    """The target can't be used at all, and why; nothing secret in it."""


def remedy(reason: str) -> str:
    """Return what to do about `reason`; empty where that says it itself."""
    lower = reason.lower()
    return next((remedy for sign, remedy in REMEDIES if sign in lower), "")


class _Notes(logging.Handler):
    """Keeps what Apprise says of one delivery, in memory: it may be secret."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.warning = self.exception = ""

    def emit(self, record: logging.LogRecord) -> None:
        # What comes first is the cause; what follows are often the pains of giving up.
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            self.exception = self.exception or str(record.exc_info[1])
        if record.levelno >= logging.WARNING:
            self.warning = self.warning or text
        elif "xception:" in text:
            # From version 1.3 on the cause is told to developers only.
            self.exception = self.exception or text.partition("xception:")[2].strip()

    def reason(self) -> str:
        cause = (
            "" if self.exception in self.warning or "Reason:" in self.warning else self.exception
        )
        told = [part.rstrip(".") for part in (self.warning, cause) if part]
        return ": ".join(told) or "Apprise gives no reason"


class Sender:
    """Sends to one Apprise address.

    Raises:
        SenderError: Apprise is missing, or can't use the address.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._notes = _Notes()
        try:
            import apprise
        except ImportError:
            raise SenderError(
                "Apprise is missing: apt install apprise, or pip install 'powmonman[notify]'"
            ) from None
        logger = logging.getLogger("apprise")
        logger.handlers, logger.propagate = [self._notes], False
        logger.setLevel(logging.DEBUG)
        self._asset = apprise.AppriseAsset(
            app_id="PowMonMan", app_desc="PowMonMan", async_mode=False
        )
        if getattr(self._service(), "verify_certificate", True):
            _check_certificates()

    def send(self, text: Text) -> str:
        """Send; returns why it was not sent, empty if it was."""
        import apprise

        self._notes.warning = self._notes.exception = ""
        try:
            # A new one each time: one that has just sent pauses first, for longer than our timeout.
            way = apprise.Apprise(asset=self._asset)
            way.add(self._service())
            sent = way.notify(
                title=text.title,
                body=text.body or text.title,
                notify_type=getattr(apprise.NotifyType, text.type.upper()),
                body_format=apprise.NotifyFormat.TEXT,
            )
        except Exception as error:  # noqa: BLE001 - each service has errors of its own
            return self._safe(f"{type(error).__name__}: {error}")
        return "" if sent else self._safe(self._notes.reason())

    def _service(self) -> Any:
        import apprise

        try:
            service: Any = apprise.Apprise.instantiate(
                self._url, asset=self._asset, suppress_exceptions=False
            )
        except Exception as error:  # noqa: BLE001 - each service has errors of its own
            raise SenderError(self._safe(f"Apprise can't use the address: {error}")) from None
        if service is None or not hasattr(service, "notify"):
            raise SenderError(
                "Apprise can't use the address: check its kind, before '://', and its form, in "
                "Apprise's documentation"
            )
        return service

    def _safe(self, text: str) -> str:
        return redacted(text, self._url)


def _check_certificates() -> None:
    """Make smtplib check the mail server's certificate where Apprise doesn't ask for it.

    Apprise 1.2 starts TLS without: whoever is in between would be told the password.
    """
    if hasattr(ssl, "_create_stdlib_context"):
        ssl._create_stdlib_context = lambda *_, **__: ssl.create_default_context()  # noqa: SLF001
