"""Messages that wait: in memory, and on disk so that they outlive the outage they tell of.

One small file a message, named by its number, so that their order is that of their names. A
message stays until every target has it. At `keep` messages the oldest give way, and the next one
that is sent says how many did.

All methods return at once; files are written by `Disk`. A message is sent at least once: if the
power goes between its sending and the note of it, it is sent again.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from powmonman.core.events import Event  # noqa: TC001 - read at run time, by from_json()
from powmonman.core.records import RecordError, from_json
from powmonman.notify.disk import Disk
from powmonman.service.files import read_json

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

log = logging.getLogger("powmonman.notify")

MOST_EVENTS = 50
MOST_ASIDE = 10
DROPPED = "dropped.json"
_NAME = re.compile(r"\d{12}\.json")


@dataclass(frozen=True)
class Message:
    """What is sent at once.

    Attributes:
        boot: The boot of the server's host in which `moment` (CLOCK_BOOTTIME seconds) was.
        wall: The same moment on the wall clock, for people.
        more: Events that found no room.
        targets: Who has not got it yet; None until the targets are known.
    """

    number: int
    boot: str
    moment: float
    wall: float
    events: tuple[Event, ...]
    more: int = 0
    targets: tuple[str, ...] | None = None

    def with_events(self, events: Iterable[Event]) -> Message:
        """Return the message with more events, as far as there is room."""
        every = (*self.events, *events)
        over = max(0, len(every) - MOST_EVENTS)
        return replace(self, events=every[:MOST_EVENTS], more=self.more + over)


@dataclass(frozen=True)
class _Dropped:
    """How many messages gave way that each target never got."""

    dropped: dict[str, int] = field(default_factory=dict)


class Spool:
    """The messages of one directory. The constructor reads what an earlier process left there."""

    def __init__(self, directory: Path, keep: int) -> None:
        self.keep = keep
        self._directory = directory
        self._disk = Disk(directory)
        self._messages: dict[int, Message] = {}
        self._dropped: dict[str, int] = {}
        self._next = 1
        self._read()

    @property
    def fault(self) -> str:
        """Why messages would not survive a power cut; empty: they would."""
        return f"{self._directory}: {self._disk.fault}" if self._disk.fault else ""

    def __len__(self) -> int:
        return len(self._messages)

    def newest(self) -> Message | None:
        """Return the message that was added last, if it still waits."""
        return self._messages.get(self._next - 1)

    def add(self, boot: str, moment: float, wall: float, events: Iterable[Event]) -> Message:
        """Add a message; the oldest may give way."""
        message = Message(self._next, boot, moment, wall, ()).with_events(events)
        self._next += 1
        self.replace(message)
        self._make_room()
        return message

    def replace(self, message: Message) -> None:
        """Put `message` in the place of the one with its number."""
        self._messages[message.number] = message
        self._disk.write(_name(message.number), message)

    def unassigned(self) -> list[Message]:
        """Return the messages of which nobody has said who gets them."""
        return [message for message in self._messages.values() if message.targets is None]

    def assign(self, number: int, targets: tuple[str, ...]) -> None:
        """Say who gets a message; with nobody it is gone."""
        self._left(number, targets)
        if targets and (before := self._dropped.pop("", 0)):
            for target in targets:
                self._dropped[target] = self._dropped.get(target, 0) + before
            self._note_dropped()

    def waiting(self, target: str) -> list[Message]:
        """Return what `target` has not got yet, in order."""
        return [each for each in self._messages.values() if target in (each.targets or ())]

    def targets(self) -> list[str]:
        """Return whom something waits for."""
        return sorted({t for each in self._messages.values() for t in each.targets or ()})

    def sent(self, number: int, target: str) -> None:
        """`target` has got a message, and knows what was dropped before it."""
        message = self._messages.get(number)
        if message is not None and message.targets is not None:
            self._left(number, tuple(each for each in message.targets if each != target))
        if self._dropped.pop(target, 0):
            self._note_dropped()

    def forget(self, target: str) -> None:
        """There is no such target any longer."""
        for message in self.waiting(target):
            self.sent(message.number, target)

    def dropped(self, target: str) -> int:
        """Return how many messages gave way that `target` never got."""
        return self._dropped.get(target, 0)

    def note(self, name: str, record: Any) -> None:
        """Have another record written after all that was said before."""
        self._disk.write(name, record)

    def retry(self) -> None:
        """Try again to write what could not be written."""
        self._disk.retry()

    def settle(self, seconds: float) -> bool:
        """Wait for the disk, for `seconds` at most. Blocks."""
        return self._disk.settle(seconds)

    def _left(self, number: int, targets: tuple[str, ...]) -> None:
        if targets:
            self.replace(replace(self._messages[number], targets=targets))
        elif self._messages.pop(number, None):
            self._disk.remove(_name(number))

    def _make_room(self) -> None:
        while len(self._messages) > self.keep:
            oldest = self._messages.pop(next(iter(self._messages)))
            for target in oldest.targets or ("",):
                self._dropped[target] = self._dropped.get(target, 0) + 1
            self._disk.remove(_name(oldest.number))
            self._note_dropped()

    def _note_dropped(self) -> None:
        self._disk.write(DROPPED, _Dropped(self._dropped.copy()))

    def _read(self) -> None:
        try:
            names = sorted(path.name for path in self._directory.iterdir())
        except FileNotFoundError:
            return
        except OSError as error:
            self._disk.fault = error.strerror or str(error)
            return
        aside = [name for name in names if name.endswith(".aside")]
        for name in names:
            if name.startswith("."):
                self._disk.remove(name)  # Left by a write that a power cut ended.
            if not _NAME.fullmatch(name):
                continue
            number = int(name.partition(".")[0])
            self._next = max(self._next, number + 1)
            try:
                self._messages[number] = _message(self._directory / name, number)
            except RecordError as error:
                aside.append(self._put_aside(name, str(error)))
        for name in aside[:-MOST_ASIDE]:
            self._disk.remove(name)
        self._recall_dropped()
        self._make_room()

    def _recall_dropped(self) -> None:
        try:
            self._dropped = from_json(_Dropped, read_json(self._directory / DROPPED) or {}).dropped
        except RecordError:
            self._dropped = {}

    def _put_aside(self, name: str, why: str) -> str:
        path = self._directory / name
        log.warning("%s: %s · put aside, and not sent", path, why)
        other = f"{name}.aside"
        try:
            path.rename(path.with_name(other))
        except OSError:
            log.debug("%s stays where it is", path, exc_info=True)
        return other


def _message(path: Path, number: int) -> Message:
    """Read one message.

    Raises:
        RecordError: There is none in the file.
    """
    content = read_json(path)
    if content is None:
        raise RecordError("it can't be read")
    message = from_json(Message, content)
    if message.number != number or not message.events:
        raise RecordError("it says something else than its name")
    return message


def _name(number: int) -> str:
    return f"{number:012d}.json"
