"""What the server sees and is told, put into the words of the record.

What a client says is about its own host and within bounds: entries it has a right to, of known
kinds, so many in an outage and so many an hour. Beyond them it is not listened to, and nothing of
it reaches the disk.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from powmonman.core.power import PowerState
from powmonman.core.timeline import Kind, accepted
from powmonman.service.clock import boottime
from powmonman.service.harmless import harmless

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from powmonman.core.messages import Diary, Hello, Status
    from powmonman.core.outage import Supply
    from powmonman.core.timeline import Fact
    from powmonman.server.history import History

log = logging.getLogger("powmonman.server")

# Two full diaries at once, and as many again in an hour.
MOST_ENTRIES = 400.0
ENTRIES_A_SECOND = MOST_ENTRIES / 3600
MOST_REMEMBERED = 64
_PHASES = {
    "counting": Kind.COUNTING,
    "waiting": Kind.WAITING,
    "committed": Kind.COMMITTED,
    "halting": Kind.HALTING,
    "idle": Kind.STAYS,
}
_OVER = ("over", "")


class Scribe:
    """Turns what happens on the server into entries of `history`."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._supplies: dict[str, tuple[str, PowerState, bool]] = {}
        self._open: dict[str, str] = {}
        self._began: dict[str, float] = {}
        self._known: dict[str, None] = {}
        self._told: set[tuple[str, str, str]] = set()
        self._gone: dict[str, tuple[str, str]] = {}
        self._room: dict[str, tuple[float, float]] = {}
        self._crowded: set[str] = set()
        self._drill: tuple[str, set[tuple[str, str]]] = ("", set())

    @harmless
    def mains(self, supplies: Mapping[str, Supply], *, started: bool = False) -> None:
        """Note what has become of the UPSes; `started`: as an earlier process has left them."""
        now = boottime()
        for name in [name for name in self._open if name not in supplies]:
            self._over(name, "is not watched any more")
        for name, supply in supplies.items():
            outage = supply.outage
            before = self._supplies.get(name, ("", PowerState.UNKNOWN, False))
            low = bool(outage) and supply.gauge.low_battery
            after = (outage.id if outage else "", supply.state, low)
            self._supplies[name] = after
            if before[0] and before[0] != after[0]:
                self._over(name)
            if outage is None:
                continue
            if before[0] != outage.id:
                self._begin(name, supply, outage.id, outage.began)
                if started:
                    self._history.note(outage.id, Kind.SERVER_BACK)
            elif before[1] is not after[1] and PowerState.UNKNOWN in {before[1], after[1]}:
                self._known_or_not(outage.id, supply)
            if low and not before[2]:
                charge = _percent(supply.news(now).charge)
                self._history.note(outage.id, Kind.LOW_BATTERY, text=charge)

    def _begin(self, name: str, supply: Supply, outage: str, began: float) -> None:
        self._open[name] = outage
        self._began[outage] = began
        self._remember(outage)
        self._history.begin(outage, name, began=began)
        charge = supply.outage.charge if supply.outage else None
        self._history.note(outage, Kind.MAINS_LOST, text=_percent(charge), at=0.0)

    def _over(self, name: str, why: str = "") -> None:
        outage = self._open.pop(name)
        self._began.pop(outage, None)
        if why:
            del self._supplies[name]
        self._history.note(outage, Kind.NOTE if why else Kind.MAINS_BACK, name if why else "", why)
        self._history.end(outage)

    def _known_or_not(self, outage: str, supply: Supply) -> None:
        if supply.state is PowerState.UNKNOWN:
            self._history.note(outage, Kind.UNKNOWN, text=supply.reading.reason)
        elif supply.state is PowerState.ON_BATTERY:
            self._history.note(outage, Kind.KNOWN)

    def _remember(self, outage: str) -> None:
        """A client's word on an outage counts while that is one of the latest."""
        self._known[outage] = None
        while len(self._known) > MOST_REMEMBERED:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._told = {told for told in self._told if told[0] != oldest}

    @harmless
    def told(self, name: str, hello: Hello, after: float | None) -> None:
        """`name` has understood the newest state, `after` seconds from the push that it was for."""
        for ups, outage in self._open.items():
            key = (outage, name, hello.boot_id)
            if key not in self._told and (not hello.upses or ups in hello.upses):
                self._told.add(key)
                text = "" if after is None else f"{after * 1000:.1f} ms after the push"
                self._history.note(outage, Kind.TOLD, name, text, boot=hello.boot_id)

    @harmless
    def said(self, name: str, hello: Hello, before: Status, status: Status) -> None:
        """`name` reports another phase, or the same again after a reconnect."""
        kind = _PHASES.get(status.phase)
        outage = status.outage or before.outage
        if kind is None or before.phase == status.phase or outage not in self._known:
            return
        text = status.reason
        if kind is Kind.STAYS:
            if before.phase in {"unknown", "idle"}:
                return
            text = ""
        elif kind is Kind.HALTING:
            text = ""
        elif kind is Kind.COMMITTED:
            self._gone[name] = (outage, hello.boot_id)
            kind = Kind.REHEARSED if hello.dry_run else kind
        elif kind is Kind.COUNTING and status.left is not None:
            text = f"{status.left:.0f} s left"
        self._history.note(outage, kind, name, text, boot=hello.boot_id)

    @harmless
    def joined(self, name: str, hello: Hello) -> None:
        """`name` is connected: news during an outage, and of a host that had gone."""
        outages = dict.fromkeys(self._open.values())
        outage, boot = self._gone.get(name, ("", ""))
        if outage and boot != hello.boot_id:
            del self._gone[name]
            outages[outage] = None
        for each in outages:
            self._history.note(each, Kind.JOINED, name, boot=hello.boot_id)

    @harmless
    def left(self, name: str, hello: Hello | None) -> None:
        """`name` is no longer connected."""
        outages = dict.fromkeys(self._open.values())
        if name in self._gone:
            outages[self._gone[name][0]] = None
        for each in outages:
            self._history.note(each, Kind.LEFT, name, boot=hello.boot_id if hello else "")

    @harmless
    def down(self, name: str, outage: str, why: str, left: float | None = None) -> None:
        """`name` does not answer any more, and counts as down in `outage`.

        Without one it does in those open now, unless it had `left` (CLOCK_BOOTTIME) before them.
        """
        known = outage or self._gone.get(name, ("", ""))[0]
        during = (each for each, began in self._began.items() if left is None or left >= began)
        for each in [known] if known else during:
            self._history.note(each, Kind.DOWN, name, why)

    @harmless
    def recovery(self, outage: str, kind: Kind, name: str = "", text: str = "") -> None:
        """A step of bringing `name` back, long after an outage maybe; of all, without a name."""
        self._history.note(outage, kind, name, text)
        if kind in {Kind.BACK, Kind.GIVEN_UP}:
            self._gone.pop(name, None)

    @harmless
    def drill(
        self, drill: str, ups: str, began: float, facts: Iterable[Fact], *, over: bool = False
    ) -> None:
        """Note what is new in a drill: each of `facts` is noted the first time that it is given.

        `began` is CLOCK_BOOTTIME. Nothing is noted once it was `over`.
        """
        if self._drill[0] != drill:
            self._drill = (drill, set())
            self._history.begin(drill, ups, began=began, drill=True)
        noted = self._drill[1]
        if _OVER in noted:
            return
        for kind, name, text, at in facts:
            if (kind, name) not in noted:
                noted.add((kind, name))
                self._history.note(drill, kind, name, text, at=at)
        if over:
            noted.add(_OVER)
            self._history.end(drill)

    @harmless
    def handed(self, name: str, diary: Diary) -> None:
        """`name` hands entries of its diary over."""
        now = boottime()
        room, at = self._room.get(name, (MOST_ENTRIES, now))
        room = min(MOST_ENTRIES, room + (now - at) * ENTRIES_A_SECOND)
        for entry in diary.entries:
            if room < 1:
                level = logging.DEBUG if name in self._crowded else logging.WARNING
                self._crowded.add(name)
                log.log(level, "%s hands over too much: the rest has to wait", name)
                break
            moment = accepted(name, entry)
            if moment is not None and self._history.hand(name, entry.outage, moment):
                room -= 1
        else:
            self._crowded.discard(name)
        self._room[name] = (room, now)


def _percent(charge: float | None) -> str:
    return "" if charge is None else f"charge {charge:.0f} %"
