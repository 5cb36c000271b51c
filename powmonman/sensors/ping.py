"""Mains as sentinels say, hosts known not to hang on a UPS: all silent, the mains are lost.

Silence has many causes, and only one of them is an outage. So a silence counts only if

1. the sentinel has answered before: else its address may be wrong;
2. the link of the interface that leads to it is up, and was all the time: else it is our cable;
3. it is still reached by the interface by which it answered: else a route has changed;
4. that link has been up for `SETTLE` seconds, or the sentinel has answered since it came up: a
   switch that starts anew shows a link long before it passes a packet.

| sentinels that have answered before                           | reading  |
|---------------------------------------------------------------|----------|
| none, and none answers now                                    | unknown  |
| at least one answers now, whatever the others do              | on mains |
| none answers, and of at least one the silence does not count  | unknown  |
| none answers, and every silence counts                        | off      |

A switch further away that died alone looks like an outage all the same: `ping` is for a witness.

A sentinel is asked by the way in which it answered last, ICMP at first, and again by all ways when
half of its time is over: that is for a lost packet, and for a process that may not use ICMP.
icmplib would do the ICMP part, but not TCP, nor would it tell a forged answer by its payload; and
hosts get this program as one file, in which a library under the LGPL could not be exchanged.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from powmonman.core.power import Reading, unknown
from powmonman.net.knock import WAYS, ask, knock, may_echo
from powmonman.net.link import Link, Target, link_to, target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from powmonman.config.sources import Ping

# From power to the first packet passed, a managed switch takes up to two minutes, the spanning tree
# protocol on another up to 50 s.
SETTLE = 120.0
# Silent for so long beside others that answer, a sentinel is worth a notice.
LONG_SILENT = 600.0

_MEND = "see: ip -br link; ip route get"


@dataclass
class _Sentinel:
    """What is remembered of one host."""

    host: str
    way: int
    heard_at: float | None = None
    heard_by: Link = field(default_factory=lambda: Link("", up=False, changes=0))


@dataclass(frozen=True)
class _Outcome:
    """What came of asking one: an answer, a silence that counts, or why it does not count."""

    sentinel: _Sentinel
    answered: bool = False
    fault: str = ""


class PingSensor:
    """Asks every sentinel at each poll, all at once.

    Raises:
        ValueError: The settings name no host.
    """

    def __init__(self, settings: Ping, clock: Callable[[], float] = time.monotonic) -> None:
        if not settings.hosts:
            raise ValueError("ping names no host: give addresses that hang on no UPS")
        self._settings = settings
        self._clock = clock
        self._began: float | None = None
        self._sentinels = [_Sentinel(host, WAYS[0]) for host in settings.hosts]
        self._steady: dict[str, tuple[Link, float]] = {}

    @property
    def poll(self) -> float:
        """Seconds between two calls of `read`."""
        return self._settings.poll

    verify_takes = 0.0

    @property
    def patience(self) -> float:
        """Seconds after which a `read` that has not ended counts as unknown."""
        return self._settings.timeout + 1

    def describe(self) -> str:
        """Return one line for the log."""
        targets = [_target_or_none(sentinel.host) for sentinel in self._sentinels]
        way = "ICMP echo, or TCP where that is not answered"
        if not all(may_echo(each.family) for each in targets if each):
            way = "TCP alone (ICMP needs the service's group in net.ipv4.ping_group_range)"
        return (
            f"ping: {', '.join(self._settings.hosts)}, asked every {self._settings.poll:g} s "
            f"by {way}"
        )

    async def read(self) -> Reading:
        """Ask all sentinels, and return what follows."""
        if self._began is None:
            self._began = self._clock()
        outcomes = await asyncio.gather(*map(self._ask, self._sentinels))
        if any(outcome.answered for outcome in outcomes):
            return Reading(mains=True, reason=self._notice(outcomes))
        known = [outcome for outcome in outcomes if outcome.sentinel.heard_at is not None]
        faults = _distinct(outcome.fault for outcome in known or outcomes)
        if faults:
            return unknown(f"{', '.join(faults)}; {_MEND} {self._settings.hosts[0]}")
        if not known:
            return unknown(
                f"{' and '.join(self._settings.hosts)} never answered since the start; "
                "are the addresses right, and the hosts on?"
            )
        return Reading(mains=False)

    async def verify(self) -> Reading:
        """Return `read()`: they are asked once more."""
        return await self.read()

    def close(self) -> None:
        """Do nothing: between two reads no socket is open."""

    async def _ask(self, sentinel: _Sentinel) -> _Outcome:
        try:
            to = target(sentinel.host)
            before = self._look_at_link(to)
            if not before.up:
                return _Outcome(sentinel, fault=f"the link of {before.interface} is down")
            way = await ask(to, sentinel.way, WAYS, self._settings.timeout, knock)
            after = before if way is not None else self._look_at_link(to)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            return _Outcome(sentinel, fault=f"{sentinel.host} can't be reached from here: {why}")
        if way is not None:
            sentinel.way, sentinel.heard_at, sentinel.heard_by = way, self._clock(), before
            return _Outcome(sentinel, answered=True)
        return _Outcome(sentinel, fault=self._discount(sentinel, before, after))

    def _look_at_link(self, to: Target) -> Link:
        """Return the link that leads there, and remember since when it has been as it is."""
        link = link_to(to)
        if link != self._steady.get(link.interface, (None, 0.0))[0]:
            self._steady[link.interface] = (link, self._clock())
        return link

    def _discount(self, sentinel: _Sentinel, before: Link, after: Link) -> str:
        """Return why the silence of a sentinel does not count; empty if it does."""
        if after != before:
            return f"the link of {before.interface} changed meanwhile"
        heard_by = sentinel.heard_by
        if sentinel.heard_at is None or after == heard_by:
            return ""
        if after.interface != heard_by.interface:
            return (
                f"{sentinel.host} answered by {heard_by.interface}, "
                f"but the route leads to {after.interface} now"
            )
        _, since = self._steady[after.interface]
        if self._clock() - since < SETTLE:
            return f"the link of {after.interface} was down less than {SETTLE:.0f} s ago"
        return ""

    def _notice(self, outcomes: Iterable[_Outcome]) -> str:
        """Say which sentinels have been of no use for long."""
        assert self._began is not None  # noqa: S101 - read() set it
        found = []
        for outcome in outcomes:
            sentinel = outcome.sentinel
            since = self._began if sentinel.heard_at is None else sentinel.heard_at
            if self._clock() - since > LONG_SILENT:
                what = "has never answered" if sentinel.heard_at is None else "is silent for long"
                found.append(f"{sentinel.host} {what}: is it still there?")
        return " · ".join(found)


def _target_or_none(host: str) -> Target | None:
    try:
        return target(host)
    except OSError:
        return None


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text))
