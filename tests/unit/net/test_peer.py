"""One question at a time on one kept connection, and never the answer of another question."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from daemons import eventually
from scripted import Scripted

from powmonman.net import peer as module
from powmonman.net.peer import AnswerError, Names, Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in an event loop of its own."""

    @functools.wraps(test)
    def run(*args: Any, **fixtures: Any) -> None:
        asyncio.run(test(*args, **fixtures))

    return run


def line(so_far: bytearray) -> bool:
    return so_far.endswith(b"\n")


def echo(question: bytes) -> list[bytes]:
    return [question.upper()]


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted(echo) as server:
        yield server


@contextlib.contextmanager
def asking(port: int, host: str = "127.0.0.1", **options: Any) -> Iterator[Peer]:
    peer = Peer(host, port, **{"time_limit": 10.0, **options})
    yield peer
    peer.close()


async def ask(peer: Peer, question: bytes) -> bytes:
    return await peer.ask(question, line)


@in_loop
async def test_the_connection_is_kept(server: Scripted) -> None:
    with asking(server.port) as peer:
        answers = [await ask(peer, question) for question in (b"a\n", b"b\n", b"c\n")]
    assert answers == [b"A\n", b"B\n", b"C\n"]
    assert server.connections == 1


@in_loop
async def test_an_answer_in_pieces_is_whole(server: Scripted) -> None:
    server.answer = lambda _: [b"o", b"n", b"e\n"]
    with asking(server.port) as peer:
        assert await ask(peer, b"?\n") == b"one\n"


@in_loop
async def test_a_connection_that_the_server_closed_meanwhile_is_made_anew(server: Scripted) -> None:
    with asking(server.port) as peer:
        await ask(peer, b"a\n")
        server.hang_up()
        assert await ask(peer, b"b\n") == b"B\n"
    assert server.connections == 2


@in_loop
async def test_what_the_server_says_unasked_is_no_answer(server: Scripted) -> None:
    with asking(server.port) as peer:
        await ask(peer, b"a\n")
        server.say(b"OLD\n")
        await asyncio.sleep(0.05)
        assert await ask(peer, b"b\n") == b"B\n"
    assert server.connections == 2


@in_loop
async def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one(
    server: Scripted,
) -> None:
    """The fault that aionut 4.3.4 has."""
    late = threading.Event()

    def slow(question: bytes) -> Iterator[bytes]:
        if question == b"a\n":
            late.wait(20)
        yield question.upper()

    server.answer = slow
    with asking(server.port, time_limit=1.0) as peer:
        with pytest.raises(TimeoutError):
            await ask(peer, b"a\n")
        late.set()
        assert await ask(peer, b"b\n") == b"B\n"


@in_loop
async def test_a_question_that_is_given_up_spoils_nothing(server: Scripted) -> None:
    server.answer = lambda question: [] if question == b"a\n" else [question.upper()]
    with asking(server.port, time_limit=5) as peer:
        given_up = asyncio.ensure_future(ask(peer, b"a\n"))
        await asyncio.to_thread(eventually, "it was asked", lambda: server.questions)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        assert await ask(peer, b"b\n") == b"B\n"


@in_loop
async def test_questions_at_once_are_asked_one_after_another(server: Scripted) -> None:
    with asking(server.port) as peer:
        answers = await asyncio.gather(*(ask(peer, b"%d\n" % n) for n in range(5)))
    assert answers == [b"%d\n" % n for n in range(5)]
    assert server.connections == 1


@pytest.mark.parametrize(
    ("pieces", "complaint"),
    [([b""], "without an answer"), ([b"OK", b""], "in mid-answer"), ([b"x" * 9999], "more than 8")],
)
@in_loop
async def test_an_answer_that_ends_early_or_never_is_none(
    server: Scripted, pieces: list[bytes], complaint: str
) -> None:
    server.answer = lambda _: pieces
    with asking(server.port, longest=8192) as peer, pytest.raises(AnswerError, match=complaint):
        await ask(peer, b"?\n")


@in_loop
async def test_a_server_that_trickles_is_given_up_in_time(server: Scripted) -> None:
    def trickle(_: bytes) -> Iterator[bytes]:
        while True:
            yield b"x"
            time.sleep(0.02)

    server.answer = trickle
    with asking(server.port, time_limit=0.3) as peer:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await ask(peer, b"?\n")
        assert time.monotonic() - began < 10


@in_loop
async def test_a_port_that_nobody_listens_on_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with asking(port) as peer, pytest.raises(ConnectionRefusedError):
        await ask(peer, b"?\n")


def test_another_event_loop_may_go_on_with_the_connection(server: Scripted) -> None:
    with asking(server.port) as peer:
        assert asyncio.run(ask(peer, b"a\n")) == b"A\n"
        assert asyncio.run(ask(peer, b"b\n")) == b"B\n"
    assert server.connections == 1


@in_loop
async def test_no_fault_leaves_a_descriptor_open(server: Scripted) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    with asking(server.port, time_limit=0.05) as peer:
        before = descriptors()
        for pieces in ([b""], [], [b"x" * 70_000]):
            server.answer = lambda _, pieces=pieces: pieces
            with contextlib.suppress(AnswerError, OSError):
                await ask(peer, b"?\n")
        peer.close()
        server.hang_up()
        eventually("all are closed", lambda: descriptors() <= before)


class Resolver:
    """Stands for the system's resolver, which may know nothing, hang, or change its mind."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.address: str | None = "127.0.0.1"
        self.hangs = threading.Event()
        self.hangs.set()
        self.asked = 0
        self._real = socket.getaddrinfo
        monkeypatch.setattr(module.socket, "getaddrinfo", self._look_up)

    def _look_up(self, host: str, port: int, **options: Any) -> Any:
        if host != "ups.test" or options.get("flags"):
            return self._real(host, port, **options)
        self.asked += 1
        self.hangs.wait(10)
        if self.address is None:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self._real(self.address, port, **options)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver(monkeypatch)
    yield resolver
    resolver.hangs.set()


@in_loop
async def test_a_name_is_looked_up_for_the_first_question_only(
    server: Scripted, resolver: Resolver
) -> None:
    with asking(server.port, "ups.test") as peer:
        for _ in range(3):
            assert await ask(peer, b"a\n") == b"A\n"
            peer.close()
    assert resolver.asked == 1


@in_loop
async def test_a_name_that_nobody_knows_is_an_error(resolver: Resolver) -> None:
    resolver.address = None
    with asking(1, "ups.test") as peer, pytest.raises(socket.gaierror):
        await ask(peer, b"?\n")


@in_loop
async def test_a_resolver_that_hangs_is_waited_for_in_bounds_and_asked_once(
    server: Scripted, resolver: Resolver
) -> None:
    resolver.hangs.clear()
    with asking(server.port, "ups.test", time_limit=0.1) as peer:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await ask(peer, b"?\n")
        assert resolver.asked == 1
        resolver.hangs.set()
        peer.time_limit = 5
        assert await ask(peer, b"a\n") == b"A\n"


@in_loop
async def test_the_known_address_serves_while_the_resolver_hangs(
    server: Scripted, resolver: Resolver
) -> None:
    """As in an outage: the router, and with it the DNS, has no UPS."""
    with asking(server.port, "ups.test") as peer:
        await ask(peer, b"a\n")
        resolver.hangs.clear()
        peer.close()
        assert await ask(peer, b"b\n") == b"B\n"


@in_loop
async def test_a_server_that_moved_is_found_again(server: Scripted, resolver: Resolver) -> None:
    resolver.address = "127.0.0.2"  # where nobody listens
    names = Names("ups.test", server.port)
    assert [address for _, address in await names.addresses()] == [("127.0.0.2", server.port)]
    names.proved((socket.AF_INET, ("127.0.0.2", server.port)))
    resolver.address = "127.0.0.1"
    with asking(server.port, "ups.test", time_limit=5) as peer:
        peer._names = names
        with pytest.raises(ConnectionRefusedError):
            await ask(peer, b"?\n")
        eventually("the name was looked up", lambda: names._found)
        assert await ask(peer, b"a\n") == b"A\n"


@in_loop
async def test_a_numeric_address_needs_no_resolver(resolver: Resolver) -> None:
    found = await Names("::1", 7).addresses()
    assert [address[:2] for _, address in found] == [("::1", 7)]
    assert resolver.asked == 0


@pytest.mark.parametrize(("host", "place"), [("192.0.2.7", "192.0.2.7:1"), ("::1", "[::1]:1")])
def test_a_place_is_written_as_people_write_it(host: str, place: str) -> None:
    assert Peer(host, 1, time_limit=1).place == place
