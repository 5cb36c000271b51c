"""`powmonman plan`: what an outage now would do, when, and why, by the configuration in force.

It asks the running server, so what it prints is what would happen, not what some file says. Exit
codes: 0 printed, 1 no such host, 3 the server could not be asked.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from powmonman.config.loader import ConfigError
from powmonman.core.durations import duration
from powmonman.core.forecast import Battery, Forecast, forecast
from powmonman.core.messages import Policy, UpsNews
from powmonman.core.plan import Rules
from powmonman.core.records import RecordError, from_json
from powmonman.order_view import host_lines, summary
from powmonman.status import UNKNOWN, StatusError, budget, fetch
from powmonman.table import table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

OK, FAILED = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `powmonman plan`."""
    parser.add_argument("hosts", nargs="*", metavar="HOST", help="hosts (all)")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="server.yml, client.yml or guard.yml"
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the plan of each host; return the exit code."""
    try:
        report = fetch(args.config)
        rows = {host["name"]: host for host in report["clients"]}
        missing = [name for name in args.hosts if name not in rows]
        if missing:
            known = ", ".join(rows) or "none"
            print(f"no such host: {', '.join(missing)} (there are: {known})", file=sys.stderr)
            return FAILED
        wanted = args.hosts or sorted(rows)
        plans = {name: of_host(report, rows[name]) for name in wanted}
    except (StatusError, ConfigError, RecordError, KeyError) as error:
        print(error, file=sys.stderr)
        return UNKNOWN
    if args.json:
        told = {name: asdict(plan) | _order(rows[name]) for name, plan in plans.items()}
        print(json.dumps(told, indent=2))
        return OK
    print("\n".join(_head(report)))
    for name, plan in plans.items():
        print("\n".join(["", *_host(report, rows[name], plan), *host_lines(rows[name])]))
    print("\n".join([*summary(report), *(f"! {text}" for text in report.get("warnings", ()))]))
    return OK


def _order(row: dict[str, Any]) -> dict[str, Any]:
    """Return a host's place in the order; `order` is None where nobody can tell."""
    return {name: row.get(name) for name in ("wait_for", "wait_timeout", "takes", "order")}


def of_host(report: dict[str, Any], row: dict[str, Any]) -> Forecast:
    """Return the forecast for one row of the server's report.

    Raises:
        RecordError: The report is not of this version.
    """
    batteries = {
        name: Battery(from_json(UpsNews, ups), ups["full_runtime"], ups["confirm"])
        for name, ups in report["upses"].items()
    }
    own = {name: value for name, value in row["policy"].items() if value is not None}
    feeds = {"upses": list(row["upses"]), "min_supplies": row["min_supplies"]}
    rules = from_json(Rules, own | feeds | {"dry_run": row["dry_run"]})
    return forecast(batteries, rules, from_json(Policy, report["policy"]))


def _head(report: dict[str, Any]) -> Iterator[str]:
    yield f"If the mains failed now · fleet {report['fleet']} on {report['server']}"
    yield ""
    rows = []
    for name, ups in report["upses"].items():
        state = ups["state"].replace("_", " ")
        loss = f"believed after {ups['confirm']:g} s"
        rows.append((name, state, loss, budget(ups), ups["sensor"]))
    yield from table(("UPS", "NOW", "LOSS", "BUDGET", "SENSOR"), rows)
    yield ""
    told = [event.replace("_", " ") for event in report["notify"]]
    yield f"People are told of: {', '.join(told)}" if told else "Nobody is told: notify is off"


def _host(report: dict[str, Any], row: dict[str, Any], plan: Forecast) -> Iterator[str]:
    feeds = ", ".join(row["upses"] or report["upses"])
    yield f"{row['name']} · fed by {feeds} · needs {row['min_supplies']} of them" + (
        " · DRY RUN" if row["dry_run"] else ""
    )
    if row["phase"] == "never seen":
        yield "  has never connected: its policy is not known, the fleet's is shown"
    elif not row["connected"]:
        yield "  NOT CONNECTED: it would not hear of the outage"
    for doubt in plan.doubts:
        yield f"  ! {doubt}"
    if row["left"] is not None:
        yield f"  counting: shuts down in {duration(row['left'])} unless the mains return"
    lines = [
        (
            f"  {'>' if line.trigger == plan.by else ' '}",
            line.trigger,
            # What is counted is sure; what rests on a battery is its UPS's guess.
            "-" if line.at is None else f"{'about ' if number else ''}{line.at:.0f} s",
            line.why,
        )
        for number, line in enumerate(plan.lines)
    ]
    if lines:
        yield from table(("", "TRIGGER", "AFTER THE LOSS", "WHY"), lines)
    lost = row.get("on_lost_contact") or {}
    if lost.get("shutdown_after") and lost.get("only_if"):
        yield (
            f"  cut off from the server before it hears of the loss: shuts down once "
            f"{' and '.join(lost['only_if'])} {'have' if len(lost['only_if']) > 1 else 'has'} held "
            f"for {lost['shutdown_after']:g} s"
        )
    if plan.shutdown is None:
        yield "  stays up: nothing would shut it down"
        return
    verb = "would rehearse its shutdown" if row["dry_run"] else "shuts down"
    if row.get("wait_for"):
        verb = "has its deadline"
    yield (
        f"  {verb} {plan.shutdown:.0f} s after the loss, by: {plan.by}; "
        f"never sooner than {plan.earliest:.0f} s"
    )
