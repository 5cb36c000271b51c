"""What goes wrong between the hosts."""

from __future__ import annotations

from .scenario import Goes, Phase, Scenario, Site, Stays, Tells, Word


def switch_dead_before(site: Site) -> None:
    site.link("switch", up=False)
    site.hears("nas", Word.CONTACT_LOST)
    site.mains(good=False)


def switch_dead_in_the_outage(site: Site) -> None:
    site.mains(good=False)
    site.reaches("nas", Phase.COUNTING)
    site.link("switch", up=False)


SCENARIOS = (
    Scenario(
        "switch-dead-before",
        "the switch loses power before the server knows of the outage",
        switch_dead_before,
        (Stays(), Tells("nas", Word.CONTACT_LOST)),
    ),
    Scenario(
        "switch-dead-counting",
        "the switch dies in the outage, while hosts count",
        switch_dead_in_the_outage,
        (Goes(),),
    ),
)
