"""`powmonman status`: the fleet as the server sees it, from the server's host or any client's.

Exit codes are those of monitoring plugins: 0 all is well, 1 warning (power unknown, a host missing,
a fault), 2 critical (on battery), 3 the server could not be asked.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from powmonman.config.loader import ConfigError, load
from powmonman.config.schema import ClientConfig, ServerConfig
from powmonman.core.durations import duration
from powmonman.core.messages import (
    LONGEST_LINE,
    Error,
    Message,
    ProtocolError,
    Query,
    Report,
    decode,
    encode,
)
from powmonman.guard.derive import is_guard, server_of
from powmonman.order_view import COLUMNS, cells, is_ordered, phase, summary
from powmonman.service.files import read_json, socket_address
from powmonman.table import table

if TYPE_CHECKING:
    import argparse

OK, WARNING, CRITICAL, UNKNOWN = range(4)
LONGEST_REPORT = 256 * LONGEST_LINE
TIMEOUT = 5.0
DIRECTORY = Path("/etc/powmonman")


class StatusError(Exception):
    """The server could not be asked, and why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `powmonman status`."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="server.yml, client.yml or guard.yml"
    )
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the status; return its exit code."""
    try:
        report = fetch(args.config)
    except (StatusError, ConfigError) as error:
        print(error, file=sys.stderr)
        return UNKNOWN
    if args.json:
        print(json.dumps(report, indent=2))
    else:
        print("\n".join(render(report)))
    return verdict(report)[0]


def fetch(config: Path | None = None) -> dict[str, Any]:
    """Return the server's report.

    Raises:
        StatusError: Nobody answers.
        ConfigError: The configuration that says whom to ask can't be read.
    """
    usual = (DIRECTORY / f"{kind}.yml" for kind in ("server", "client", "guard"))
    path = config or next((p for p in usual if p.exists()), None)
    if path is None:
        raise StatusError(
            f"no server.yml, client.yml or guard.yml in {DIRECTORY}: name one: --config"
        )
    if path.name.startswith("server") or is_guard(path):
        return ask_locally(server_of(path), Query())
    return _ask_remotely(load(path, ClientConfig))


def servers_file() -> Path:
    """Return the usual file of the server on this host: server.yml, or guard.yml."""
    server, guard = DIRECTORY / "server.yml", DIRECTORY / "guard.yml"
    return guard if guard.exists() and not server.exists() else server


def ask_locally(config: ServerConfig, message: Message) -> dict[str, Any]:
    """Say `message` to the server on this host; return the report that it answers with.

    Raises:
        StatusError: Nobody answers, or the answer is a refusal.
    """
    path = Path(config.runtime_dir) / "server.sock"
    try:
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock,
            socket_address(path) as address,
        ):
            sock.settimeout(TIMEOUT)
            sock.connect(address)
            sock.sendall(encode(message))
            data = bytearray()
            while (piece := sock.recv(65536)) and len(data) < LONGEST_REPORT:
                data += piece
    except PermissionError:
        raise StatusError(f"{path}: permission denied: be root or in the group") from None
    except OSError as error:
        why = error.strerror or error
        raise StatusError(f"{path}: {why}: is powmonman-server running?") from None
    try:
        return _body(decode(bytes(data).rstrip(b"\n")))
    except ProtocolError as error:
        raise StatusError(f"{path}: the answer can't be read: {error}") from None


def _ask_remotely(config: ClientConfig) -> dict[str, Any]:
    from powmonman.client.connector import candidates
    from powmonman.client.link import Link, LinkError
    from powmonman.net.tls import IdentityError, client_context

    try:
        context = client_context(Path(config.tls.identity))
    except IdentityError as error:
        raise StatusError(str(error)) from None
    give_up = time.monotonic() + 2 * TIMEOUT
    faults: dict[str, None] = {}

    def unknown(place: str, why: str) -> None:
        faults[f"{place}: {why}"] = None

    for host, port in candidates(config, lambda: time.monotonic() > give_up, tell=unknown):
        try:
            link = Link.open(
                context, host, port, revoked=config.tls.revoked, longest_line=LONGEST_REPORT
            )
            try:
                return _body(link.ask(Query(), TIMEOUT))
            finally:
                link.close()
        except LinkError as error:
            faults[f"{host} port {port}: {error}"] = None
    said = list(faults) or ["no server found on the LAN, and no address configured"]
    # What this host makes of that it can tell itself.
    view = read_json(Path(config.runtime_dir) / "client.json") or {}
    said += [f"this host: {view['lost_contact']}"] if view.get("lost_contact") else []
    raise StatusError("\n".join(said))


def _body(message: Message) -> dict[str, Any]:
    if isinstance(message, Report):
        return message.body
    raise StatusError(message.reason if isinstance(message, Error) else "no report in the answer")


def verdict(report: dict[str, Any]) -> tuple[int, str]:
    """Return the exit code for monitoring, and the reason in one line."""
    upses, clients = report["upses"], report["clients"]
    on_battery = [name for name, ups in upses.items() if ups["state"] == "on_battery"]
    if on_battery:
        return CRITICAL, f"on battery: {', '.join(on_battery)}"
    unknown = [name for name, ups in upses.items() if ups["state"] == "unknown"]
    missing = [host["name"] for host in clients if not host["connected"]]
    due, given_up = _to_come_back(report)
    reasons = [
        *([f"power unknown: {', '.join(unknown)}"] if unknown else []),
        *([f"not connected: {', '.join(missing)}"] if missing else []),
        *([f"to be brought back: {', '.join(due)}"] if due else []),
        *([f"given up: {', '.join(given_up)}"] if given_up else []),
        *(
            f"{name}: {ups['reason']}"
            for name, ups in upses.items()
            if ups["state"] != "unknown" and ups["reason"]
        ),
        *report["faults"],
        *report.get("warnings", ()),
    ]
    if reasons:
        return WARNING, " · ".join(reasons)
    return OK, f"on mains, {len(clients)} host{'' if len(clients) == 1 else 's'} connected"


def render(report: dict[str, Any]) -> list[str]:
    """Return the lines that people read."""
    code, why = verdict(report)
    word = ("OK", "WARNING", "CRITICAL")[code]
    head = f"{word} · fleet {report['fleet']} on {report['server']} · {why}"
    return [head, "", *_upses(report), "", *_hosts(report), *_recovery(report), *summary(report)]


def _upses(report: dict[str, Any]) -> list[str]:
    rows = [
        (
            name,
            ups["state"].replace("_", " "),
            ups["outage"][:4] or "-",
            duration(ups["age"]) if ups["outage"] else "-",
            _charge(ups),
            "-" if ups["runtime"] is None else duration(ups["runtime"]),
            budget(ups),
            ups["reason"] or "-",
        )
        for name, ups in report["upses"].items()
    ]
    head = ("UPS", "STATE", "OUTAGE", "FOR", "CHARGE", "RUNTIME", "BUDGET", "REASON")
    return table(head, rows)


def _charge(ups: dict[str, Any]) -> str:
    if ups["charge"] is None:
        return "LOW" if ups["low_battery"] else "-"
    return f"{ups['charge']:.0f} %{' LOW' if ups['low_battery'] else ''}"


def _hosts(report: dict[str, Any]) -> list[str]:
    ordered = is_ordered(report)
    rows = [
        (
            host["name"],
            "yes" if host["connected"] else "NO",
            "-" if host["for"] is None else duration(host["for"]),
            phase(host),
            "-" if host["left"] is None else duration(host["left"]),
            duration(host["policy"]["after"] or report["policy"]["after"]),
            *(cells(host) if ordered else ()),
            "yes" if host["told"] else "no",
            host["address"] or "-",
        )
        for host in report["clients"]
    ]
    if not rows:
        return ["no host has connected yet"]
    of_order = COLUMNS if ordered else ()
    head = ("HOST", "CONNECTED", "FOR", "PHASE", "LEFT", "AFTER", *of_order, "TOLD", "ADDRESS")
    return table(head, rows)


def _to_come_back(report: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return who is still to be brought back, and who is given up."""
    rows = _down(report)
    due = [row["name"] for row in rows if row["phase"] in {"due", "waking"}]
    return due, [row["name"] for row in rows if row["phase"] == "given_up"]


def _down(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of hosts that are down, or were: not of those that still count."""
    rows = report.get("recovery", {}).get("hosts", [])
    return [row for row in rows if row["phase"] != "ordered" and not row["up"]]


def _recovery(report: dict[str, Any]) -> list[str]:
    """Return the table of what an outage took down, while anybody of it is not back."""
    if not any(_to_come_back(report)):
        return []
    rows = [
        (
            row["name"],
            _recovering(row),
            str(row["wakes"] or "-"),
            row["method"].replace("_", "-"),
            row["fault"] or row["why"] or "-",
        )
        for row in _down(report)
    ]
    return ["", *table(("RECOVERY", "STATE", "WOKEN", "BY", "WHY NOT"), rows)]


def _recovering(row: dict[str, Any]) -> str:
    phase, good = row["phase"], duration(row["good"])
    if phase == "back":
        return f"back after {good}"
    if phase == "waking":
        return f"waking for {good}, again in {duration(row['next'])}"
    return str({"stayed": "was not taken down", "given_up": "GIVEN UP"}.get(phase, phase))


def budget(ups: dict[str, Any]) -> str:
    """Say in one line what of a UPS's budget is spent, and what becomes of it."""
    spent, full, charge = ups["spent"], ups["full_runtime"], ups["charge"]
    said = f"{duration(spent)} of {duration(full)} spent"
    if ups["outage"]:
        return f"{said}, and counting"
    if spent < 1:
        return f"nothing of {duration(full)} spent"
    if ups["repaying"]:
        return f"{said}, draining: a second outage now is that much shorter"
    reserve = ups["recharge_reserve"]
    if charge is not None and charge < reserve:
        return f"{said}, not draining below the recharge reserve ({charge:.0f} of {reserve:g} %)"
    return f"{said}, not draining while the power is not known to be good"
