"""What happened to this host in an outage, kept until the server has it.

Each entry is written to /run at once, and to the disk when this host commits or halts: then the
power goes, and the next boot hands it over. The disk is written in a thread of its own, which
nothing waits for but the end of the process, and that not for long: the request for the shutdown
has been made by then.

The number of an entry rises over boots. A diary that starts anew begins with the clock's seconds,
above all that an earlier one has used; one whose clock is behind learns from the server's `noted`.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from powmonman.core.announcing import names
from powmonman.core.messages import Diary as Message
from powmonman.core.messages import Entry
from powmonman.core.plan import Phase
from powmonman.core.power import PowerState
from powmonman.core.records import RecordError, from_json, printable, to_json
from powmonman.core.timeline import LARGEST_SEQ, LONGEST_TEXT, Kind
from powmonman.service.clock import boot_id, boottime, trusted_wall
from powmonman.service.files import read_json, write_json
from powmonman.service.harmless import harmless

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from powmonman.core.messages import UpsNews
    from powmonman.core.plan import Plan, Rules

log = logging.getLogger("powmonman.client")

FILE = "diary.json"
MOST_ENTRIES = 200
MOST_OUTAGES = 8
# Of the 64 KiB of a line.
LONGEST_MESSAGE = 48 * 1024
MESSAGES_AT_ONCE = 2
# What happens together is handed over together, and not while everybody is being told.
SETTLE = 2.0
AGAIN = 30.0
FORGIVEN = 1
LONGEST_PAUSE = 3600.0
LAST_WORDS = frozenset({Kind.COMMITTED, Kind.HALTING})


@dataclass(frozen=True)
class _Kept:
    """What is on disk; `began` is on the boot clock of `boot_id`."""

    entries: tuple[Entry, ...] = ()
    seq: int = 0
    boot_id: str = ""
    began: dict[str, float] = field(default_factory=dict)


class Diary:
    """The diary of one host; used by one thread."""

    def __init__(self, runtime_dir: Path, state_dir: Path) -> None:
        self._volatile = runtime_dir / FILE
        self._durable = state_dir / FILE
        self._seq, self._entries, self._began = self._load()
        self._on_disk = bool(self._entries)
        self._lock = threading.Lock()
        self._due: dict[str, Any] | None = None
        self._writing: threading.Thread | None = None
        self._away = False
        self._noted_at = boottime()
        self._sent = 0
        self._sent_at = 0.0
        self._refusals = 0
        self._paused_until = 0.0

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What the server does not have, the oldest first."""
        return tuple(self._entries)

    @harmless
    def began(self, upses: Mapping[str, UpsNews]) -> None:
        """Learn from the server when the outages in progress began.

        What took the least time to arrive is the nearest.
        """
        now = boottime()
        for news in upses.values():
            if news.outage:
                known = self._began.get(news.outage, now)
                self._began[news.outage] = min(known, now - news.age)
        while len(self._began) > MOST_OUTAGES:
            del self._began[next(iter(self._began))]

    @harmless
    def note(self, outage: str, kind: str, text: str = "", *, spent: float = 0.0) -> None:
        """Write down what happens now; `spent` seconds ago is when the outage began at the least.

        Of an outage without an id there is no story.
        """
        if not outage:
            return
        now = boottime()
        self._seq += 1
        entry = Entry(
            seq=self._seq,
            outage=outage,
            kind=kind,
            at=round(max(0.0, now - self._began.get(outage, now - spent)), 3),
            wall=trusted_wall(),
            boot_id=boot_id(),
            text=printable(text)[:LONGEST_TEXT],
        )
        self._entries = [*self._entries[-MOST_ENTRIES + 1 :], entry]
        self._noted_at = now
        self._save()
        if kind in LAST_WORDS:
            self._keep()

    @harmless
    def follow(self, before: Plan, after: Plan, rules: Rules) -> None:
        """Write down what has become of the plan."""
        if before.alone.holds and not after.alone.holds and before.phase is not Phase.COMMITTED:
            before = replace(before, phase=Phase.IDLE, outage="")
        if before.phase is after.phase:
            return
        if after.alone.holds:
            self._follow_alone(after)
            return
        outage, spent = after.outage or before.outage, max(before.spent, after.spent)
        match after.phase:
            case Phase.COUNTING:
                if before.phase is Phase.IDLE:
                    self.note(outage, Kind.TOLD, spent=spent)
                self.note(outage, Kind.COUNTING, f"{after.left(rules):.0f} s left", spent=spent)
            case Phase.WAITING:
                text = f"for {names(after.pending(rules))}"
                self.note(outage, Kind.WAITING, text, spent=spent)
            case Phase.COMMITTED:
                kind = Kind.REHEARSED if after.rehearsed else Kind.COMMITTED
                self.note(outage, kind, after.why, spent=spent)
            case Phase.IDLE if before.phase is not Phase.COMMITTED:
                left = before.left(rules)
                why = "" if left is None else f"{left:.0f} s were left"
                if after.power is not PowerState.ON_MAINS:
                    why = "asleep meanwhile: what it knew is forgotten"
                self.note(outage, Kind.STAYS, why, spent=spent)
            case Phase.IDLE if not before.rehearsed:
                self.note(outage, Kind.STAYS, "its commands did not switch it off", spent=spent)

    def _follow_alone(self, after: Plan) -> None:
        """Write down an outage that only this host takes to be one: only if it has gone by that.

        Else each time that a switch is restarted would push an outage out of the record.
        """
        if after.phase is Phase.COMMITTED and not after.rehearsed:
            self.note(after.outage, Kind.CONTACT_LOST, after.alone.evidence)
            self.note(after.outage, Kind.COMMITTED, after.why)

    @harmless
    def contact(self, plan: Plan, lost: str = "") -> None:
        """Write down that the server is there again, or why it is not, in an outage."""
        if lost:
            self._hung_up()
        if plan.phase is Phase.IDLE or bool(lost) is self._away:
            return
        self._away = bool(lost)
        kind = Kind.CONTACT_LOST if lost else Kind.CONTACT
        self.note(plan.outage, kind, lost, spent=plan.spent)

    def noted(self, seq: int) -> None:
        """Drop what the server has, up to `seq`."""
        if seq > self._seq:
            self._renumber(seq)
            return
        left = [entry for entry in self._entries if entry.seq > seq]
        if len(left) == len(self._entries):
            return
        self._entries, self._refusals = left, 0
        if seq >= self._sent:
            self._sent = 0
        self._save()
        if self._on_disk and not left:
            self._keep()

    @harmless
    def hand_over(self, noted: int, send: Callable[[Message], None]) -> None:
        """Drop what the server has, up to `noted`, and send what is due of the rest."""
        self.noted(noted)
        for message in self.due():
            send(message)

    def due(self) -> list[Message]:
        """Return what is to be sent now, in messages that fit into a line each."""
        now = boottime()
        if not self._entries or now < self._paused_until:
            return []
        urgent = self._entries[-1].kind in LAST_WORDS
        if not urgent and now - self._noted_at < SETTLE:
            return []
        if now - self._sent_at >= AGAIN:
            self._sent = 0
        messages = _cut([entry for entry in self._entries if entry.seq > self._sent])
        if messages:
            messages = messages[:MESSAGES_AT_ONCE]
            self._sent, self._sent_at = messages[-1].entries[-1].seq, now
        return messages

    def _hung_up(self) -> None:
        """The connection is over: what was sent may not have arrived, or may be the reason."""
        if not self._sent:
            return
        self._sent = 0
        self._refusals += 1
        if self._refusals > FORGIVEN:
            pause = min(LONGEST_PAUSE, 30.0 * 2.0 ** min(self._refusals - FORGIVEN, 10))
            self._paused_until = boottime() + pause
            log.debug("the diary waits for %.0f s: it was not taken", pause)

    def close(self, wait: float = 1.0) -> None:
        """Let the disk have what is on its way there, but not for ever."""
        with self._lock:
            writing = self._writing
        if writing is not None:
            writing.join(wait)

    def _renumber(self, seq: int) -> None:
        """Begin above what the server has from a diary that this host has lost."""
        if seq + len(self._entries) >= LARGEST_SEQ // 2:
            return
        self._entries = [replace(e, seq=seq + n) for n, e in enumerate(self._entries, 1)]
        self._seq = seq + len(self._entries)
        self._save()

    def _load(self) -> tuple[int, list[Entry], dict[str, float]]:
        seq = 0
        found: dict[int, Entry] = {}
        began: dict[str, float] = {}
        for path in (self._durable, self._volatile):
            try:
                kept = from_json(_Kept, read_json(path) or {})
            except RecordError as error:
                log.warning("%s can't be used: %s", path, error)
                continue
            numbers = [kept.seq, *(entry.seq for entry in kept.entries)]
            if not all(0 <= number < LARGEST_SEQ // 2 for number in numbers):
                log.warning("%s can't be used: no client wrote that", path)
                continue
            seq = max(seq, *numbers)
            found |= {entry.seq: entry for entry in kept.entries}
            if kept.boot_id == boot_id():
                began = kept.began
        entries = [found[number] for number in sorted(found)][-MOST_ENTRIES:]
        return seq or int(time.time()), entries, began

    def _content(self) -> dict[str, Any]:
        return to_json(_Kept(tuple(self._entries), self._seq, boot_id(), dict(self._began)))

    def _save(self) -> None:
        try:
            write_json(self._volatile, self._content(), durable=False)
        except OSError as error:
            log.debug("%s: %s", self._volatile, error.strerror)

    def _keep(self) -> None:
        """Write to the disk beside everything else; a write that hangs is not joined by more."""
        self._on_disk = bool(self._entries)
        with self._lock:
            self._due = self._content()
            if self._writing is None:
                writing = threading.Thread(target=self._write, name="diary", daemon=True)
                try:
                    writing.start()
                except RuntimeError as error:
                    log.warning("%s: %s", self._durable, error)
                else:
                    self._writing = writing

    def _write(self) -> None:
        while True:
            with self._lock:
                content, self._due = self._due, None
                if content is None:
                    self._writing = None
                    return
            try:
                write_json(self._durable, content, durable=True)
            except OSError as error:
                why = error.strerror or error
                log.warning("%s: %s · the record may miss this host's end", self._durable, why)


def _cut(entries: list[Entry]) -> list[Message]:
    messages: list[list[Entry]] = []
    room = 0
    for entry in entries:
        size = len(json.dumps(to_json(entry), ensure_ascii=False).encode()) + 2
        if size > room:
            messages.append([])
            room = LONGEST_MESSAGE
        messages[-1].append(entry)
        room -= size
    return [Message(tuple(each)) for each in messages]
