"""How `status` and `plan` show the order."""

from __future__ import annotations

from typing import Any

import pytest

from powmonman.core.forecast import Battery
from powmonman.core.messages import Hello, Policy, Status, UpsNews
from powmonman.core.power import PowerState
from powmonman.net.tls import Peer
from powmonman.order_view import few, host_lines
from powmonman.server.budget import Pack
from powmonman.server.ordering import Ordering
from powmonman.server.roster import Roster
from powmonman.status import render, verdict

GRAPH = {"nas": ("web1", "web2"), "pi": ("nas",)}
PLAN = """\
  waits until web1, web2 are down; 300 s after its deadline it goes all the same
  in order: commits 665 s after the loss, when web2 is down; down at 725 s (takes 60 s, assumed)"""
STATUS = """\
HOST  CONNECTED  FOR   PHASE  LEFT  AFTER   TAKES  WAITS FOR   TOLD  ADDRESS
nas   yes        10 s  idle   -     10 min  -      web1, web2  no    192.0.2.9
pi    yes        10 s  idle   -     10 min  -      nas         no    192.0.2.9
web1  yes        10 s  idle   -     10 min  42 s   -           no    192.0.2.9
web2  yes        10 s  idle   -     10 min  -      -           no    192.0.2.9

Order: web1, web2; then nas; then pi
An outage now: all down 790 s after the loss (last: web2, nas, pi); its battery lasts 1200 s"""


def report(runtime: float = 1200.0, **changes: Any) -> dict[str, Any]:
    """Return what a server with four hosts in order reports."""
    roster = Roster()
    for name in ("nas", "pi", "web1", "web2"):
        takes = 42.0 if name == "web1" else None
        hello = Hello(nonce=1, boot_id="b", wait_for=GRAPH.get(name, ()), shutdown_takes=takes)
        roster.arrived(Peer(name, "f" * 64, expired=False), "192.0.2.9", hello, 100.0)
        roster.said(name, Status("idle"), 100.0)
    pack = Pack(Battery(UpsNews(PowerState.ON_MAINS), runtime, 2.0), known=True)
    ordering = Ordering(
        roster,
        active=lambda: False,
        tell=lambda _: None,
        packs=lambda: {"rack": pack},
        policy=Policy,
    )
    ordering.check()
    budget = ordering.budget()
    rows = [row | {"order": budget.row(row["name"])} for row in roster.rows(110.0, "s")]
    return {
        "fleet": "home",
        "server": "pi",
        "upses": {},
        "policy": {"after": 600.0},
        "faults": [],
        "warnings": ordering.warnings,
        "order": ordering.report(budget),
        "clients": rows,
    } | changes


def shown(text: dict[str, Any]) -> str:
    return "\n".join(render(text))


def test_status_shows_who_waits_for_whom_and_whether_it_fits() -> None:
    text = shown(report())
    assert STATUS in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_chain_that_does_not_fit_is_a_warning_for_monitoring() -> None:
    unfit = report(runtime=750.0)
    code, why = verdict(unfit)
    assert code == 1
    assert "pi would be down 790 s after the loss, but rack lasts 750 s" in why
    assert "NOT down before their battery is empty: pi" in shown(unfit)


def test_a_host_that_is_down_is_shown_as_down_and_is_not_waited_for() -> None:
    text = report()
    web1, nas = text["clients"][2], text["clients"][0]
    web1.update(phase="committed", down="committed, hung up, no answer to ping for 5 s")
    nas.update(waits=("web2",))
    (row,) = (line.split() for line in shown(text).splitlines() if line.startswith("web1 "))
    assert "down" in row
    (row,) = (line.split() for line in shown(text).splitlines() if line.startswith("nas "))
    assert ("web2" in row, "web1," in row) == (True, False)


def test_a_plan_says_when_a_host_goes_in_order() -> None:
    assert "\n".join(host_lines(report()["clients"][0])) == PLAN
    late = list(host_lines(report(runtime=750.0)["clients"][1]))
    assert late[-1] == "  ! its battery is empty at 750 s: not down in time"


def test_where_nobody_waits_nothing_is_said_of_order() -> None:
    text = report()
    for row in text["clients"]:
        row.update(wait_for=(), waits=())
    assert "WAITS FOR" not in shown(text)
    assert "Order:" not in shown(text)


def test_a_server_of_an_earlier_version_is_shown_too() -> None:
    text = report()
    del text["order"], text["warnings"]
    for row in text["clients"]:
        for key in ("wait_for", "waits", "wait_timeout", "takes", "order", "down"):
            del row[key]
    assert "WAITS FOR" not in shown(text)
    assert list(host_lines(text["clients"][0])) == []


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ((), "-"),
        (("web1", "web2"), "web1, web2"),
        (("web1", "web2", "web3", "web4"), "web1, web2 +2"),
        (("a-very-long-name-of-a-host", "b"), "a-very-long-name-of-a-host +1"),
    ],
)
def test_many_names_are_counted(names: tuple[str, ...], text: str) -> None:
    assert few(names, 14) == text
