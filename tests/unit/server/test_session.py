"""One connection without a network: a real TLS session over a transport that is held in hand."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from powmonman.config.schema import Limits
from powmonman.core.messages import Ack, Hello, Own, Ping, Policy, State, decode, encode
from powmonman.net.tls import TlsPipe, client_context, server_context
from powmonman.server.hub import Hub
from powmonman.server.roster import Roster
from powmonman.server.session import Session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

ROOM_FOR_STRANGERS = 10


class Wire(asyncio.Transport):
    """A transport that keeps what is written, and says of itself what a test wants."""

    def __init__(self, peer: tuple[str | int, ...] | str = ("192.0.2.9", 40000)) -> None:
        super().__init__({"peername": peer})
        self.sent = bytearray()
        self.aborted = 0
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def abort(self) -> None:
        self.aborted += 1

    def close(self) -> None:
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Site:
    """A hub whose state is counted, and clients of it."""

    def __init__(self, identities: Path) -> None:
        self.identities = identities
        self.version = 0
        self.hub = Hub(
            server_context(identities / "server.pem"),
            Limits(connections=2 * ROOM_FOR_STRANGERS),
            roster=Roster(),
            make_state=self.state,
            own=lambda _: Own(),
            report=dict,
        )

    def state(self) -> State:
        return State(f"s{self.version}", 15.0, Policy(), {})

    def push(self) -> None:
        self.version += 1
        self.hub.publish(changed=True)

    def connect(self) -> tuple[Session, Wire]:
        session, wire = Session(self.hub), Wire()
        session.connection_made(wire)
        return session, wire


class Client:
    """A host that has said hello."""

    def __init__(self, site: Site, name: str) -> None:
        self._pipe = TlsPipe(
            client_context(site.identities / "hosts" / f"{name}.pem"), server_side=False
        )
        self.session, self.wire = site.connect()

    async def greet(self) -> None:
        while not self._pipe.handshaken:
            await self.step()
        await self.say(Hello(nonce=1))

    async def say(self, message: Hello | Ack | Ping) -> None:
        self._pipe.send(encode(message))
        await self._give(self._pipe.outgoing())

    async def step(self) -> None:
        """Take one step of the handshake."""
        await self._give(self._pipe.outgoing())
        self._pipe.receive(self._taken())

    def give(self) -> None:
        """Say what is due, and wait for nothing."""
        self.session.data_received(self._pipe.outgoing())

    def answered(self) -> bool:
        return bool(self.wire.sent) or self.session.peer is not None

    async def _give(self, data: bytes) -> None:
        self.session.data_received(data)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def _taken(self) -> bytes:
        data = bytes(self.wire.sent)
        self.wire.sent.clear()
        return data

    def heard(self) -> list[Any]:
        lines = self._pipe.receive(self._taken()).splitlines()
        return [decode(line) for line in lines]


def playing(play: Callable[[Site], Awaitable[None]], identities: Path) -> None:
    async def run() -> None:
        await play(Site(identities))

    asyncio.run(run())


@pytest.mark.parametrize(
    ("peer", "where"),
    [
        (("192.0.2.9", 40000), "192.0.2.9"),
        (("2001:db8::9", 40000, 0, 0), "2001:db8::9"),
        (("fe80::9", 40000, 0, socket.if_nametoindex("lo")), "fe80::9%lo"),
        (("fe80::9", 40000, 0, 99999), "fe80::9"),
        ("", "?"),
    ],
    ids=["IPv4", "IPv6", "link-local", "by an interface that is gone", "a local socket"],
)
def test_a_session_knows_the_address_that_leads_back(
    identities: Path, peer: tuple[str | int, ...] | str, where: str
) -> None:
    """A link-local one is asked for signs of life, and that takes its interface."""
    session = Session(Site(identities).hub)
    session.connection_made(Wire(peer))
    assert session.where == where


def test_a_client_that_does_not_read_gets_only_the_newest_state(identities: Path) -> None:
    async def play(site: Site) -> None:
        nas = Client(site, "nas")
        await nas.greet()
        assert [state.id for state in nas.heard()] == ["s0"]
        nas.session.pause_writing()
        for _ in range(1000):
            site.push()
        assert nas.wire.sent == b""
        nas.session.resume_writing()
        assert [state.id for state in nas.heard()] == ["s1000"]
        nas.session.resume_writing()
        assert nas.heard() == []

    playing(play, identities)


def test_one_that_does_not_read_keeps_nothing_from_the_others(identities: Path) -> None:
    async def play(site: Site) -> None:
        nas, db = Client(site, "nas"), Client(site, "db")
        for client in (nas, db):
            await client.greet()
            client.heard()
        nas.session.pause_writing()
        site.push()
        assert [state.id for state in db.heard()] == ["s1"]

    playing(play, identities)


def test_a_state_echoes_the_newest_nonce_that_the_client_sent(identities: Path) -> None:
    async def play(site: Site) -> None:
        nas = Client(site, "nas")
        await nas.greet()
        await nas.say(Ping(7))
        await nas.say(Ack(2, 8))
        site.push()
        heard = nas.heard()
        assert [(state.seq, state.echo) for state in heard] == [(1, 1), (2, 7), (3, 8)]

    playing(play, identities)


def test_only_the_answer_to_the_newest_state_counts_as_told(identities: Path) -> None:
    async def play(site: Site) -> None:
        nas = Client(site, "nas")
        await nas.greet()
        site.push()
        await nas.say(Ack(1, 2))
        assert site.hub.roster.hosts["nas"].told == ""
        await nas.say(Ack(2, 3))
        assert site.hub.roster.hosts["nas"].told == "s1"
        assert site.hub.last_push["clients"] == 1

    playing(play, identities)


@pytest.mark.parametrize("excess", [1, 25])
def test_strangers_that_arrive_at_once_make_room_one_for_each(
    identities: Path, excess: int
) -> None:
    """Whoever is hung up on is gone only later; nobody is hung up on twice meanwhile."""

    async def play(site: Site) -> None:
        wires = [site.connect()[1] for _ in range(ROOM_FOR_STRANGERS + excess)]
        assert [wire.aborted for wire in wires] == [1] * excess + [0] * ROOM_FOR_STRANGERS

    playing(play, identities)


def test_strangers_never_take_the_place_of_a_host(identities: Path) -> None:
    async def play(site: Site) -> None:
        nas = Client(site, "nas")
        await nas.greet()
        for _ in range(100):
            site.connect()
        assert nas.wire.aborted == 0
        assert site.hub.roster.hosts["nas"].connected

    playing(play, identities)


def test_a_session_that_is_being_closed_is_told_nothing_more(
    identities: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its last words may wait for ever in a socket that nobody reads."""

    async def play(site: Site) -> None:
        nas = Client(site, "nas")
        await nas.greet()
        nas.session.fail("reasons")
        nas.heard()
        for _ in range(5):
            site.push()
        assert nas.wire.sent == b""
        assert [it.getMessage() for it in caplog.records if "refused" in it.getMessage()] == [
            "refused nas at 192.0.2.9: reasons"
        ]

    playing(play, identities)


def test_who_has_begun_is_let_in_first_and_then_the_newest(identities: Path) -> None:
    """A fleet that comes back at once must not spend the server on those who are about to leave."""

    async def play(site: Site) -> None:
        site.hub.limits = replace(site.hub.limits, handshakes=1)
        begun, older, newer = [Client(site, name) for name in ("nas", "db", "nas")]
        await begun.step()
        for client in (older, begun, newer):
            client.give()
        served = []
        for _ in range(3):
            await asyncio.sleep(0)
            for name, client in (("begun", begun), ("older", older), ("newer", newer)):
                if name not in served and client.answered():
                    served.append(name)
        assert served == ["begun", "newer", "older"]

    playing(play, identities)


def test_handshakes_that_never_end_keep_no_new_one_waiting(identities: Path) -> None:
    """Strangers who send theirs in crumbs have always one more step to take."""
    taken: list[str] = []

    async def play(site: Site) -> None:
        def endless() -> None:
            taken.append("endless")
            site.hub.wants_handshake(stranger)

        stranger: Any = SimpleNamespace(begun=True, shake=endless)
        host: Any = SimpleNamespace(begun=False, shake=lambda: taken.append("host"))
        for _ in range(2 * site.hub.limits.handshakes):
            site.hub.wants_handshake(stranger)
        site.hub.wants_handshake(host)
        await asyncio.sleep(0)

    playing(play, identities)
    assert "host" in taken
