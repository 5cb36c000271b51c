from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from postoffice import Certificate, Hanging, Mailbox, Settings, make_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("mail"))


@pytest.fixture
def mailbox(certificate: Certificate, trusted: None) -> Iterator[Mailbox]:  # noqa: ARG001
    box = Mailbox(tls=certificate.context)
    yield box
    box.stop()


@pytest.fixture
def trusted(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is started trusts the mail server's certificate, and nobody else's."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.ca))


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    server = Hanging()
    yield server
    server.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path)
