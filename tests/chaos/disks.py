"""Disks that are full, or can only be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .scenario import SLACK, Goes, Need, Phase, Returns, Scenario, Site, Tells, Word, goes

if TYPE_CHECKING:
    from collections.abc import Callable

OWN = frozenset({Need.OWN_RECORD})
RECOVERS = OWN | {Need.RECOVERY}
LONG = 10.0


def fault(who: str, what: str, kill: str = "") -> Callable[[Site], None]:
    def play(site: Site) -> None:
        break_disk(site, who, what)
        site.mains(good=False)
        if kill:
            site.reaches("nas", Phase.COUNTING)
            site.kill(kill)
            site.start(kill)

    return play


def break_disk(site: Site, who: str, what: str) -> None:
    if what == "full":
        site.fill_disk(who)
    else:
        site.read_only(who)


def started_on_it(site: Site) -> None:
    site.read_only("pi")
    site.kill("pi")
    site.start("pi")
    site.mains(good=False)


def woken_all_the_same(what: str) -> Callable[[Site], None]:
    def play(site: Site) -> None:
        break_disk(site, "pi", what)
        site.mains(good=False)
        goes(site)
        site.mains(good=True)

    return play


TOLD = Tells("pi", Word.DISK)

SCENARIOS = (
    Scenario(
        "server-disk-full",
        "the server's disk and /run are full",
        woken_all_the_same("full"),
        (Goes(), TOLD, Returns()),
        needs=RECOVERS,
    ),
    Scenario(
        "server-read-only",
        "the server's /var is read-only",
        woken_all_the_same("read-only"),
        (Goes(), TOLD, Returns()),
        needs=RECOVERS,
        rare=True,
    ),
    Scenario(
        "server-read-only-start",
        "the server is started on a read-only /var",
        started_on_it,
        (Goes(slack=SLACK + 8), TOLD),
        needs=OWN,
    ),
    Scenario(
        "server-disk-full-restart",
        "disk and /run full; server restarted while hosts count",
        fault("pi", "full", "pi"),
        (Goes(),),
        needs=OWN,
        rare=True,
    ),
    Scenario(
        "client-disk-full",
        "a host's disk and /run are full",
        fault("nas", "full"),
        (Goes(),),
        needs=OWN,
    ),
    Scenario(
        "client-disk-full-restart",
        "a host's disk and /run are full, its client restarted while it counts",
        fault("nas", "full", "nas"),
        (Goes(slack=SLACK + 3),),
        needs=OWN,
    ),
    Scenario(
        "client-read-only",
        "a host's /var is read-only",
        fault("nas", "read-only"),
        (Goes(),),
        needs=OWN,
        rare=True,
    ),
    Scenario(
        "client-read-only-restart",
        "a host's /var is read-only, its client restarted while it counts",
        fault("nas", "read-only", "nas"),
        (Goes(),),
        needs=OWN,
        rare=True,
    ),
)
