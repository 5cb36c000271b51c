"""Servers and clients that are killed, or stand still, in every phase."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .scenario import (
    AFTER,
    SLACK,
    Goes,
    Host,
    Layout,
    Need,
    Phase,
    Returns,
    Scenario,
    Site,
    Stays,
    Tells,
    Word,
    goes,
    returns,
)
from .waiting import LAYOUT as WAITING
from .waiting import NEEDS as WAITS
from .waiting import WEB_GOES

if TYPE_CHECKING:
    from collections.abc import Callable

    Play = Callable[[Site], None]

LONG = 10.0
LASTS = Layout((Host("nas", commands=("last",)),))
RECOVERS = frozenset({Need.RECOVERY})
KEEPS = frozenset({Need.RESUMED})
LOST = Tells("nas", Word.CONTACT_LOST)
CANCELLED = Tells("nas", Word.CANCELLED)


def counting(who: str = "nas", phase: Phase = Phase.COUNTING) -> Play:
    def play(site: Site) -> None:
        site.mains(good=False)
        site.reaches(who, phase)

    return play


def killed(name: str, before: Play, *, again: bool = False, away: float = 0.0) -> Play:
    def play(site: Site) -> None:
        before(site)
        site.kill(name)
        if again:
            site.wait(away)
            site.start(name)

    return play


def paused(name: str, before: Play, seconds: float | None = None) -> Play:
    def play(site: Site) -> None:
        before(site)
        site.pause(name)
        if seconds is not None:
            site.wait(seconds)
            site.resume(name)

    return play


def then_outage(play: Play) -> Play:
    def whole(site: Site) -> None:
        play(site)
        site.mains(good=False)

    return whole


def nothing(site: Site) -> None:
    del site


def server_dead_before(site: Site) -> None:
    site.kill("pi")
    site.hears("nas", Word.CONTACT_LOST)
    site.mains(good=False)


def server_back_in_the_outage(site: Site) -> None:
    server_dead_before(site)
    site.wait(1)
    site.start("pi")


def client_dead_before(site: Site) -> None:
    site.kill("nas")
    site.mains(good=False)
    site.wait(1)
    site.start("nas")


def stands_still_over(name: str, *, loss: bool, away: float) -> Play:
    """Stop `name` over the loss of the mains, or over their return."""

    def play(site: Site) -> None:
        if not loss:
            site.mains(good=False)
            site.reaches("nas", Phase.COUNTING)
        site.pause(name)
        site.mains(good=not loss)
        site.wait(away)
        site.resume(name)

    return play


def server_and_client_restarted(site: Site) -> None:
    site.mains(good=False)
    site.reaches("nas", Phase.COUNTING)
    site.kill("pi")
    site.wait(0.5)
    site.kill("nas")
    site.start("nas")


def stops_often(site: Site) -> None:
    site.mains(good=False)
    site.reaches("nas", Phase.COUNTING)
    for _ in range(8):
        site.pause("nas")
        site.wait(0.5)
        site.resume("nas")
        site.wait(0.3)


def recovery(fault: Play) -> Play:
    """Lose the mains until the host is down; give them back, let it be woken in vain, and fault."""

    def play(site: Site) -> None:
        site.keep_off("nas", off=True)
        site.mains(good=False)
        goes(site)
        site.mains(good=True)
        site.recovering("nas")
        fault(site)
        site.keep_off("nas", off=False)

    return play


def died_with_the_mains_away(site: Site) -> None:
    site.mains(good=False)
    goes(site)
    site.kill("pi")
    site.mains(good=True)
    site.start("pi")


def booted(fault: Play) -> Play:
    """Fault a host that has just been brought back."""

    def play(site: Site) -> None:
        site.mains(good=False)
        goes(site)
        site.mains(good=True)
        returns(site)
        fault(site)
        site.wait(3)

    return play


def returns_in_the_wait(site: Site) -> None:
    site.mains(good=False)
    site.reaches("web", Phase.WAITING)
    site.pause("web")
    site.mains(good=True)
    site.wait(6)
    site.resume("web")


IN_THE_WAIT = counting("web", Phase.WAITING)
AT_THE_END = counting(phase=Phase.COMMITTED)
LAST_GOES = Goes(at=AFTER + 2)

SERVER = (
    Scenario(
        "server-killed-before",
        "server killed before the outage, not started again",
        server_dead_before,
        (Stays(), LOST),
    ),
    Scenario(
        "server-killed-idle",
        "server killed before the outage, started in it",
        server_back_in_the_outage,
        (Goes(slack=SLACK + 8),),
    ),
    Scenario(
        "server-killed-counting",
        "server killed while hosts count",
        killed("pi", counting()),
        (Goes(), LOST),
    ),
    Scenario(
        "server-restarted-counting",
        "server killed while hosts count, and started again",
        killed("pi", counting(), again=True),
        (Goes(),),
    ),
    Scenario(
        "server-killed-waiting",
        "server killed while a host waits",
        killed("pi", IN_THE_WAIT),
        (WEB_GOES,),
        WAITING,
        WAITS,
    ),
    Scenario(
        "server-killed-committed",
        "server killed while a host runs its commands",
        killed("pi", AT_THE_END),
        (LAST_GOES,),
        LASTS,
        rare=True,
    ),
    Scenario(
        "server-killed-recovery",
        "server killed and started while it wakes a host",
        recovery(killed("pi", nothing, again=True)),
        (Goes(), Returns()),
        needs=RECOVERS,
    ),
    Scenario(
        "server-killed-down",
        "server killed when hosts are down; mains back; started",
        died_with_the_mains_away,
        (Goes(), Returns()),
        needs=RECOVERS,
    ),
    Scenario(
        "server-stopped-before",
        "server stands still from before the outage on",
        then_outage(paused("pi", nothing)),
        (Stays(), LOST),
    ),
    Scenario(
        "server-stopped-idle",
        "server stands still over the loss, for 3 s",
        stands_still_over("pi", loss=True, away=3),
        (Goes(slack=SLACK + 4),),
        rare=True,
    ),
    Scenario(
        "server-stopped-counting",
        "server stands still while hosts count",
        paused("pi", counting()),
        (Goes(), LOST),
    ),
    Scenario(
        "server-stopped-return",
        "server stands still over the return, for 2 s",
        stands_still_over("pi", loss=False, away=2),
        (Stays(until=LONG + 3), CANCELLED),
        Layout(after=LONG),
    ),
    Scenario(
        "server-stopped-waiting",
        "server stands still while a host waits",
        paused("pi", IN_THE_WAIT),
        (WEB_GOES,),
        WAITING,
        WAITS,
        rare=True,
    ),
    Scenario(
        "server-stopped-committed",
        "server stands still while a host runs its commands",
        paused("pi", AT_THE_END),
        (LAST_GOES,),
        LASTS,
        rare=True,
    ),
    Scenario(
        "server-stopped-recovery",
        "server stands still for 3 s while it wakes a host",
        recovery(paused("pi", nothing, 3)),
        (Goes(), Returns()),
        needs=RECOVERS,
        rare=True,
    ),
)

CLIENT = (
    Scenario(
        "client-killed-idle",
        "client killed before the outage, started in it",
        client_dead_before,
        (Goes(),),
    ),
    Scenario(
        "client-killed-counting",
        "client killed while it counts, and started",
        killed("nas", counting(), again=True, away=0.5),
        (Goes(),),
    ),
    Scenario(
        "client-killed-alone",
        "client killed while it counts, and started, with the server dead",
        server_and_client_restarted,
        (Goes(),),
        needs=KEEPS,
    ),
    Scenario(
        "client-killed-waiting",
        "client killed while it waits, and started",
        killed("web", IN_THE_WAIT, again=True),
        (WEB_GOES,),
        WAITING,
        WAITS,
    ),
    Scenario(
        "client-killed-committed",
        "client killed while its commands run, and started",
        killed("nas", AT_THE_END, again=True),
        (LAST_GOES,),
        LASTS,
    ),
    Scenario(
        "client-killed-recovery",
        "client killed right after its host has been brought back",
        booted(killed("nas", nothing, again=True)),
        (Goes(), Returns()),
        needs=RECOVERS,
        rare=True,
    ),
    Scenario(
        "client-stopped-idle",
        "client stands still over the loss, for 2 s",
        stands_still_over("nas", loss=True, away=2),
        (Goes(),),
    ),
    Scenario(
        "client-stopped-often",
        "client stands still eight times while it counts",
        stops_often,
        (Goes(slack=SLACK + 2),),
    ),
    Scenario(
        "client-stopped-deadline",
        "client stands still over its deadline",
        paused("nas", counting(), 6),
        (Goes(at=6),),
    ),
    Scenario(
        "client-stopped-return",
        "client stands still over return and deadline",
        stands_still_over("nas", loss=False, away=6),
        (Stays(until=16), CANCELLED),
    ),
    Scenario(
        "client-stopped-waiting",
        "client stands still over the return and the wait's end",
        returns_in_the_wait,
        (Stays("web", until=18),),
        WAITING,
        WAITS,
    ),
    Scenario(
        "client-stopped-committed",
        "client stands still while its commands run",
        paused("nas", AT_THE_END),
        (LAST_GOES,),
        LASTS,
        rare=True,
    ),
    Scenario(
        "client-stopped-recovery",
        "client of a host just brought back stands still for 3 s",
        booted(paused("nas", nothing, 3)),
        (Goes(), Returns()),
        needs=RECOVERS,
        rare=True,
    ),
)

SCENARIOS = (*SERVER, *CLIENT)
