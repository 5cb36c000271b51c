"""`powmonman drill`: an outage rehearsed on the whole fleet; nothing is switched off.

The server makes its UPSes say that the mains are gone, beside what they really say; every host
counts, waits and would commit, and has its shutdown commands checked by whoever would run them. It
is said on the server's own host, to the server's own socket, which root and the group may open.

Exit codes: 0 every host is protected, 1 somebody is not, 2 bad usage, 3 it could not be asked,
could not begin, or was ended early.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from powmonman.config.loader import ConfigError
from powmonman.core.durations import duration
from powmonman.core.messages import Query, StartDrill, StopDrill
from powmonman.guard.derive import server_of
from powmonman.status import StatusError, ask_locally, servers_file
from powmonman.table import table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from powmonman.config.schema import ServerConfig

PROTECTED, UNPROTECTED, USAGE, FAILED = range(4)
EVERY = 0.5
# The server may be busy for a moment, or restarted.
PATIENCE = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `powmonman drill`."""
    parser.description = (
        "Rehearse an outage on the whole fleet: who hears of it, who would go down when, and "
        "whether its commands are in order. Nothing is switched off, and a real outage ends it at "
        "once. Only on the server's host."
    )
    parser.epilog = (
        "Exit codes: 0 every host is protected, 1 somebody is not, 2 bad usage, 3 the server could "
        "not be asked, or the drill could not begin or was ended early."
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=servers_file(),
        metavar="FILE",
        help="the server's configuration, or the guard's (%(default)s)",
    )
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        metavar="N",
        help="N times as fast as an outage (%(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument(
        "--timeout", type=float, metavar="S", help="stop the drill after S s (its own bound)"
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--last", action="store_true", help="show the drill in progress, or what the last one found"
    )
    instead.add_argument("--stop", action="store_true", help="stop the drill that is running")
    instead.add_argument(
        "--live",
        metavar="HOST",
        help="really shut this one host down, wake it, and time both; asks for its name again",
    )
    parser.add_argument(
        "--confirm", metavar="HOST", help="the name, instead of typing it when asked"
    )


def run(args: argparse.Namespace) -> int:
    """Begin a drill, follow it, and print what it has found; returns the exit code."""
    try:
        config = server_of(args.config)
        if args.stop:
            ask_locally(config, StopDrill())
            return PROTECTED
        if args.live:
            return _live(config, args)
        found = _last(config) if args.last else _follow(config, args)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return USAGE
    except StatusError as error:
        print(error, file=sys.stderr)
        return FAILED
    print(json.dumps(found, indent=2) if args.json else "\n".join(_summary(found)))
    if found["phase"] != "done":
        return FAILED
    return PROTECTED if found["ok"] else UNPROTECTED


def _last(config: ServerConfig) -> dict[str, Any]:
    found = ask_locally(config, Query()).get("drill")
    if not found:
        raise StatusError("there was no drill since the server was started")
    return dict(found)


def _follow(config: ServerConfig, args: argparse.Namespace) -> dict[str, Any]:
    """Begin a drill, and show how it goes until it is over; interrupted, it is stopped."""
    report = ask_locally(config, StartDrill(config.fleet, args.scale))
    mine: str = report["drill"]["id"]
    end = time.monotonic() + args.timeout if args.timeout else None
    told: set[str] = set()
    try:
        while True:
            drill = report.get("drill") or {}
            if drill.get("id") != mine:
                raise StatusError(
                    "the drill is gone: the server was restarted, or its log says more"
                )
            if not args.json:
                _progress(drill, told)
            if drill["over"]:
                return dict(drill)
            if end is not None and time.monotonic() > end:
                end = None
                ask_locally(config, StopDrill())
            time.sleep(EVERY)
            report = _ask(config)
    except KeyboardInterrupt:
        ask_locally(config, StopDrill())
        return dict(_ask(config)["drill"])


def _ask(config: ServerConfig) -> dict[str, Any]:
    for left in reversed(range(PATIENCE)):
        try:
            return ask_locally(config, Query())
        except StatusError:
            if not left:
                raise
            time.sleep(EVERY)
    raise AssertionError


def _progress(drill: dict[str, Any], told: set[str]) -> None:
    """Print what is new, each thing once."""
    for line in _story(drill):
        if line not in told:
            told.add(line)
            print(line, flush=True)


def _story(drill: dict[str, Any]) -> Iterator[str]:
    bound = drill["bound"] / drill["scale"]
    yield f"drill {drill['id'][:4]} · {drill['scale']:g} times as fast · at most {duration(bound)}"
    if drill["phase"] == "on_battery":
        yield "  the mains are gone, as far as the drill goes"
    for host in drill["hosts"]:
        name = host["name"]
        if host["told_ms"] is not None:
            yield f"  {name} was told, after {host['told_ms']:.1f} ms"
        if host["phase"] == "waiting":
            yield f"  {name} waits for {', '.join(host['waited']) or 'others'}"
        if host["committed"] is not None:
            yield f"  {name} would shut down now, {host['committed']:.0f} s after the loss"
        for fault in host["faults"]:
            yield f"  {name}: {fault}"
    after = {"returning": "the mains come back", "waking": "checks and wake tests"}
    if drill["phase"] in after:
        yield f"  {after[drill['phase']]}"


def _summary(drill: dict[str, Any]) -> Iterator[str]:
    if drill["phase"] == "aborted":
        yield f"The drill was ended early: {drill['reason']}"
        return
    yield ""
    rows = [_cells(host) for host in drill["hosts"]]
    head = ("HOST", "TOLD", "WOULD GO", "WAITED FOR", "COMMANDS", "TAKES", "WAKE", "VERDICT")
    yield from table(head, rows)
    yield ""
    for host in drill["hosts"]:
        if host["reason"]:
            yield f"{host['name']} is UNPROTECTED: {host['reason']}"
    for host in drill["hosts"]:
        if host["wake"]["doubts"]:
            yield f"{host['name']} may stay down: {'; '.join(host['wake']['doubts'])}"
    if drill["ok"]:
        yield "Every host is protected."


def _cells(host: dict[str, Any]) -> tuple[str, ...]:
    commands = "-"
    if host["checked"]:
        commands = "FAULTY" if host["faults"] else "ok"
    return (
        host["name"],
        "-" if host["told_ms"] is None else f"{host['told_ms']:.1f} ms",
        "-" if host["committed"] is None else f"{host['committed']:.0f} s",
        ", ".join(host["waited"]) or "-",
        commands,
        "-" if host["takes"] is None else f"{host['takes']:.0f} s",
        _wakeable(host),
        host["verdict"],
    )


def _wakeable(host: dict[str, Any]) -> str:
    wake = host["wake"]
    if not host["connected"]:
        return "-"
    if wake["by"] != "wake_on_lan":
        return "nobody" if wake["by"] == "none" else "untried"
    return "NO" if wake["doubts"] else ("yes" if wake["armed"] else "heard")


def _live(config: ServerConfig, args: argparse.Namespace) -> int:
    """Have one host really shut down and woken; returns the exit code."""
    host = args.live
    if args.confirm is None:
        print(f"This really shuts {host} down. Type its name to do it: ", end="", flush=True)
    typed = args.confirm if args.confirm is not None else sys.stdin.readline().strip()
    if typed != host:
        print(f"not confirmed: the host is {host}", file=sys.stderr)
        return USAGE
    ask_locally(config, StartDrill(config.fleet, live=host))
    said = ""
    while True:
        live = _ask(config).get("drill_live")
        if not live:
            raise StatusError(
                "the server was restarted meanwhile: see what became of the host: powmonman status"
            )
        if live["phase"] != said and not args.json:
            said = live["phase"]
            print(f"{host}: {said}", flush=True)
        if live["over"]:
            break
        time.sleep(EVERY)
    if args.json:
        print(json.dumps(live, indent=2))
    else:
        rows = [(what, _at(live[what])) for what in ("committed", "down", "woken", "back")]
        print("\n".join(["", *table((host, "AFTER THE ORDER"), rows)]))
        if live["reason"]:
            print(f"{host}: {live['reason']}", file=sys.stderr)
    return PROTECTED if live["ok"] else UNPROTECTED


def _at(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"
