"""Bytes of a client to the server's session: refused bytes change nothing that the server knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fuzzing import Deaf, cut, expect, instead
from words import JSON, MESSAGES, RULES

from powmonman.config.schema import Limits
from powmonman.core.messages import (
    LONGEST_LINE,
    Hello,
    Own,
    Policy,
    ProtocolError,
    Query,
    Report,
    State,
    UpsNews,
    decode,
    encode,
)
from powmonman.core.power import PowerState
from powmonman.core.records import from_json, to_json
from powmonman.core.timeline import Stamp
from powmonman.net.tls import Peer
from powmonman.server.history import History
from powmonman.server.hub import Hub
from powmonman.server.roster import HostRecord, Roster
from powmonman.server.scribe import Scribe
from powmonman.server.session import Session
from targets import messages as lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WORDS = JSON + MESSAGES + RULES
LARGEST = 4096
NAME = "nas"
HELLO = b'{"type":"hello","nonce":1,"boot_id":"b1"}\n'


class Open:
    """A channel that has proved who speaks; nothing is encrypted."""

    handshaken, eof = True, False

    def __init__(self) -> None:
        self.said = bytearray()

    def receive(self, data: bytes) -> bytes:
        return data

    def send(self, plain: bytes) -> None:
        self.said += plain

    def outgoing(self) -> bytes:
        return b""

    def close(self) -> None: ...

    def peer(self) -> Peer:
        return Peer(NAME, "f" * 64, expired=False)


class Wire(Deaf):
    """A transport that says of itself what a session asks."""

    closing = False

    def get_extra_info(self, _: str) -> tuple[str, int]:
        return ("192.0.2.9", 40000)

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True


class Site:
    """A server with one UPS on mains, and one connection to it."""

    def __init__(self) -> None:
        self.roster = Roster([NAME, "db"])
        self.history = History("/nonexistent", 10)
        self.hub = Hub(
            Deaf(), Limits(messages=100_000), roster=self.roster, make_state=self.state,
            own=lambda _: Own(), report=self.report, scribe=Scribe(self.history),
        )  # fmt: skip
        self.session, self.wire, self.pipe = Session(self.hub), Wire(), Open()
        self.session._pipe = self.pipe
        self.session.connection_made(self.wire)

    @staticmethod
    def state() -> State:
        return State("s1", 15.0, Policy(), {"ups": UpsNews(PowerState.ON_MAINS)})

    def report(self) -> dict[str, Any]:
        return {"clients": self.roster.rows(100.0, "s1")}

    def knows(self) -> str:
        """Return all that may have been changed by what was said."""
        return repr((self.roster.hosts, self.hub.last_push, self.history._queue))

    @property
    def closed(self) -> bool:
        return self.wire.closing

    def hears(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            if not self.closed:
                self.session.data_received(piece)


def target(data: bytes) -> None:
    whole, pieces = cut(data)
    with instead(
        {
            "powmonman.server.session.TlsPipe": lambda *_, **__: Deaf(),
            "powmonman.server.session.boottime": lambda: 100.0,
            "powmonman.server.hub.boottime": lambda: 100.0,
            "powmonman.server.scribe.boottime": lambda: 100.0,
            "powmonman.server.history._stamp": lambda: Stamp("b0", 100.0),
        }
    ):
        once, again = Site(), Site()
        once.hears([whole])
        again.hears(pieces)
        expect(once.knows() == again.knows(), "what a client did depends on how its bytes are cut")
        expect(once.pipe.said == again.pipe.said, "so does what it is told")
        expect(once.closed == again.closed, "so does whether it is hung up on")
        expect(len(once.pipe.said) <= 400 * len(whole) + LONGEST_LINE, "the answer is too large")
        _by_line(whole)
        _afterwards(once)


def hostile() -> Iterator[bytes]:
    for each in lines.hostile():
        yield b"1" + HELLO + each + b"\n"
    yield b"1" + HELLO + b'{"type":"ack","seq":1,"nonce":2}\n' * 2000
    yield b"1" + HELLO + b'{"type":"ping","nonce":2}\n' * 2000


def _by_line(whole: bytes) -> None:
    """Hear line by line: what is refused must leave no trace, and end the connection."""
    site, spoke = Site(), False
    for line in whole.split(b"\n")[:-1]:
        before = site.knows()
        try:
            said: object = decode(line)
        except ProtocolError:
            said = None
        fits = isinstance(said, Hello | Query) if not spoke else said is not None
        site.hears([line + b"\n"])
        if len(line) > LONGEST_LINE or not fits:
            expect(site.knows() == before, f"refused, yet it changed something: {line[:80]!r}")
            expect(site.closed, f"no message, and not hung up on: {line[:80]!r}")
        if site.closed:
            return
        spoke = True


def _afterwards(site: Site) -> None:
    """Whatever a client has said: it is one host, and all that shows hosts can bear it."""
    expect(set(site.roster.hosts) == {NAME, "db"}, "a client has made up a host")
    db = site.roster.hosts["db"]
    expect(not db.connected and db.hello is None, "a client spoke for another")
    expect(encode(Report(site.report())), "the report can't be written")
    kept = {name: to_json(record) for name, record in site.roster.records().items()}
    again = {name: from_json(HostRecord, record) for name, record in kept.items()}
    expect(again == site.roster.records(), "what is kept of a host is not what was known")
    expect(len(site.history._queue) <= 1000, "one connection fills the disk")
    site.session.connection_lost(None)
    expect(not site.roster.hosts[NAME].connected, "who has hung up is still there")
