"""All clients at once: who is let in, and one push that reaches everybody.

A push is one pass over the sessions with a line that was encoded once. Nothing in it waits: a
client that does not read gets the newest state when it reads again, or is dropped after a lease
without a word. Handshakes are taken a few at a time between everything else.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from powmonman.core.messages import (
    Diary,
    DrillStatus,
    Hello,
    Own,
    State,
    Status,
    encode_for_all,
    encode_own,
)
from powmonman.net.tls import Peer, is_revoked
from powmonman.service.clock import boottime

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable

    from powmonman.config.schema import Limits
    from powmonman.server.drill import Drills
    from powmonman.server.roster import Roster
    from powmonman.server.scribe import Scribe
    from powmonman.server.session import Session

log = logging.getLogger("powmonman.server")

REFUSALS_A_MINUTE = 30
_NOTHING = Own()
_ENCODED_NOTHING = b"{}"

# Most clients are told the same as in the push before.
_encoded = lru_cache(4096)(encode_own)


class Hub:
    """The sessions, the state that they are told, and the bounds they live in."""

    def __init__(
        self,
        context: ssl.SSLContext,
        limits: Limits,
        *,
        roster: Roster,
        make_state: Callable[[], State],
        own: Callable[[str], Own],
        report: Callable[[], dict[str, Any]],
        scribe: Scribe | None = None,
        revoked: Iterable[str] = (),
        noticed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.context = context
        self.limits = limits
        self.roster = roster
        self.report = report
        self._make_state = make_state
        self._own = own
        self._noticed = noticed
        self._scribe = scribe
        self.last_push: dict[str, Any] = {}
        self._revoked = tuple(revoked)
        self._strangers: dict[Session, None] = {}
        self._speakers: dict[str, Session] = {}
        self._begun: deque[Session] = deque()
        self._unbegun: list[Session] = []
        self._ending = False
        self._shake_due = False
        self._state: State | None = None
        self._shared = b""
        self._untold: set[Session] = set()
        self._pushed_at = 0.0
        self._pushed_to = 0
        self._refusals: deque[float] = deque(maxlen=REFUSALS_A_MINUTE)
        self.drilling: Drills | None = None

    def publish(self, *, changed: bool) -> None:
        """Push the present state to everybody, in one pass."""
        self._state = self._make_state()
        self._shared = encode_for_all(self._state)
        if changed:
            self._pushed_at, self._pushed_to = boottime(), len(self._speakers)
            self._untold = set(self._speakers.values())
        for session in list(self._speakers.values()):
            session.tell(self._shared)

    def tell(self, names: Iterable[str]) -> None:
        """Push the present state to these clients alone, where what it says to them has changed."""
        shared = self.shared()
        for name in names:
            if name in self._speakers:
                self._speakers[name].tell(shared)

    def shared(self) -> bytes:
        """Return the present state for one more client."""
        return encode_for_all(self._make_state())

    def own(self, name: str) -> bytes:
        """Return what the state says to the client `name` alone."""
        own = self._own(name)
        return _ENCODED_NOTHING if own == _NOTHING else _encoded(own)

    def sweep(self, lease: float) -> None:
        """Drop who has been silent for too long."""
        now = boottime()
        for session in list(self._strangers):
            if now - session.since > self.limits.handshake_timeout:
                self.refused(session, "no handshake and hello in time")
                session.abort()
        for session in list(self._speakers.values()):
            if now - session.heard > lease:
                log.warning(
                    "%s said nothing for %.0f s: dropped", session.name, now - session.heard
                )
                session.abort()

    def reconfigure(self, context: ssl.SSLContext, limits: Limits, revoked: Iterable[str]) -> None:
        """Let the next clients in by new rules; whoever is revoked leaves now."""
        self.context, self.limits, self._revoked = context, limits, tuple(revoked)
        for session in list(self._speakers.values()):
            if session.peer is not None and (reason := self.refuses(session.peer)):
                session.fail(reason)

    def close(self) -> None:
        """Hang up on everybody."""
        for session in [*self._strangers, *self._speakers.values()]:
            session.close()

    def opened(self, session: Session) -> None:
        """Let a connection in; the oldest stranger makes room, a known client never does."""
        self._strangers[session] = None
        room = self.limits.connections - len(self._speakers)
        if len(self._strangers) > min(max(room, 1), max(8, self.limits.connections // 2)):
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            self.refused(oldest, "too many connections")
            oldest.abort()

    def closed(self, session: Session) -> None:
        """Forget a connection that has ended."""
        self._strangers.pop(session, None)
        if session in self._untold:
            self._untold.discard(session)
            self._pushed_to -= 1
        if self._speakers.get(session.name) is session:
            del self._speakers[session.name]
            self.roster.left(session.name, boottime())
            if self._scribe:
                self._scribe.left(session.name, self.roster.hosts[session.name].hello)
            log.warning("%s has left", session.name, extra={"host": session.name})
            self._noticed(session.name)
        self._all_told()

    def wants_handshake(self, session: Session) -> None:
        """Queue a step of a handshake.

        One that has begun is brought to its end in turn with a new one, of which the newest begins
        next. Where more come at once than can be served before they lose patience, taking the
        oldest first would spend all time on those who are about to leave, and none would ever get
        in; and strangers who never come to an end must not keep the others waiting.
        """
        (self._begun if session.begun else self._unbegun).append(session)
        if not self._shake_due:
            self._shake_due = True
            asyncio.get_running_loop().call_soon(self._shake_some)

    def _shake_some(self) -> None:
        for _ in range(min(self.limits.handshakes, len(self._begun) + len(self._unbegun))):
            if self._begun and self._unbegun:
                self._ending = not self._ending
            ends = self._begun and (self._ending or not self._unbegun)
            session = self._begun.popleft() if ends else self._unbegun.pop()
            try:
                session.shake()
            except Exception:
                # One that can't be dealt with must not keep the next ones waiting for ever.
                log.exception("%s: handshake given up", session.where)
                session.abort()
        self._shake_due = bool(self._begun or self._unbegun)
        if self._shake_due:
            asyncio.get_running_loop().call_soon(self._shake_some)

    def refuses(self, peer: Peer) -> str:
        """Why `peer` may not come in, although the fleet CA signed its certificate."""
        if is_revoked(peer.fingerprint, self._revoked):
            return f"the certificate of {peer.name} is revoked"
        return ""

    def refused(self, session: Session, reason: str) -> None:
        """Log a refusal, but let nobody fill the log with them."""
        now = boottime()
        full = len(self._refusals) == REFUSALS_A_MINUTE and now - self._refusals[0] < 60
        level = logging.DEBUG if full else logging.WARNING
        if not full:
            self._refusals.append(now)
        who = session.name or (session.peer.name if session.peer else "a stranger")
        log.log(level, "refused %s at %s: %s", who, session.where, reason)

    def joined(self, session: Session, peer: Peer, hello: Hello) -> None:
        """A client introduced itself: it is told the state at once."""
        self._strangers.pop(session, None)
        earlier = self._speakers.pop(session.name, None)
        if earlier is not None:
            if earlier.where != session.where:
                log.warning(
                    "%s is now at %s, was at %s: if both live, one has the other's identity",
                    session.name,
                    session.where,
                    earlier.where,
                )
            earlier.abort()
        self._speakers[session.name] = session
        self.roster.arrived(peer, session.where, hello, boottime())
        log.info(
            "%s has joined from %s, version %s%s",
            session.name,
            session.where,
            hello.version,
            ", its certificate looks expired (or a clock is wrong)" if peer.expired else "",
            extra={"host": session.name},
        )
        if self._scribe:
            self._scribe.joined(session.name, hello)
        session.tell(self.shared())
        self._noticed(session.name)

    def acknowledged(self, session: Session, seq: int) -> None:
        """A client has understood a state."""
        if seq == session.seq and not session.behind and self._state is not None:
            host = self.roster.hosts[session.name]
            self.roster.told(session.name, self._state.id)
            if self._scribe and host.hello:
                took = boottime() - self._pushed_at if session in self._untold else None
                self._scribe.told(session.name, host.hello, took)
            if self.drilling is not None:
                self.drilling.understood(session.name)
            if session in self._untold:
                self._untold.discard(session)
                self._all_told()

    def _all_told(self) -> None:
        if self._untold or not self._pushed_to or self._state is None:
            return
        took = boottime() - self._pushed_at
        clients = f"{self._pushed_to} client{'' if self._pushed_to == 1 else 's'}"
        log.info("told %s, the last one after %.1f ms", clients, took * 1000)
        self.last_push = {
            "state": self._state.id,
            "clients": self._pushed_to,
            "seconds": round(took, 6),
        }
        self._pushed_to = 0

    def rehearsed(self, session: Session, status: DrillStatus) -> None:
        """A client says what it would do, were the drill real."""
        if self.drilling is not None:
            self.drilling.said(session.name, status)

    def reported(self, session: Session, status: Status) -> None:
        """A client says what it is about to do."""
        host = self.roster.hosts[session.name]
        before = host.status
        self.roster.said(session.name, status, boottime())
        if self._scribe and host.hello:
            self._scribe.said(session.name, host.hello, before, status)
        if before.phase != status.phase:
            left = "" if status.left is None else f", {status.left:.0f} s left"
            log.info(
                "%s is %s%s%s",
                session.name,
                status.phase,
                left,
                f" · {status.reason}" if status.reason else "",
                extra={"host": session.name, "outage": status.outage or before.outage},
            )
        self._noticed(session.name)

    def handed(self, session: Session, diary: Diary) -> None:
        """A client hands over what the server may have missed of its host."""
        if self._scribe:
            self._scribe.handed(session.name, diary)
