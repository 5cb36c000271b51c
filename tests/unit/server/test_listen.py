from __future__ import annotations

import errno
import resource
import socket
from typing import TYPE_CHECKING, Any

import pytest

from powmonman.config.schema import Limits
from powmonman.server.listen import SPARE_FILES, bound, room_for

if TYPE_CHECKING:
    from collections.abc import Callable

NO_LIMIT = resource.RLIM_INFINITY


@pytest.fixture
def only_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this a host whose kernel has no IPv6."""
    real = socket.socket

    def make(family: int, kind: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family, kind)

    monkeypatch.setattr(socket, "socket", make)


@pytest.mark.usefixtures("only_ipv4")
def test_a_host_without_ipv6_listens_on_ipv4() -> None:
    (sock,) = bound("", 0)
    with sock:
        assert sock.family == socket.AF_INET


@pytest.mark.usefixtures("only_ipv4")
def test_an_address_that_cannot_be_had_is_an_error_that_names_it() -> None:
    with pytest.raises(OSError, match="::1 port 0: Address family not supported"):
        bound("::1", 0)


def test_an_address_of_another_host_is_an_error() -> None:
    with pytest.raises(OSError, match=r"192\.0\.2\.1 port 0: "):
        bound("192.0.2.1", 0)


@pytest.fixture
def limit_files(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], list[int]]:
    """Let the system have a soft and a hard limit; returns the soft limits that were set."""

    def limit(soft: int, hard: int) -> list[int]:
        tried: list[int] = []

        def put(_: int, limits: tuple[int, int]) -> None:
            tried.append(limits[0])

        monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
        monkeypatch.setattr(resource, "setrlimit", put)
        return tried

    return limit


@pytest.mark.parametrize(
    ("soft", "hard", "connections", "new"),
    [
        (1024, 524288, 2048, [2048 + SPARE_FILES]),
        (1024, NO_LIMIT, 2048, [2048 + SPARE_FILES]),
        (8192, 8192, 2048, []),
        (NO_LIMIT, NO_LIMIT, 2048, []),
        (1024, 1024, 1024 - SPARE_FILES, [1024]),
        (64, 64, 8, [64]),
    ],
)
def test_the_limit_is_raised_and_else_fewer_are_let_in(
    limit_files: Callable[[int, int], list[int]],
    soft: int,
    hard: int,
    connections: int,
    new: list[int],
) -> None:
    tried = limit_files(soft, hard)
    assert room_for(Limits(connections=2048)).connections == connections
    assert tried == new


def test_a_system_that_forbids_to_raise_the_limit_is_put_up_with(
    limit_files: Callable[[int, int], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbid(*_: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    limit_files(1024, 524288)
    monkeypatch.setattr(resource, "setrlimit", forbid)
    assert room_for(Limits(connections=2048)).connections == 1024 - SPARE_FILES
