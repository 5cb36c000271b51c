"""Asking a host that hung up for a sign of life.

| it                                                  | what comes of it                          |
|-----------------------------------------------------|-------------------------------------------|
| answers a ping, or a TCP connection (or refuses it) | answered; asked so at first from then on  |
| does not, and has answered so before                | silent                                    |
| does not, never did, and its ARP entry has failed   | silent                                    |
| does not, never did, and its ARP entry is good      | unsure: the entry may be some 50 s old    |
| does not, never did, and is behind a router         | mute: it may be a firewall                |
| can't be asked, or our own cable is out             | unsure                                    |

A client on the server's own host can't be told from it: hung up, it counts as silent.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from powmonman.core.presence import Answer
from powmonman.net import knock
from powmonman.net.link import link_to, neighbour, target
from powmonman.service.clock import boottime

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from powmonman.net.link import Target

PATIENCE = 1.0
AT_ONCE = 64
LOOPBACK = "lo"
OWN = "no connection from this very host"


@dataclass(frozen=True)
class Asked:
    """What came of asking one host.

    Attributes:
        how: The way in which it answered, or what its silence was, in words.
        sent: CLOCK_BOOTTIME when it was asked.
        until: The same when the answer was there, or given up.
        way: The way in which it is known to answer; None: none.
    """

    answer: Answer
    how: str
    sent: float
    until: float
    way: int | None = None


async def ask(address: str, way: int | None) -> Asked:
    """Ask the host at `address`, which is known to answer by `way`; never raises, takes 1 s."""
    sent = boottime()
    try:
        answer, how, way = await _ask(address, way)
    except OSError as error:
        answer, how = Answer.UNSURE, (error.strerror or str(error)).lower()
    return Asked(answer, how, sent, boottime(), way)


async def ask_all(
    hosts: Mapping[str, tuple[str, int | None]],
    ask_one: Callable[[str, int | None], Awaitable[Asked]] = ask,
) -> dict[str, Asked]:
    """Ask hosts, given as address and way by name, `AT_ONCE` at the same time."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def in_turn(address: str, way: int | None) -> Asked:
        async with turns:
            return await ask_one(address, way)

    found = await asyncio.gather(*(in_turn(*where) for where in hosts.values()))
    return dict(zip(hosts, found, strict=True))


async def _ask(address: str, way: int | None) -> tuple[Answer, str, int | None]:
    """Raises OSError where it can't be asked."""
    to = target(address)
    link = link_to(to)
    if link.interface == LOOPBACK:
        return Answer.SILENT, OWN, way
    if not link.up:
        return Answer.UNSURE, f"the link of {link.interface} is down", way
    first = knock.ICMP if way is None else way
    heard = await knock.ask(to, first, knock.WAYS, PATIENCE)
    if heard is not None:
        return Answer.ANSWERED, _named(heard), heard
    return *_silence(to, way), way


def _silence(to: Target, way: int | None) -> tuple[Answer, str]:
    """Return what the silence of a host is worth that is known to answer by `way`."""
    near = neighbour(to)
    if way is not None:
        arp = " and ARP" if near is False else ""
        return Answer.SILENT, f"no answer to {_named(way)}{arp}"
    if near is None:
        return Answer.MUTE, "no answer to ping"
    if near:
        return Answer.UNSURE, "no answer to ping, but perhaps to ARP"
    return Answer.SILENT, "no answer to ARP"


def _named(way: int) -> str:
    return "ping" if way == knock.ICMP else f"TCP port {way}"
