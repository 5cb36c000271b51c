"""One rule of recovery at a time; `properties` has them all together."""

from __future__ import annotations

from dataclasses import replace

from recovering import LIMITS, ON_BATTERY, UNKNOWN, World

from powmonman.core import recovery
from powmonman.core.due import (
    Due,
    Fate,
    Known,
    Present,
    Recovered,
    Recovery,
    Scene,
    Settled,
    Supply,
    Woken,
)
from powmonman.core.power import PowerState
from powmonman.core.recovery import ORDER_LASTS, begun, look, ordered, power_cut, resumed

GOOD = Supply(PowerState.ON_MAINS, full=1000.0)
OUT = Supply(ON_BATTERY, "o1", full=1000.0)


def host(boot: str = "b1", **changes: object) -> Present:
    known = Known(boot, **{k: v for k, v in changes.items() if k in {"upses", "wait_for"}})  # type: ignore[arg-type]
    rest = {k: v for k, v in changes.items() if k not in {"upses", "wait_for"}}
    return Present(known, **({"awake": True, "told": True} | rest))  # type: ignore[arg-type]


def gone(present: Present) -> Present:
    return replace(present, connected=False, awake=False, told=False, since=0.0)


class Tale:
    """A record, and a clock."""

    def __init__(self, **hosts: Present) -> None:
        self.record, self.now = Recovery(), 100.0
        self.upses, self.hosts = {"ups": GOOD}, hosts
        self.look()

    @property
    def scene(self) -> Scene:
        return Scene(self.now, dict(self.upses), dict(self.hosts))

    def look(self, seconds: float = 0.0) -> list[object]:
        self.now += seconds
        self.record, actions = look(self.record, self.scene, LIMITS)
        return list(actions)

    def outage(self) -> None:
        """Lose the mains, and every host that is there."""
        self.now += 1.0
        self.upses["ups"] = OUT
        self.record = begun(self.record, "ups", self.now, self.scene)
        self.look(1.0)
        self.hosts = {name: gone(each) for name, each in self.hosts.items()}
        self.look(1.0)
        self.upses["ups"] = GOOD
        self.look(1.0)

    def wakes(self, seconds: int) -> dict[str, list[float]]:
        """Return after how many seconds each host is woken."""
        found: dict[str, list[float]] = {}
        for second in range(1, seconds + 1):
            for action in self.look(1.0):
                if isinstance(action, Woken):
                    found.setdefault(action.host, []).append(second)
        return found


def test_the_intervals_double_up_to_eight_times_and_then_it_is_given_up() -> None:
    tale = Tale(nas=host())
    tale.outage()
    assert tale.wakes(300) == {"nas": [10, 15, 25, 45, 85, 125]}
    assert tale.record.hosts["nas"].fate is Fate.GIVEN_UP
    tale.hosts["nas"] = host("b2")
    tale.look(1.0)
    assert tale.record.hosts["nas"].fate is Fate.BACK


def test_who_was_there_before_a_restart_is_due_unless_it_has_come_again_and_gone() -> None:
    """Whoever left a server that knew it had been switched off by somebody."""
    tale = Tale(nas=host(), spare=host())
    tale.record, tale.hosts = resumed(tale.record), {}
    tale.look(1.0)
    tale.hosts = {"spare": host()}
    tale.look(1.0)
    tale.hosts = {"spare": gone(host())}
    tale.look(1.0)
    tale.outage()
    assert list(tale.record.hosts) == ["nas"]


def test_a_step_of_two_hundred_seconds_is_not_two_hundred_of_good_mains() -> None:
    """A server that stood still has seen nothing meanwhile."""
    tale = Tale(nas=host())
    tale.outage()
    assert tale.look(200.0) == []
    assert tale.wakes(8) == {"nas": [7]}


def test_waking_stops_when_the_power_is_unknown_and_goes_on_afterwards() -> None:
    tale = Tale(nas=host())
    tale.outage()
    tale.wakes(10)
    tale.upses["ups"] = Supply(UNKNOWN)
    assert tale.wakes(100) == {}
    tale.upses["ups"] = GOOD
    assert tale.wakes(20) == {"nas": [15]}


def test_hosts_that_wait_for_each_other_in_a_circle_are_woken() -> None:
    tale = Tale(a=host(wait_for=("b",)), b=host(wait_for=("a",)), c=host(wait_for=("a",)))
    tale.outage()
    assert {*tale.wakes(11)} == {"c"}
    tale.hosts["c"] = host("b2", wait_for=("a",))
    assert {*tale.wakes(11)} == {"a", "b"}


def test_a_wait_for_a_host_that_cannot_be_woken_ends() -> None:
    tale = Tale(nas=host(upses=("desk",), wait_for=("web",)), web=host(upses=("ups",)))
    tale.upses["desk"] = replace(OUT, outage="o2")
    tale.record = begun(tale.record, "desk", tale.now, tale.scene)
    tale.outage()
    tale.upses["desk"] = Supply(UNKNOWN, "o2")
    ((name, times),) = tale.wakes(140).items()
    assert (name, times[0]) == ("web", 10 + LIMITS.give_up)


def test_a_host_with_a_good_supply_left_is_no_longer_due() -> None:
    """And not due again with every look while the other UPS is out."""
    tale = Tale(nas=host())
    tale.upses["desk"] = OUT
    tale.record = begun(tale.record, "desk", tale.now, tale.scene)
    assert len(tale.look(1.0)) == 1
    assert [tale.look(1.0) for _ in range(5)] == [[]] * 5
    assert tale.record.hosts["nas"].fate is Fate.STAYED


def test_the_end_says_how_many_are_back_and_how_long_it_took() -> None:
    tale = Tale(nas=host(), db=host())
    tale.outage()
    tale.wakes(20)
    tale.hosts["nas"] = host("b2")
    tale.wakes(200)
    tale.hosts["db"] = host("b2")
    assert tale.record.hosts["db"].fate is Fate.GIVEN_UP
    assert tale.look(1.0)[-1] != Recovered
    assert tale.record.hosts["nas"].good == 22.0


def test_nobody_is_woken_after_the_operators_order() -> None:
    tale = Tale(nas=host())
    tale.record = ordered(tale.record, tale.scene)
    tale.outage()
    assert tale.wakes(100) == {}
    tale.record = power_cut(tale.record, "boot2")
    assert tale.wakes(100) == {}
    tale.hosts["nas"] = host("b2")
    tale.look(1.0)
    tale.outage()
    assert {*tale.wakes(20)} == {"nas"}


def test_whom_the_outage_had_taken_down_is_woken_although_the_rest_is_ordered_down() -> None:
    """The operator spares the battery for what still runs, or is in a hurry."""
    tale = Tale(nas=host(), web=host("w1"))
    tale.upses["ups"] = OUT
    tale.record = begun(tale.record, "ups", tale.now, tale.scene)
    tale.hosts["nas"] = replace(host(), connected=False, committed=True)
    tale.look(1.0)
    tale.record = ordered(tale.record, tale.scene)
    tale.hosts["web"] = replace(host("w1"), connected=False, committed=True)
    tale.upses["ups"] = GOOD
    assert {*tale.wakes(60)} == {"nas"}


def test_the_order_ends_a_recovery_in_progress() -> None:
    tale = Tale(nas=host())
    tale.outage()
    tale.hosts["nas"] = replace(host(), connected=False, committed=True)
    assert {*tale.wakes(12)} == {"nas"}
    tale.record = ordered(tale.record, tale.scene)
    assert tale.wakes(100) == {}


def test_a_host_that_hears_of_the_order_late_is_not_woken_either() -> None:
    """It was out of contact when the order was given, in an outage, and obeys after it."""
    tale = Tale(nas=host())
    tale.hosts["nas"] = replace(host(), connected=False)
    tale.upses["ups"] = OUT
    tale.record = begun(tale.record, "ups", tale.now, tale.scene)
    tale.record = ordered(tale.record, tale.scene)
    tale.hosts["nas"] = replace(host(), awake=False, committed=True, obeys=True)
    tale.look(1.0)
    assert tale.record.hosts["nas"].fate is Fate.ORDERED
    tale.hosts["nas"] = replace(host(), connected=False, committed=True)
    tale.upses["ups"] = GOOD
    assert tale.wakes(100) == {}


def test_a_host_that_did_not_obey_is_due_in_a_later_outage() -> None:
    tale = Tale(nas=host())
    tale.record = ordered(tale.record, tale.scene)
    tale.wakes(int(ORDER_LASTS) + 1)
    tale.outage()
    assert {*tale.wakes(20)} == {"nas"}


def test_where_boots_have_no_ids_a_host_that_was_away_is_back() -> None:
    tale = Tale(nas=host(""))
    tale.hosts["nas"] = replace(host(""), committed=True, awake=False)
    tale.outage()
    assert tale.record.hosts["nas"].committed
    tale.hosts["nas"] = host("")
    tale.look(1.0)
    assert tale.record.hosts["nas"].fate is Fate.BACK


def test_a_server_that_was_just_started_takes_who_was_there_for_present() -> None:
    """The mains fail while it starts, and the switch with them: nobody will ever come again."""
    tale = Tale(nas=host())
    tale.record, tale.hosts = resumed(tale.record), {}
    tale.look(1.0)
    tale.outage()
    assert {*tale.wakes(20)} == {"nas"}


def test_and_no_longer_after_a_minute() -> None:
    tale = Tale(nas=host())
    tale.record, tale.hosts = resumed(tale.record), {}
    tale.wakes(62)
    tale.outage()
    assert tale.wakes(20) == {}


def test_a_look_at_a_large_fleet_that_comes_back_costs_each_host_a_few_comparisons() -> None:
    """Beside each host that has not come back, all that have would be half a second of 10,000."""
    compared = 0

    class Name(str):
        """The name of a host; counts how often it is compared."""

        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

    names = [Name(f"host-{number}") for number in range(300)]
    tale = Tale(**{name: host() for name in names})
    tale.record, tale.hosts = resumed(tale.record), {}
    tale.look(1.0)
    tale.hosts = {Name(name): host() for name in names[:200]}
    tale.look(1.0)
    tale.look(1.0)
    assert compared < 20 * len(names)


def test_two_outages_are_one_recovery() -> None:
    tale = Tale(nas=host(), db=host())
    tale.outage()
    tale.hosts["db"] = host("b2")
    tale.look(1.0)
    tale.upses["ups"] = replace(OUT, outage="o2")
    tale.record = begun(tale.record, "ups", tale.now, tale.scene)
    due = {name: (each.fate, each.known.boot) for name, each in tale.record.hosts.items()}
    assert due == {"nas": (Fate.DUE, "b1"), "db": (Fate.DUE, "b2")}


def test_what_is_told_to_the_operator_names_the_obstacle() -> None:
    scene = Scene(0.0, {"ups": replace(GOOD, spent=900.0)})
    record = Recovery({"nas": Due(Known())}, good={"ups": 60.0})
    said = recovery.hindrances(record, scene, LIMITS)["nas"]
    assert said == "ups: 900 s of its battery are spent, at most 700 may be"


def test_a_world_in_which_nothing_happens_wakes_nobody() -> None:
    world = World()
    world.passes(300)
    assert world.log == []


def test_whom_the_operator_has_shut_down_is_woken_when_it_is_down_and_counts_alone() -> None:
    """Magic packets on the way down would start it before anybody saw it off."""
    tale = Tale(nas=host("b1"), web=host("b1"))
    tale.outage()
    tale.hosts = {"nas": host("b2"), "web": host("b2")}
    tale.look(1.0)
    assert not tale.record.open
    tale.record = recovery.exposed(tale.record, "nas", tale.hosts["nas"].known)
    assert (tale.record.cause, list(tale.record.hosts)) == ("", ["nas"])
    going = replace(tale.scene, going="nas")
    for _ in range(600):
        going = replace(going, now=going.now + 1.0)
        tale.record, actions = look(tale.record, going, LIMITS)
        assert actions == []
    assert recovery.hindrances(tale.record, going, LIMITS)["nas"] == "still going down"
    tale.now = going.now
    tale.hosts["nas"] = gone(tale.hosts["nas"])
    assert tale.look(1.0) == [Woken("nas")]
    tale.hosts["nas"] = host("b3")
    assert [type(action) for action in tale.look(1.0)] == [Settled, Recovered]
