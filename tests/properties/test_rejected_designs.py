"""Every design that was rejected is put back, and is found out.

`FLEET` go through a script in a whole fleet (`designs`), `RECOVERY` in one that has
only the recovery (`test_recovery`), and `SHELL` live in the shell around the cores.
"""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

import figures
import pytest
from designs import SCRIPTED, Design
from figures import Caught
from virtual_time import virtual_time
from world import ViolationError, World

from powmonman.config.loader import ConfigError, parse
from powmonman.config.schema import ServerConfig
from powmonman.server import app, session
from powmonman.server.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator

# As the safety rules list them, and in that order.
LISTED = (
    "cancel on unknown",
    "start as on mains",
    "stop counting when contact is lost on battery",
    "count lost contact on mains as an outage",
    "commit on a stale queued message after a stall",
    "sequence numbers that must rise",
    "small wrapping ids",
    "drop the newest state when the queue is full",
    "lease of less than three heartbeats",
    "restart the countdown when polls fail",
    "resume from suspend counts the time slept as outage",
    "order without an upper bound",
    "stall grace without an upper bound",
    "recovery due only if an outage was recorded",
    "recovery proven by any heartbeat",
    "recovery proven by a connection",
    "recovery record written after the shutdown",
    "the Pi halts itself last",
    "wall clock in any deadline",
)
RECOVERY = {"small wrapping ids", "recovery proven by a connection"}
SHELL = {"drop the newest state when the queue is full"}
FLEET = {design.name for design in SCRIPTED}


def test_every_design_of_the_list_is_put_back() -> None:
    assert set() == set(LISTED) - FLEET - RECOVERY - SHELL


def play(design: Design, world: World) -> None:
    design.script(world)
    world.calm()


@pytest.fixture
def _in_virtual_time() -> Iterator[None]:
    with virtual_time():
        yield


@pytest.mark.usefixtures("_in_virtual_time")
@pytest.mark.parametrize("design", SCRIPTED, ids=lambda design: design.name)
def test_a_design_is_found_out(design: Design) -> None:
    """The same script does no harm to the true design."""
    play(design, World())
    with contextlib.ExitStack() as stack:
        for place in design.places():
            stack.enter_context(mock.patch.object(*place))
        world = World()
        with pytest.raises(ViolationError) as caught:
            play(design, world)
    by = "script of a fleet, " + str(caught.value).split()[0]
    after = f"{world.figures.seconds:.0f} s of virtual time"
    figures.CAUGHT.append(Caught(design.name, by, after))


class Pipe:
    """What a session sends, without TLS."""

    handshaken, eof, sent = True, False, b""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.lines: list[bytes] = []

    def send(self, line: bytes) -> None:
        self.lines.append(line)

    def outgoing(self) -> bytes:
        return b""


def reads_again_after(states: int, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Return the last line for a client that did not read while so many states were due."""
    monkeypatch.setattr(session, "TlsPipe", Pipe)
    newest = f"state {states}".encode()
    hub = SimpleNamespace(context=None, shared=lambda: newest, own=lambda _: b"{}")
    talk = Session(hub)  # type: ignore[arg-type]
    talk._transport = mock.Mock(is_closing=lambda: False)
    talk.pause_writing()
    for number in range(1, states + 1):
        talk.tell(f"state {number}".encode())
    talk.resume_writing()
    lines: list[bytes] = talk._pipe.lines  # type: ignore[attr-defined]
    return lines[-1]


def test_the_newest_state_always_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reads_again_after(9, monkeypatch).startswith(b"state 9,")

    def tell(self: Any, shared: bytes) -> None:
        """A queue that is full takes nothing more."""
        queue = self.__dict__.setdefault("queue", [])
        if self._blocked and len(queue) < 4:
            queue.append(shared)

    def resume(self: Any) -> None:
        self._blocked = False
        for line in self.queue:
            self._send(line + b",")

    monkeypatch.setattr(Session, "tell", tell)
    monkeypatch.setattr(Session, "resume_writing", resume)
    with pytest.raises(AssertionError):
        assert reads_again_after(9, monkeypatch).startswith(b"state 9,")
    what = Caught("drop the newest state when the queue is full", "test of a session", "9 states")
    figures.CAUGHT.append(what)


def test_the_state_is_repeated_three_times_in_a_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no key for it: whatever the lease is, it can't be set to less."""
    waits: list[float] = []

    def timeout(seconds: float) -> Any:
        waits.append(seconds)
        raise asyncio.CancelledError

    config = parse("lease: 12", ServerConfig).config
    server = SimpleNamespace(_config=config, _reloaded=asyncio.Event())
    monkeypatch.setattr(app.asyncio, "timeout", timeout)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(app.Server._beat(server))  # type: ignore[arg-type]
    assert waits == [4.0]
    for key in ("heartbeat", "beat", "interval"):
        with pytest.raises(ConfigError):
            parse(f"{key}: 20", ServerConfig)
