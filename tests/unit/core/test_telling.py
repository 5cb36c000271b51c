"""What people are told of an outage, and that they are told it once."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from powmonman.core.events import Event, HostSeen, Kind, RecoverySeen, Seen, UpsSeen
from powmonman.core.host_telling import DOWN_AFTER
from powmonman.core.outage import UNSETTLED
from powmonman.core.power import PowerState
from powmonman.core.records import from_json, to_json
from powmonman.core.telling import CERTIFICATE_AGAIN, CERTIFICATE_NEAR, DAY, look
from powmonman.core.told import Rules, Told

ON_MAINS, ON_BATTERY, UNKNOWN = PowerState
WALL = 1_700_000_000.0
GOOD = UpsSeen(ON_MAINS)
OUT = UpsSeen(ON_BATTERY, outage="o1", charge=87.0, runtime=1500.0, voltage=12.9)
NO_IDEA = UpsSeen(UNKNOWN, reason="the wire is cut")


class Story:
    """One UPS `rack` and some hosts, looked at whenever something is said of them."""

    def __init__(self, **rules: Any) -> None:
        self.told = Told()
        self.rules = Rules(**rules)
        self.now = 1000.0
        self.wall = WALL
        self.ups = GOOD
        self.hosts: dict[str, HostSeen] = {}
        self.certificate_left: float | None = None
        self.recovery = RecoverySeen()
        self.order: tuple[str, ...] = ()
        self.events: list[Event] = []

    def look(self) -> list[Event]:
        hosts = tuple(self.hosts.values())
        rest = (self.certificate_left, self.order, self.recovery)
        seen = Seen({"rack": self.ups}, hosts, *rest)
        self.told, events = look(self.told, seen, self.rules, self.now, self.wall)
        self.events += events
        return events

    def sees(self, ups: UpsSeen | None = None, *, after: float = 1.0, **hosts: Any) -> list[str]:
        """Return the kinds of what is told, with the host where it is about one."""
        self.now += after
        self.wall += after
        if ups is not None:
            self.ups = ups
        for name, changes in hosts.items():
            self.hosts[name] = replace(self.hosts.get(name, HostSeen(name)), **changes)
        return [f"{e.kind} {e.host}".strip() for e in self.look()]

    def restarts(self) -> None:
        """Another process takes up what this one has written."""
        self.told = from_json(Told, json.loads(json.dumps(to_json(self.told.lasting()))))


@pytest.fixture
def story() -> Story:
    story = Story()
    here = {"connected": True, "phase": "idle", "boot_id": "b1", "after": 600.0}
    assert [] == story.sees(GOOD, nas=here, db=here)
    return story


def test_an_outage_is_told_at_its_beginning_and_at_its_end(story: Story) -> None:
    assert ["on_battery"] == story.sees(replace(OUT, age=2))
    assert [] == story.sees(replace(OUT, age=3))
    assert ["on_mains"] == story.sees(GOOD, after=5)
    assert [] == story.sees(GOOD)
    lost, back = story.events
    assert (87.0, 12.9, 1500.0) == (lost.charge, lost.voltage, lost.runtime)
    assert ("o1", 8.0, lost.since) == (back.outage, back.length, back.since)


def test_a_second_outage_is_told_again(story: Story) -> None:
    story.sees(OUT)
    story.sees(GOOD)
    assert ["on_battery"] == story.sees(replace(OUT, outage="o2"))


def test_power_back_without_an_outage_that_was_told_is_no_news(story: Story) -> None:
    assert [] == story.sees(NO_IDEA)
    assert [] == story.sees(GOOD)


def test_unknown_in_an_outage_does_not_end_it(story: Story) -> None:
    story.sees(OUT)
    assert [] == story.sees(replace(NO_IDEA, outage="o1", age=3))
    assert [] == story.sees(replace(OUT, age=4))
    assert ["on_mains"] == story.sees(GOOD)
    assert 5.0 == story.events[-1].length


def test_a_restart_in_an_outage_repeats_nothing_and_tells_the_end(story: Story) -> None:
    story.sees(OUT)
    story.restarts()
    assert [] == story.sees(UpsSeen(UNKNOWN, "o1", age=30, reason=UNSETTLED))
    assert [] == story.sees(replace(OUT, age=31))
    assert ["on_mains"] == story.sees(GOOD)
    assert 32.0 == story.events[-1].length


def test_an_outage_that_ended_with_the_servers_own_power_is_told_to_be_over(story: Story) -> None:
    """After a boot the record of the outage is gone; how long it was nobody knows."""
    story.sees(OUT)
    began = story.events[-1].since
    story.restarts()
    assert [] == story.sees(UpsSeen(UNKNOWN, reason=UNSETTLED))
    assert ["on_mains"] == story.sees(GOOD)
    assert (None, began) == (story.events[-1].length, story.events[-1].since)


def test_low_battery_is_told_once_an_outage_and_never_on_mains(story: Story) -> None:
    assert [] == story.sees(replace(GOOD, low_battery=True))
    assert ["on_battery"] == story.sees(OUT)
    low = replace(OUT, low_battery=True)
    assert ["low_battery"] == story.sees(low)
    story.restarts()
    assert [] == story.sees(low)
    story.sees(GOOD)
    assert ["on_battery", "low_battery"] == story.sees(replace(low, outage="o2"))


class TestCountdown:
    def test_a_milestone_is_told_once_and_names_the_first_host(self, story: Story) -> None:
        story.sees(OUT)
        counting = {"phase": "counting", "outage": "o1"}
        assert [] == story.sees(OUT, nas=counting | {"left": 301.0}, db=counting | {"left": 601.0})
        assert ["countdown nas"] == story.sees(OUT, nas={"left": 300.0})
        assert [] == story.sees(OUT, nas={"left": 299.0})
        assert (300.0, 300.0) == (story.events[-1].milestone, story.events[-1].left)

    def test_a_restart_neither_repeats_nor_forgets_one(self, story: Story) -> None:
        story.sees(OUT)
        story.sees(OUT, nas={"phase": "counting", "outage": "o1", "left": 290.0})
        story.restarts()
        assert [] == story.sees(OUT, nas={"left": 280.0})
        story.restarts()
        assert ["countdown nas"] == story.sees(OUT, nas={"left": 55.0})

    def test_a_deadline_that_jumps_past_several_is_told_as_one(self, story: Story) -> None:
        story.sees(OUT)
        story.sees(OUT, nas={"phase": "counting", "outage": "o1", "left": 500.0})
        assert ["countdown nas"] == story.sees(OUT, nas={"left": 10.0})
        assert 60.0 == story.events[-1].milestone

    def test_one_that_is_behind_when_the_outage_begins_is_not_told(self, story: Story) -> None:
        """What is told at the beginning says that there are four minutes."""
        story.sees(GOOD, nas={"after": 240.0})
        assert ["on_battery"] == story.sees(OUT)
        counting = {"phase": "counting", "outage": "o1", "left": 239.0}
        assert [] == story.sees(OUT, nas=counting)
        assert ["countdown nas"] == story.sees(OUT, nas={"left": 60.0})

    def test_a_host_that_means_it_comes_before_a_rehearsal(self, story: Story) -> None:
        story.sees(OUT)
        counting = {"phase": "counting", "outage": "o1"}
        desk = counting | {"left": 100.0, "dry_run": True}
        assert [] == story.sees(OUT, desk=desk, nas=counting | {"left": 400.0})

    def test_hosts_of_another_outage_do_not_count(self, story: Story) -> None:
        story.sees(OUT)
        assert [] == story.sees(OUT, nas={"phase": "counting", "outage": "x", "left": 10.0})


def test_the_hosts_of_an_event_are_listed_the_next_to_go_first(story: Story) -> None:
    story.sees(GOOD, nas={"after": 300.0})
    story.sees(replace(OUT, spent=20.0))
    lines = story.events[-1].hosts
    assert [("nas", 280.0), ("db", 580.0)] == [(line.name, line.left) for line in lines]


def test_hosts_on_another_ups_are_not_listed(story: Story) -> None:
    story.sees(GOOD, nas={"upses": ("desk",)})
    story.sees(OUT)
    assert ["db"] == [line.name for line in story.events[-1].hosts]


def test_a_large_fleet_is_listed_in_part(story: Story) -> None:
    hosts = {f"h{number}": {"connected": True} for number in range(48)}
    story.sees(OUT, **hosts)
    event = story.events[-1]
    assert (20, 30) == (len(event.hosts), event.more_hosts)


class TestHosts:
    def test_a_commit_and_its_end_are_told_once(self, story: Story) -> None:
        story.sees(OUT)
        gone = {"phase": "committed", "outage": "o1", "reason": "600 s of battery spent"}
        assert ["host_committed nas"] == story.sees(OUT, nas=gone)
        assert [] == story.sees(OUT)
        assert [] == story.sees(OUT, nas={"connected": False})
        assert ["host_down nas"] == story.sees(OUT, after=DOWN_AFTER)
        assert [] == story.sees(OUT, after=10_000)
        assert "600 s of battery spent" == story.events[-2].reason

    def test_a_restart_repeats_neither(self, story: Story) -> None:
        story.sees(OUT, nas={"phase": "committed", "outage": "o1"})
        story.restarts()
        assert [] == story.sees(OUT, nas={"phase": "unknown", "connected": False})
        assert [] == story.sees(OUT, nas={"phase": "unknown", "connected": True})
        assert [] == story.sees(OUT, nas={"phase": "committed"})
        assert [] == story.sees(OUT, nas={"connected": False})
        assert ["host_down nas"] == story.sees(OUT, after=DOWN_AFTER)
        story.restarts()
        assert [] == story.sees(OUT, nas={"phase": "unknown"}, after=100)
        assert [] == story.sees(OUT, after=100)

    def test_back_is_a_new_boot(self, story: Story) -> None:
        story.sees(OUT, nas={"phase": "committed", "outage": "o1"})
        story.sees(OUT, nas={"connected": False})
        story.sees(OUT, after=60)
        assert [] == story.sees(GOOD, nas={"connected": True})[1:]
        assert ["host_back nas"] == story.sees(GOOD, nas={"boot_id": "b2"})
        assert [] == story.sees(GOOD, nas={"phase": "idle"})
        assert story.events[-1].since == WALL + 63 - 60

    def test_what_the_roster_still_says_of_the_last_boot_is_no_second_commit(
        self, story: Story
    ) -> None:
        story.sees(OUT, nas={"phase": "committed", "outage": "o1"})
        assert ["host_back nas"] == story.sees(OUT, nas={"boot_id": "b2"})
        assert [] == story.sees(OUT)
        assert [] == story.sees(OUT, nas={"phase": "counting"})
        assert ["host_committed nas"] == story.sees(OUT, nas={"phase": "committed"})

    def test_where_boots_have_no_id_back_is_a_host_that_goes_on(self, story: Story) -> None:
        story.sees(GOOD, nas={"boot_id": ""})
        story.sees(OUT, nas={"phase": "committed"})
        story.sees(OUT, nas={"connected": False})
        story.sees(OUT, after=DOWN_AFTER)
        assert [] == story.sees(OUT, nas={"connected": True})
        assert ["host_back nas"] == story.sees(OUT, nas={"phase": "idle"})

    def test_a_rehearsal_is_told_as_one_and_takes_nothing_down(self, story: Story) -> None:
        story.sees(OUT, nas={"dry_run": True})
        assert ["host_committed nas"] == story.sees(OUT, nas={"phase": "committed"})
        assert story.events[-1].dry_run
        story.sees(GOOD, nas={"phase": "idle"})
        assert [] == story.sees(GOOD, nas={"connected": False})
        assert [] == story.sees(GOOD, after=DOWN_AFTER)

    def test_a_host_that_is_gone_for_long_on_mains_is_lost_and_found(self, story: Story) -> None:
        assert [] == story.sees(GOOD, nas={"connected": False})
        assert [] == story.sees(GOOD, after=299)
        assert ["host_lost nas"] == story.sees(GOOD, after=1)
        assert [] == story.sees(GOOD, after=10_000)
        story.restarts()
        assert [] == story.sees(GOOD, after=1000)
        assert ["host_back nas"] == story.sees(GOOD, nas={"connected": True})
        assert [] == story.sees(GOOD)

    @pytest.mark.parametrize("power", [OUT, NO_IDEA])
    def test_a_host_is_never_lost_while_its_power_is_not_on_mains(
        self, story: Story, power: UpsSeen
    ) -> None:
        story.sees(power, nas={"connected": False})
        assert not any("host_lost" in told for told in story.sees(power, after=10_000))
        story.sees(GOOD)
        assert [] == story.sees(GOOD, after=299)
        assert ["host_lost nas"] == story.sees(GOOD, after=2)

    def test_a_host_that_was_never_there_is_not_lost(self, story: Story) -> None:
        story.sees(GOOD, printer={"connected": False})
        assert [] == story.sees(GOOD, after=10_000)

    def test_a_host_that_went_away_while_the_server_was_down_is_lost(self, story: Story) -> None:
        story.restarts()
        story.sees(GOOD, nas={"connected": False, "phase": "unknown"})
        assert ["host_lost nas"] == story.sees(GOOD, after=300)

    def test_a_host_that_is_shut_down_is_not_lost_too(self, story: Story) -> None:
        story.sees(GOOD, nas={"phase": "committed"})
        story.sees(GOOD, nas={"connected": False})
        assert ["host_down nas"] == story.sees(GOOD, after=DOWN_AFTER)
        assert [] == story.sees(GOOD, after=10_000)

    def test_a_host_that_the_roster_forgot_in_a_restart_is_known_to_be_back(
        self, story: Story
    ) -> None:
        story.sees(OUT, nas={"phase": "committed"})
        nas = story.hosts.pop("nas")
        story.restarts()
        story.sees(GOOD)
        story.hosts["nas"] = replace(nas, boot_id="b2")
        assert ["host_back nas"] == story.sees(GOOD)


class TestSensor:
    def test_unknown_is_told_when_it_lasts_and_so_is_its_end(self, story: Story) -> None:
        assert [] == story.sees(NO_IDEA)
        assert [] == story.sees(NO_IDEA, after=9)
        assert ["sensor_unknown"] == story.sees(NO_IDEA, after=1)
        assert "the wire is cut" == story.events[-1].reason
        assert [] == story.sees(replace(NO_IDEA, reason="something else"), after=100)
        assert ["sensor_recovered"] == story.sees(GOOD)
        assert 111.0 == story.events[-1].length

    def test_a_short_one_is_not_told(self, story: Story) -> None:
        story.sees(NO_IDEA)
        assert [] == story.sees(GOOD, after=9)

    def test_a_restart_repeats_neither(self, story: Story) -> None:
        story.sees(NO_IDEA)
        story.sees(NO_IDEA, after=10)
        story.restarts()
        assert [] == story.sees(NO_IDEA, after=100)
        assert ["sensor_recovered"] == story.sees(GOOD)
        assert story.events[-1].length is None

    def test_a_server_that_starts_is_given_time_to_look(self) -> None:
        story = Story(unknown_after=0.0)
        unsettled = UpsSeen(UNKNOWN, reason=UNSETTLED)
        assert [] == story.sees(unsettled)
        assert ["sensor_unknown"] == story.sees(NO_IDEA)


class TestAdvice:
    def test_a_notice_is_told_when_it_is_new(self, story: Story) -> None:
        assert ["advice"] == story.sees(replace(GOOD, reason="replace the battery"))
        assert [] == story.sees(GOOD)
        story.restarts()
        assert [] == story.sees(replace(GOOD, reason="replace the battery"))
        assert ["advice"] == story.sees(replace(GOOD, reason="bypass"))

    def test_another_number_makes_no_new_notice(self, story: Story) -> None:
        story.sees(replace(GOOD, reason="weak charger: 56 %"))
        assert [] == story.sees(replace(GOOD, reason="weak charger: 55.5 %"))

    def test_one_that_was_gone_for_a_day_is_new(self, story: Story) -> None:
        notice = replace(GOOD, reason="replace the battery")
        story.sees(notice)
        for _ in range(60):
            assert [] == story.sees(notice, after=3600)
        story.sees(GOOD)
        assert ["advice"] == story.sees(notice, after=DAY)

    def test_a_reason_for_not_knowing_is_none(self, story: Story) -> None:
        assert [] == story.sees(NO_IDEA)


def test_a_certificate_near_its_end_is_told_once_a_week(story: Story) -> None:
    assert [] == story.sees(nas={"certificate_left": CERTIFICATE_NEAR})
    story.certificate_left = 86400.0
    near = {"certificate_left": CERTIFICATE_NEAR - 1}
    assert ["certificate", "certificate nas"] == story.sees(nas=near)
    story.restarts()
    assert [] == story.sees(after=CERTIFICATE_AGAIN - 2)
    assert ["certificate", "certificate nas"] == story.sees(after=2)
    story.sees(nas={"certificate_left": CERTIFICATE_NEAR * 10})
    assert ["certificate nas"] == story.sees(nas=near)


def test_an_event_survives_being_written(story: Story) -> None:
    story.sees(replace(OUT, low_battery=True), nas={"phase": "committed"})
    for event in story.events:
        assert event == from_json(Event, json.loads(json.dumps(to_json(event))))
    assert Kind.ON_BATTERY == story.events[0].kind


@pytest.mark.parametrize(
    ("needs", "desk", "named"),
    [(1, GOOD, False), (1, NO_IDEA, False), (1, OUT, True), (2, GOOD, True)],
)
def test_a_host_is_said_to_go_only_if_what_is_left_is_not_enough(
    needs: int, desk: UpsSeen, named: bool
) -> None:
    """Before it has said itself that it counts, which a host with enough supplies never does."""
    host = HostSeen(
        "hypervisor",
        connected=True,
        phase="idle",
        after=600.0,
        upses=("rack", "desk"),
        min_supplies=needs,
    )
    seen = Seen({"rack": OUT, "desk": desk}, (host,))
    _, events = look(Told(), seen, Rules(), 1000.0, WALL)
    lost = next(event for event in events if event.kind is Kind.ON_BATTERY and event.ups == "rack")
    assert named == (lost.hosts[0].left is not None)


def test_who_is_given_up_is_told_by_name_and_once(story: Story) -> None:
    story.recovery = RecoverySeen(open=2)
    assert story.sees() == []
    story.recovery = RecoverySeen(open=1, given_up=("nas",))
    assert story.sees() == ["host_given_up nas"]
    story.restarts()
    assert story.sees() == []
    story.recovery = RecoverySeen(back=1, given_up=("nas",), seconds=90.0)
    assert story.sees() == ["recovered"]
    assert (story.events[-1].back, story.events[-1].given_up) == (1, ("nas",))
    assert story.events[-1].length == 90.0
    story.restarts()
    assert story.sees() == []


def test_the_end_of_a_recovery_is_told_by_the_next_process_too(story: Story) -> None:
    story.recovery = RecoverySeen(open=1)
    assert story.sees() == []
    story.restarts()
    story.recovery = RecoverySeen(back=1, seconds=90.0)
    assert story.sees() == ["recovered"]


def test_where_nobody_was_taken_down_nobody_is_back(story: Story) -> None:
    story.recovery = RecoverySeen(open=3)
    assert story.sees() == []
    story.recovery = RecoverySeen()
    assert story.sees() == []


def test_a_fault_of_the_order_is_told_once_and_over_a_restart() -> None:
    """Its numbers may change; gone for a day, it is told anew."""
    story = Story()
    story.order = ("nas would be down 915 s after the loss", "a circle: nas -> web -> nas")
    assert ["order", "order"] == story.sees()
    assert [story.order[0], story.order[1]] == [event.reason for event in story.events]
    story.order = ("nas would be down 920 s after the loss",)
    story.restarts()
    assert [] == story.sees(after=3600 * 20)
    story.order = ()
    assert [] == story.sees(after=3600 * 25)
    story.order = ("nas would be down 915 s after the loss",)
    assert ["order"] == story.sees()
