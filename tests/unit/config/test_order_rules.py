"""An order that can't be is refused, with the key to change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from powmonman.config.loader import ConfigError, parse
from powmonman.config.schema import ServerConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    FaultsOf = Callable[[str], list[str]]

CLIENTS = "clients: [nas, web1, web2, pi]\n"
LASTING = "upses: {rack: {runtime: 3600}}\n"


def order(*lines: str) -> str:
    return "".join(["order:\n  hosts:\n", *(f"    {line}\n" for line in lines)])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param(
            order("nas: {wait_for: [web1]}", "web1: {wait_for: [db]}", "db: {wait_for: [nas]}"),
            "5:21: order.hosts.db.wait_for[0]: a circle: db -> nas -> web1 -> db: such a wait ends "
            "by wait_timeout only",
            id="a circle, named in full",
        ),
        pytest.param(
            order("nas: {wait_for: [web1, nas]}"),
            "3:28: order.hosts.nas.wait_for[1]: nas waits for itself: such a wait ends by "
            "wait_timeout only",
            id="a host that waits for itself",
        ),
        pytest.param(
            CLIENTS + order("nas: {wait_for: [web1, wbe2]}"),
            "4:28: order.hosts.nas.wait_for[1]: 'wbe2' is not in clients (did you mean 'web2'?)",
            id="a wait for a stranger",
        ),
        pytest.param(
            CLIENTS + order("nsa: {wait_for: [web1]}"),
            "4:5: order.hosts.nsa: 'nsa' is not in clients (did you mean 'nas'?)",
            id="a place of a stranger",
        ),
        pytest.param(
            LASTING + order("nas: {wait_for: [web1], wait_timeout: 60}", "web1: {after: 700}"),
            "4:22: order.hosts.nas.wait_for[0]: is in vain: web1 goes 700 s after the loss, and "
            "nas waits until 660 s only. Raise its wait_timeout, or let web1 go sooner (its own "
            "time stands in order.hosts.web1.after too)",
            id="a wait for who goes later",
        ),
        pytest.param(
            "upses: {rack: {runtime: 900}}\n" + order("nas: {wait_for: [web1]}"),
            "4:5: order.hosts.nas.wait_timeout: is 300: waiting so long, nas would be down 960 s "
            "after the loss, with 60 s for the shutdown itself, but rack lasts 900 s "
            "(upses.rack.runtime): at most 240 would fit",
            id="a wait that outlasts the battery",
        ),
        pytest.param(
            "upses: {rack: {runtime: 700}}\n"
            + order("nas: {wait_for: [web1], wait_timeout: 40}", "web1: {after: 550}"),
            None,
            id="a short wait that does not",
        ),
        pytest.param(
            "upses: {rack: {runtime: 780}}\n"
            + order("nas: {wait_for: [web1]}", "pi: {wait_for: [nas], wait_timeout: 140}"),
            "5:10: order.hosts.pi.wait_for: pi waits for nas waits for web1: pi would be down 790 "
            "s after the loss, with 60 s for each shutdown, but rack lasts 780 s "
            "(upses.rack.runtime)",
            id="a chain that outlasts the battery",
        ),
        pytest.param(
            "order: {settle: 30, gone_after: 10}\n",
            "1:21: order.gone_after: is 10, but must be at least settle (30): who says nothing "
            "must be silent for longer",
            id="who says nothing counts as down sooner",
        ),
    ],
)
def test_an_order_that_cannot_be(server_faults: FaultsOf, text: str, fault: str | None) -> None:
    assert ([f"server.yml:{fault}"] if fault else []) == server_faults(text)[-1:]


def test_of_a_runtime_that_is_a_guess_the_operator_is_only_warned() -> None:
    text = "policy: {after: 300}\n" + order("nas: {wait_for: [web1]}")
    (warning,) = parse(text, ServerConfig, "server.yml").warnings
    assert str(warning) == (
        "server.yml:4:5: order.hosts.nas.wait_timeout: is 300: waiting so long, nas would be down "
        "660 s after the loss, with 60 s for the shutdown itself, but ups lasts 600 s (twice "
        "policy.after: set its runtime): at most 240 would fit"
    )


def test_battery_triggers_count_where_a_sensor_knows_the_battery() -> None:
    """At 50 % of 1000 s the host goes, and 300 s later it would be off in time."""
    text = "upses: {rack: {sensor: nut, runtime: 1000}}\npolicy: {charge_below: 50}\n"
    place = "nas: {wait_for: [web1], wait_timeout: 430}"
    assert parse(text + order(place), ServerConfig).warnings == ()
    gpio = "upses: {rack: {runtime: 1000}}\n"
    with pytest.raises(ConfigError, match="would be down 1090 s after the loss"):
        parse(gpio + order(place), ServerConfig)


def test_hosts_that_are_known_to_nobody_are_fine_where_no_clients_are_named() -> None:
    assert parse(LASTING + order("nas: {wait_for: [web1, web2]}"), ServerConfig).warnings == ()


def test_a_large_fleet_is_checked_in_time() -> None:
    names = [f"host{number:04}" for number in range(1000)]
    hosts = {"pi": {"wait_for": names}, "nas": {"wait_for": names[:500]}}
    document = {"clients": [*names, "pi", "nas"], "order": {"hosts": hosts}}
    parse(yaml.safe_dump(document | {"upses": {"rack": {"runtime": 3600}}}), ServerConfig)
