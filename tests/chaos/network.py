"""What goes wrong between the hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .scenario import (
    SLACK,
    Goes,
    Host,
    Layout,
    Need,
    Phase,
    Scenario,
    Site,
    Stays,
    Tells,
    Word,
)
from .waiting import LAYOUT as WAITING
from .waiting import NEEDS as WAITS
from .waiting import WEB_GOES

if TYPE_CHECKING:
    from collections.abc import Callable

    Play = Callable[[Site], None]

TWO = Layout((Host("nas"), Host("web")))
LONG = 16.0


def dead_before(name: str, who: str = "nas") -> Play:
    def play(site: Site) -> None:
        site.link(name, up=False)
        site.hears(who, Word.CONTACT_LOST)
        site.mains(good=False)

    return play


def dead_at_the_moment(name: str) -> Play:
    def play(site: Site) -> None:
        # In this order: on a slow machine it takes longer to pull a cable than to confirm a loss.
        site.link(name, up=False)
        site.mains(good=False)

    return play


def dead_in(phase: Phase, name: str, who: str = "nas") -> Play:
    def play(site: Site) -> None:
        site.mains(good=False)
        site.reaches(who, phase)
        site.link(name, up=False)

    return play


def back_in_time(site: Site) -> None:
    site.mains(good=False)
    site.reaches("nas", Phase.COUNTING)
    site.link("switch", up=False)
    site.wait(1)
    site.mains(good=True)
    site.wait(1)
    site.link("switch", up=True)


def back_too_late(site: Site) -> None:
    site.mains(good=False)
    site.reaches("nas", Phase.COUNTING)
    site.link("switch", up=False)
    site.wait(1)
    site.mains(good=True)


def poor(*, outage: bool = True, returns: bool = False, early: bool = True, **figures: int) -> Play:
    def play(site: Site) -> None:
        if early:
            site.poor_link("nas", **figures)
            site.wait(3)
        if not outage:
            site.wait(6)
            return
        site.mains(good=False)
        if not early or returns:
            site.reaches("nas", Phase.COUNTING)
        if not early:
            site.poor_link("nas", **figures)
        if returns:
            site.mains(good=True)

    return play


def dns_hangs(*, restart: Phase | None) -> Play:
    def play(site: Site) -> None:
        site.hang_dns()
        if restart is Phase.IDLE:
            site.kill("pi")
            site.start("pi")
        site.mains(good=False)
        if restart is Phase.COUNTING:
            site.reaches("nas", Phase.COUNTING)
            site.kill("pi")

    return play


def new_address(*, returns: bool) -> Play:
    def play(site: Site) -> None:
        site.mains(good=False)
        site.reaches("nas", Phase.COUNTING)
        site.new_address("pi")
        if returns:
            site.wait(1)
            site.mains(good=True)

    return play


LOST = Tells("nas", Word.CONTACT_LOST)
CANCELLED = Tells("nas", Word.CANCELLED)
BY_NAME = Layout((Host("nas", by_name=True),))
ON_THE_LAN = Layout((Host("nas", servers=()),), after=LONG)
NAMED = Layout((Host("nas", by_name=True),), after=LONG)

SCENARIOS = (
    Scenario(
        "switch-dead-before",
        "switch dead before the outage",
        dead_before("switch"),
        (Stays(), LOST),
    ),
    Scenario(
        "switch-dead-at-the-moment",
        "switch dead at the moment of the outage",
        dead_at_the_moment("switch"),
        (Stays(), LOST),
    ),
    Scenario(
        "switch-dead-counting",
        "switch dead while hosts count",
        dead_in(Phase.COUNTING, "switch"),
        (Goes(), LOST),
    ),
    Scenario(
        "switch-dead-waiting",
        "switch dead while a host waits for another",
        dead_in(Phase.WAITING, "switch", "web"),
        (WEB_GOES,),
        WAITING,
        WAITS,
        rare=True,
    ),
    Scenario(
        "switch-back-in-time",
        "switch dead while hosts count; mains back, then the switch",
        back_in_time,
        (Stays(until=LONG + 3), CANCELLED),
        Layout(after=LONG),
    ),
    Scenario(
        "switch-back-too-late",
        "mains back while the switch is dead: nobody can know",
        back_too_late,
        (Goes(),),
    ),
    Scenario(
        "link-down-before",
        "one host's link down before the outage",
        dead_before("nas"),
        (Stays(), LOST, Goes("web")),
        TWO,
    ),
    Scenario(
        "link-down-at-the-moment",
        "one host's link down at the moment of the outage",
        dead_at_the_moment("nas"),
        (Stays(), LOST, Goes("web")),
        TWO,
        rare=True,
    ),
    Scenario(
        "link-down-counting",
        "one host's link down while it counts",
        dead_in(Phase.COUNTING, "nas"),
        (Goes(), Goes("web")),
        TWO,
        rare=True,
    ),
    Scenario(
        "link-down-waiting",
        "one host's link down while it waits",
        dead_in(Phase.WAITING, "web", "web"),
        (WEB_GOES,),
        WAITING,
        WAITS,
        rare=True,
    ),
    Scenario(
        "pi-link-down-before",
        "the Pi's link down before the outage",
        dead_before("pi"),
        (Stays(), LOST),
        rare=True,
    ),
    Scenario(
        "pi-link-down-at-the-moment",
        "the Pi's link down at the moment of the outage",
        dead_at_the_moment("pi"),
        (Stays(), LOST),
    ),
    Scenario(
        "pi-link-down-counting",
        "the Pi's link down while hosts count",
        dead_in(Phase.COUNTING, "pi"),
        (Goes(), LOST),
    ),
    Scenario(
        "pi-link-down-waiting",
        "the Pi's link down while a host waits",
        dead_in(Phase.WAITING, "pi", "web"),
        (WEB_GOES,),
        WAITING,
        WAITS,
        rare=True,
    ),
    Scenario(
        "loss-on-mains",
        "30 % of the packets lost, mains good",
        poor(outage=False, loss=30),
        (Stays(until=0),),
    ),
    Scenario(
        "loss-before",
        "30 % of the packets lost from before the outage on",
        poor(loss=30),
        (Goes(slack=SLACK + 10),),
    ),
    Scenario(
        "loss-counting",
        "30 % of the packets lost while it counts",
        poor(early=False, loss=30),
        (Goes(),),
    ),
    Scenario("delay-before", "300 ± 100 ms of delay", poor(delay=300, jitter=100), (Goes(),)),
    Scenario(
        "delay-return",
        "300 ± 100 ms of delay, a fifth doubled; mains back at once",
        poor(returns=True, delay=300, jitter=100, duplicate=20),
        (Stays(until=LONG + 3), CANCELLED),
        Layout(after=LONG),
    ),
    Scenario("duplicates", "every second packet doubled", poor(duplicate=50), (Goes(),), rare=True),
    Scenario(
        "dns-hangs",
        "DNS hangs from before the outage on",
        dns_hangs(restart=None),
        (Goes(),),
        BY_NAME,
        rare=True,
    ),
    Scenario(
        "dns-hangs-restart",
        "DNS hangs and the server is restarted, then the outage",
        dns_hangs(restart=Phase.IDLE),
        (Goes(slack=SLACK + 15),),
        BY_NAME,
    ),
    Scenario(
        "dns-hangs-counting",
        "DNS hangs and the server dies while hosts count",
        dns_hangs(restart=Phase.COUNTING),
        (Goes(),),
        BY_NAME,
        rare=True,
    ),
    Scenario(
        "new-address",
        "the Pi gets a new address while hosts count",
        new_address(returns=False),
        (Goes(),),
    ),
    Scenario(
        "new-address-return",
        "the Pi gets a new address, found on the LAN; mains back",
        new_address(returns=True),
        (Stays(until=LONG + 3), CANCELLED),
        ON_THE_LAN,
        frozenset({Need.DISCOVERY}),
    ),
    Scenario(
        "new-address-dns",
        "the Pi gets a new address, found by DNS; mains back",
        new_address(returns=True),
        (Stays(until=LONG + 3), CANCELLED),
        NAMED,
        rare=True,
    ),
)
