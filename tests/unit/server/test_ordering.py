"""Whom the server asks, whom it tells, and what it finds wrong with the order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from powmonman.config.order_keys import Order, Place
from powmonman.core.forecast import Battery
from powmonman.core.messages import Hello, Policy, Status, UpsNews
from powmonman.core.power import PowerState
from powmonman.core.presence import Answer
from powmonman.net.tls import Peer
from powmonman.server.budget import Pack
from powmonman.server.ordering import Ordering
from powmonman.server.prober import Asked, ask, ask_all
from powmonman.server.roster import Roster

OUTAGE = "o1"


class Site:
    """A server's ordering, hosts that answer as they are told to, and a clock."""

    def __init__(self, runtime: float = 1200.0, *, known: bool = True) -> None:
        order = Order(hosts={"late": Place(wait_for=("web",))})
        self.roster = Roster(["nas", "web", "late"], order)
        self.active = True
        self.told: list[list[str]] = []
        self.asked: list[str] = []
        self.recorded: list[tuple[str, str, str]] = []
        self.answers: dict[str, Answer] = {}
        self.time = 1000.0
        news = UpsNews(PowerState.ON_MAINS)
        self.packs = {"rack": Pack(Battery(news, runtime, 2.0), known)}
        self.ordering = Ordering(
            self.roster,
            active=lambda: self.active,
            tell=lambda names: self.told.append(list(names)),
            found_down=lambda *found: self.recorded.append(found[:3]),
            packs=lambda: self.packs,
            policy=Policy,
            ask_one=self.ask,
        )

    async def ask(self, address: str, way: int | None) -> Asked:
        self.asked.append(address)
        answer = self.answers.get(address, Answer.ANSWERED)
        way = 0 if answer is Answer.ANSWERED else way
        return Asked(answer, "no answer to ping", self.time, self.time + 1, way)

    def joins(self, name: str, **hello: Any) -> None:
        peer = Peer(name, "f" * 64, expired=False)
        told = Hello(nonce=1, boot_id="b", **hello)
        self.roster.arrived(peer, f"at {name}", told, self.time)
        self.ordering.look([name])

    def commits(self, name: str) -> None:
        self.roster.said(name, Status("committed", outage=OUTAGE), self.time)
        self.ordering.look([name])

    def leaves(self, name: str) -> None:
        self.roster.left(name, self.time)
        self.ordering.look([name])

    def dies(self, name: str) -> None:
        self.leaves(name)
        self.answers[f"at {name}"] = Answer.SILENT

    def passes(self, seconds: int) -> None:
        for _ in range(seconds):
            asyncio.run(self.ordering._round(self.time))
            self.time += 1


@pytest.fixture
def site() -> Site:
    site = Site()
    for name, waits in (("nas", ("web",)), ("web", ())):
        site.joins(name, wait_for=waits)
    return site


def test_who_waits_is_told_at_once_when_the_last_one_is_down(site: Site) -> None:
    site.commits("web")
    site.dies("web")
    site.passes(4)
    assert site.told == []
    site.passes(1)
    assert site.told == [["late", "nas"]]
    assert site.roster.still_up("nas") == ()
    site.passes(10)
    assert len(site.told) == 1
    why = "committed, hung up, no answer to ping for 5 s"
    assert site.recorded == [("web", OUTAGE, why)]


def test_who_waits_is_told_when_a_host_is_not_down_after_all(site: Site) -> None:
    site.commits("web")
    site.dies("web")
    site.passes(6)
    site.answers["at web"] = Answer.ANSWERED
    site.passes(1)
    assert site.told == [["late", "nas"]] * 2
    assert site.roster.still_up("nas") == ("web",)


def test_who_goes_down_after_a_quiet_while_is_asked_all_the_same(site: Site) -> None:
    site.active = False
    site.passes(2)
    site.asked.clear()
    site.commits("nas")
    site.dies("nas")
    site.passes(1)
    assert site.asked == ["at nas"]


def test_a_host_that_comes_again_is_not_down(site: Site) -> None:
    site.commits("web")
    site.dies("web")
    site.passes(6)
    site.joins("web")
    assert len(site.told) == 2


def test_a_host_that_was_killed_is_down_much_later(site: Site) -> None:
    site.dies("web")
    site.passes(59)
    assert site.told == []
    site.passes(1)
    assert site.roster.down == {"web": "gone without a commit, no answer to ping for 60 s"}


def test_a_host_that_hung_up_and_answers_is_not_down(site: Site) -> None:
    site.commits("web")
    site.leaves("web")
    site.passes(200)
    assert site.roster.down == {}


def test_nobody_who_hung_up_is_asked_in_peace(site: Site) -> None:
    site.dies("web")
    site.active = False
    site.passes(100)
    assert site.asked == []


def test_who_has_committed_is_asked_until_it_is_down_though_nobody_waits(site: Site) -> None:
    site.dies("web")
    site.commits("nas")
    site.dies("nas")
    site.active = False
    site.passes(20)
    assert site.asked == ["at nas"] * 5
    assert list(site.roster.down) == ["nas"]


def test_how_a_host_answers_is_learned_while_it_is_there(site: Site) -> None:
    """In peace too: in an outage it may be gone before it is asked."""
    site.active = False
    site.answers["at web"] = Answer.MUTE
    site.passes(119)
    assert site.asked == ["at web"] * 2
    site.active = True
    site.passes(30)
    assert len(site.asked) == 5
    site.answers["at web"] = Answer.ANSWERED
    site.passes(30)
    assert len(site.asked) == 6
    assert site.roster.hosts["web"].way == 0


def test_a_rehearsed_commit_lets_the_others_go_on(site: Site) -> None:
    site.joins("web", dry_run=True)
    site.commits("web")
    assert site.told == [["late", "nas"]]
    assert site.recorded == []


def test_an_error_that_nobody_thought_of_is_not_the_end(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rounds: list[float] = []
    twice = asyncio.Event()

    async def broken(now: float) -> None:
        rounds.append(now)
        if len(rounds) == 2:
            twice.set()
        raise ZeroDivisionError

    async def play() -> None:
        task = asyncio.create_task(site.ordering.run())
        await twice.wait()
        task.cancel()

    monkeypatch.setattr(site.ordering, "_round", broken)
    monkeypatch.setattr("powmonman.server.ordering.ASK_EVERY", 0.1)
    asyncio.run(play())
    assert "order goes on" in caplog.text


def test_a_circle_is_logged_once_and_named(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.joins("web", wait_for=("nas",))
    for _ in range(3):
        site.ordering.check()
    assert [record.getMessage() for record in caplog.records] == [
        "order: a circle: nas -> web -> nas: that wait ends by its timeout only"
    ]


def test_waits_that_nobody_can_end_are_named(site: Site) -> None:
    site.joins("nas", wait_for=("wbe", "nas", "late"))
    site.joins("web", wait_for=())
    site.ordering.check()
    unseen = "nobody can tell whether it is down, so that wait ends by its timeout only"
    assert site.ordering.warnings == [
        "nas waits for itself: that wait ends by its timeout only",
        "nas waits for wbe, which nobody knows: that wait ends by its timeout only",
        f"nas waits for late, which has never been connected: {unseen}",
    ]


def test_a_wait_in_vain_is_named(site: Site) -> None:
    site.joins("web", after=1100.0)
    site.ordering.check()
    (warning,) = site.ordering.warnings
    assert warning == (
        "nas waits for web in vain: that host goes 1100 s after the loss, and nas waits no longer "
        "than 300 s"
    )


def test_a_chain_that_does_not_fit_is_named_with_its_sum() -> None:
    site = Site(runtime=900.0)
    site.joins("web", shutdown_takes=250.0)
    site.joins("nas", wait_for=("web",))
    site.ordering.check()
    (warning,) = site.ordering.warnings
    assert warning == (
        "nas would be down 915 s after the loss, but rack lasts 900 s: nas waits for web "
        "(a shutdown of nas is taken to last 60 s)"
    )
    site.packs = {"rack": Pack(Battery(UpsNews(PowerState.ON_MAINS), 920.0, 2.0), known=True)}
    site.ordering.check()
    assert site.ordering.warnings == []


def test_what_an_outage_has_spent_is_no_ground_for_a_warning() -> None:
    site = Site(runtime=1000.0)
    news = UpsNews(PowerState.ON_MAINS, spent=900.0)
    site.packs = {"rack": Pack(Battery(news, 1000.0, 2.0), known=True)}
    site.joins("web")
    site.joins("nas", wait_for=("web",))
    site.ordering.check()
    assert site.ordering.warnings == []
    assert site.ordering.report(site.ordering.budget())["too_late"] != []


def test_of_a_single_host_guesses_alone_are_no_ground_for_a_warning() -> None:
    site = Site(runtime=620.0, known=False)
    site.joins("web")
    site.ordering.check()
    assert site.ordering.warnings == []
    site.joins("web", shutdown_takes=45.0)
    site.ordering.check()
    assert site.ordering.warnings == [
        "web would be down 645 s after the loss, but rack lasts 620 s (assumed)"
    ]


def test_the_report_tells_the_order_and_what_it_takes(site: Site) -> None:
    site.joins("web", shutdown_takes=30.0)
    budget = site.ordering.budget()
    report = site.ordering.report(budget)
    assert report["levels"] == [("web",), ("late", "nas")]
    assert (report["critical"], report["down"]) == (("web", "nas"), 695.0)
    assert (report["battery_ends"], report["too_late"]) == (1200.0, [])
    assert budget.row("nas") == {
        "commits": 635.0,
        "down": 695.0,
        "after": "web",
        "times_out": False,
        "takes": 60.0,
        "measured": False,
        "battery_ends": 1200.0,
    }
    assert budget.row("late") is None


def test_the_servers_own_address_answers_for_nobody() -> None:
    """A ping to itself is always answered, though the client there may be gone."""
    asked = asyncio.run(ask("127.0.0.1", None))
    assert (asked.answer, asked.how) == (Answer.SILENT, "no connection from this very host")


@pytest.mark.parametrize("address", ["", "no address", "fe80::1%nowhere0"])
def test_who_cannot_be_asked_is_not_silent(address: str) -> None:
    assert asyncio.run(ask(address, None)).answer is Answer.UNSURE


def test_a_large_fleet_is_asked_some_at_a_time() -> None:
    at_once = most = 0

    async def slow(_: str, way: int | None) -> Asked:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.001)
        at_once -= 1
        return Asked(Answer.SILENT, "ping", 0.0, 1.0, way)

    hosts = {f"h{number}": (f"a{number}", None) for number in range(300)}
    assert len(asyncio.run(ask_all(hosts, slow))) == 300
    assert most == 64


def test_the_order_is_added_up_only_in_peace_and_when_something_has_changed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[int] = []
    real = site.ordering.check

    def check() -> None:
        checks.append(1)
        real()

    monkeypatch.setattr(site.ordering, "check", check)
    monkeypatch.setattr("powmonman.server.ordering.CHECK_EVERY", 0.0)
    site.ordering._check_at = 0.0
    site.passes(1)
    assert checks == []
    site.active = False
    site.passes(3)
    assert len(checks) == 1
    site.joins("nas", wait_for=("web",), shutdown_takes=100.0)
    site.passes(3)
    assert len(checks) == 2
