"""Mains that come and go, sensors that talk nonsense, commands that don't do what they should."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .scenario import (
    AFTER,
    CONFIRM,
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

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = 10.0
RECOVERS = frozenset({Need.RECOVERY})
CANCELLED = Tells("nas", Word.CANCELLED)
UNKNOWN = Tells("nas", Word.POWER_UNKNOWN)


def outage(site: Site) -> None:
    site.mains(good=False)


def back_before(site: Site) -> None:
    site.mains(good=False)
    # Mains are good when they have been for as long as it takes to confirm them.
    site.until(LONG - 1 - CONFIRM)
    site.mains(good=True)


def back_after(site: Site) -> None:
    site.mains(good=False)
    site.reaches("nas", Phase.COMMITTED)
    site.wait(1)
    site.mains(good=True)


def flaps(site: Site) -> None:
    for _ in range(12):
        site.mains(good=False)
        site.wait(1)
        if site.runs("nas"):
            return
        site.mains(good=True)
        site.wait(0.6)
    site.mains(good=False)


def blips(site: Site) -> None:
    for _ in range(15):
        site.mains(good=False)
        site.wait(0.1)
        site.mains(good=True)
        site.wait(0.4)


def garbage(*, loss: bool, ends: bool = False) -> Callable[[Site], None]:
    def play(site: Site) -> None:
        if loss:
            site.mains(good=False)
            site.reaches("nas", Phase.COUNTING)
        site.garble_sensor()
        site.hears("nas", Word.POWER_UNKNOWN)
        if ends:
            site.mains(good=True)

    return play


def second_outage(site: Site) -> None:
    site.mains(good=False)
    goes(site)
    site.mains(good=True)
    returns(site)
    site.mains(good=False)


def second_outage_before_it_is_back(site: Site) -> None:
    site.keep_off("nas", off=True)
    site.mains(good=False)
    goes(site)
    site.mains(good=True)
    site.recovering("nas")
    site.mains(good=False)
    site.wait(2)
    site.keep_off("nas", off=False)
    site.mains(good=True)


def other_server(*, ends: bool) -> Callable[[Site], None]:
    def play(site: Site) -> None:
        site.mains(good=False)
        site.reaches("nas", Phase.COUNTING)
        site.kill("pi")
        if ends:
            site.wait(1)
            site.mains(good=True)

    return play


def does(*commands: str, final: str = "work") -> Layout:
    return Layout((Host("nas", commands=commands, final=final),))


PAIR = (Host("nas", servers=("pi", "pi2")),)

MAINS = (
    Scenario(
        "outage",
        "an outage",
        outage,
        (Goes("nas"), Goes("web")),
        Layout((Host("nas"), Host("web"))),
    ),
    Scenario(
        "order",
        "an outage; one host waits until another is down",
        outage,
        (Goes("nas"), Goes("web", AFTER + 0.5, slack=8.0 + SLACK)),
        Layout((Host("nas"), Host("web", wait_for=("nas",)))),
        frozenset({Need.WAITING}),
    ),
    Scenario(
        "back-before",
        "mains back one second before the commit",
        back_before,
        (Stays(until=LONG + 5), CANCELLED),
        Layout(after=LONG),
    ),
    Scenario(
        "back-after",
        "mains back one second after the commit",
        back_after,
        (Goes(at=AFTER + 2), Returns()),
        does("last"),
        RECOVERS,
    ),
    Scenario("flapping", "mains flap: 1 s away, 0.6 s there", flaps, (Goes(slack=SLACK + 6),)),
    Scenario("blips", "15 blips of 0.1 s", blips, (Stays(until=8),)),
    Scenario(
        "garbage-counting",
        "the sensor talks nonsense while hosts count",
        garbage(loss=True),
        (Goes(), UNKNOWN),
    ),
    Scenario(
        "garbage-idle",
        "the sensor talks nonsense on mains",
        garbage(loss=False),
        (Stays(), UNKNOWN),
    ),
    Scenario(
        "garbage-return",
        "nonsense in the outage, then mains",
        garbage(loss=True, ends=True),
        (Stays(until=LONG + 3), CANCELLED),
        Layout(after=LONG),
        rare=True,
    ),
    Scenario(
        "second-outage",
        "mains lost again when a host is back",
        second_outage,
        (Goes(loss=1, at=1, slack=SLACK + 6, runs=2),),
        needs=RECOVERS,
    ),
    Scenario(
        "second-outage-waking",
        "mains lost again while a host is woken in vain",
        second_outage_before_it_is_back,
        (Returns(),),
        needs=RECOVERS,
    ),
    Scenario(
        "two-servers",
        "two servers; one dies in the outage",
        other_server(ends=False),
        (Goes(),),
        Layout(PAIR, ("pi", "pi2")),
        frozenset({Need.STANDBY}),
        rare=True,
    ),
    Scenario(
        "two-servers-return",
        "two servers, one dies in the outage; mains back",
        other_server(ends=True),
        (Stays(until=LONG + 4), CANCELLED),
        Layout(PAIR, ("pi", "pi2"), after=LONG),
        frozenset({Need.STANDBY}),
    ),
)

COMMANDS = (
    Scenario(
        "command-hangs",
        "a shutdown command hangs",
        outage,
        (Goes(at=AFTER + 1), Tells("nas", Word.KILLED_AFTER_TIMEOUT)),
        does("hang", "work"),
    ),
    Scenario(
        "command-fails",
        "a shutdown command fails, the next is missing",
        outage,
        (Goes(),),
        does("fail", "missing"),
    ),
    Scenario(
        "final-fails-once",
        "the final command fails once",
        outage,
        (Goes(at=AFTER + 4),),
        does(final="fail once"),
    ),
    Scenario(
        "final-missing",
        "the final command is missing",
        outage,
        (Stays(), Tells("nas", Word.FINAL_FAILED, within=30)),
        does(final="missing"),
        rare=True,
    ),
)

SCENARIOS = (*MAINS, *COMMANDS)
