"""A connection to a server that is slow, silent or none."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from powmonman.client import link
from powmonman.client.link import Link, LinkError
from powmonman.net.tls import client_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Serve = Callable[[socket.socket], None]


@pytest.fixture
def context(identities: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    monkeypatch.setattr(link, "CONNECT_TIMEOUT", 0.3)
    return client_context(identities / "hosts" / "nas.pem")


@contextlib.contextmanager
def serving(serve: Serve) -> Iterator[int]:
    """Listen for one connection, and let `serve` have it."""

    def run() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            serve(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def closes(_: socket.socket) -> None:
    pass


def is_silent(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def drips(connection: socket.socket) -> None:
    """Begin a long record of a handshake, and send it a byte at a time."""
    connection.sendall(b"\x16\x03\x03\x40\x00")
    for _ in range(1000):
        connection.sendall(b"\0")
        time.sleep(0.01)


def speaks_another_language(connection: socket.socket) -> None:
    connection.sendall(b"220 mail.example ESMTP\r\n")
    is_silent(connection)


@pytest.mark.parametrize(
    ("serve", "reason"),
    [
        (closes, "closed during the handshake|Connection reset by peer"),
        (is_silent, "timed out"),
        (drips, "no handshake in time|timed out"),
        (speaks_another_language, "TLS: wrong version number"),
    ],
)
def test_whoever_is_no_server_is_given_up_in_time(
    context: ssl.SSLContext, serve: Serve, reason: str
) -> None:
    with serving(serve) as port:
        began = time.monotonic()
        with pytest.raises(LinkError, match=reason):
            Link.open(context, "127.0.0.1", port)
        # The one that drips goes on for 10 s.
        assert time.monotonic() - began < 6


@pytest.mark.parametrize("host", ["a..b", "x" * 300, "a\0b", "", "no-such-host.invalid"])
def test_a_name_that_is_none_is_an_error_like_any_other(context: ssl.SSLContext, host: str) -> None:
    with pytest.raises(LinkError):
        Link.open(context, host, 1)


@pytest.mark.parametrize("port", [-1, 99_999_999, 0])
def test_a_port_that_is_none_is_an_error_like_any_other(context: ssl.SSLContext, port: int) -> None:
    with pytest.raises(LinkError):
        Link.open(context, "127.0.0.1", port)
