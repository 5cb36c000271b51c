"""The graph of waits, and how long a shutdown in order takes."""

from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from powmonman.core import order
from powmonman.core.order import Going, schedule

GRAPH = {"nas": ("web1", "web2"), "pi": ("nas", "web1")}
NAMES = ["a", "b", "c", "d", "e"]
GRAPHS = st.dictionaries(
    st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), unique=True).map(tuple)
)
TIMES = st.integers(0, 1000).map(float)
FLEETS = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(
        Going,
        earliest=st.none() | TIMES,
        takes=TIMES,
        wait_for=st.lists(st.sampled_from(NAMES), unique=True).map(tuple),
        wait_timeout=TIMES,
        ends=st.none() | TIMES,
    ),
)


def fleet(**hosts: Going) -> dict[str, Going]:
    return {
        name: replace(going, wait_for=GRAPH.get(name, going.wait_for))
        for name, going in hosts.items()
    }


def test_a_circle_is_named_in_full_in_the_direction_of_the_waits() -> None:
    graph = {"nas": ("web1",), "web1": ("db",), "db": ("nas",), "pi": ("nas",)}
    assert order.cycles(graph) == [("db", "nas", "web1", "db")]
    assert [fault.text for fault in order.faults(graph)] == ["a circle: db -> nas -> web1 -> db"]


def test_every_circle_is_found() -> None:
    graph = {"a": ("b",), "b": ("a",), "c": ("d",), "d": ("c",)}
    assert order.cycles(graph) == [("a", "b", "a"), ("c", "d", "c")]


def test_who_waits_for_himself_or_for_nobody_is_named() -> None:
    graph = {"nas": ("nas",), "pi": ("wbe1", "nas")}
    assert [(f.host, f.awaited, f.text) for f in order.faults(graph, {"nas", "pi", "web1"})] == [
        ("nas", "nas", "nas waits for itself"),
        ("pi", "wbe1", "pi waits for wbe1, which nobody knows"),
    ]


def test_levels_are_who_goes_at_the_same_time() -> None:
    assert order.levels(GRAPH) == [("web1", "web2"), ("nas",), ("pi",)]


def test_a_host_commits_when_the_last_one_that_it_waits_for_is_down() -> None:
    turns = schedule(
        fleet(web1=Going(600, 30), web2=Going(650, 60), nas=Going(600, 90), pi=Going(600, 20)), 5
    )
    assert (turns["web1"].commits, turns["web1"].down) == (600, 630)
    assert (turns["nas"].commits, turns["nas"].down, turns["nas"].after) == (715, 805, "web2")
    assert (turns["pi"].commits, turns["pi"].down) == (810, 830)
    assert order.critical_path(turns) == ("web2", "nas", "pi")


def test_never_before_its_own_deadline() -> None:
    turns = schedule(fleet(web1=Going(60, 10), web2=Going(60, 10), nas=Going(600, 90)), 5)
    assert (turns["nas"].commits, turns["nas"].after) == (600, "")
    assert order.critical_path(turns) == ("nas",)


def test_a_host_that_never_goes_is_waited_for_until_the_timeout() -> None:
    hosts = fleet(web1=Going(None), web2=Going(600), nas=Going(600, wait_timeout=120))
    turns = schedule(hosts, 5)
    assert (turns["nas"].commits, turns["nas"].times_out) == (720, True)
    assert (turns["web1"].commits, turns["web1"].down) == (None, None)
    assert order.futile(hosts, turns) == [("nas", "web1")]


def test_a_wait_for_who_goes_later_than_its_end_is_futile() -> None:
    hosts = fleet(web1=Going(901), web2=Going(900), nas=Going(600, wait_timeout=300))
    assert order.futile(hosts, schedule(hosts, 5)) == [("nas", "web1")]


def test_a_chain_that_outlasts_the_battery_is_found() -> None:
    hosts = fleet(web1=Going(600, 60, ends=700), web2=Going(600, 60), nas=Going(600, 60, ends=700))
    assert order.too_late(hosts, schedule(hosts, 5)) == ["nas"]


@given(GRAPHS)
def test_what_is_left_of_any_graph_has_an_order(graph: dict[str, tuple[str, ...]]) -> None:
    rest = order.acyclic(graph)
    place = {name: at for at, level in enumerate(order.levels(graph)) for name in level}
    assert all(place[awaited] < place[host] for host in rest for awaited in rest[host])
    if not order.cycles(graph):
        assert {h: set(w) - {h} for h, w in graph.items()} == {h: set(w) for h, w in rest.items()}
    for cycle in order.cycles(graph):
        assert cycle[0] == cycle[-1]
        assert all(after in graph[host] for host, after in itertools.pairwise(cycle))


@given(FLEETS, TIMES)
def test_any_schedule_keeps_the_rules(hosts: dict[str, Going], settle: float) -> None:
    """In any fleet, circles included: no commit before the deadline or after the timeout."""
    turns = schedule(hosts, settle)
    assert turns.keys() == hosts.keys()
    for name, going in hosts.items():
        turn = turns[name]
        if going.earliest is None:
            assert turn.commits is None
            continue
        over = going.earliest + going.wait_timeout
        assert turn.commits is not None
        assert turn.down == turn.commits + going.takes
        assert going.earliest <= turn.commits <= over
        downs = [turns[each].down if each in turns else None for each in going.wait_for]
        known = [down + settle for down in downs if down is not None]
        if not turn.times_out:
            assert len(known) == len(downs)
            assert turn.commits == max([going.earliest, *known])
        else:
            assert turn.commits == over
            assert len(known) < len(downs) or max(known) >= over
    for name in hosts:
        path = order.path_to(turns, name)
        assert len(set(path)) == len(path)
