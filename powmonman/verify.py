"""`powmonman verify`: would this host be protected? What the roll-out ends with, on every host.

It asks the running daemon, not the network: the client's view in its runtime directory, the
server's report on its own socket. The result is one JSON object, so that Ansible can name the
fault.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from powmonman import __version__
from powmonman.client import check
from powmonman.client.shutdown import check_trusted
from powmonman.client.telling import VIEW, VIEW_LASTS
from powmonman.config.loader import ConfigError, load
from powmonman.config.schema import ClientConfig, GuardConfig, ServerConfig
from powmonman.guard import derive
from powmonman.net.tls import IdentityError, client_context, server_context
from powmonman.service.clock import boottime
from powmonman.service.files import read_json
from powmonman.service.program import place
from powmonman.status import StatusError, fetch

if TYPE_CHECKING:
    import argparse

Faults = Iterator[str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `powmonman verify`."""
    parser.add_argument(
        "--config",
        type=Path,
        required=True,
        metavar="FILE",
        help="server.yml, client.yml or guard.yml",
    )
    parser.add_argument(
        "--wait", type=float, default=0.0, metavar="S", help="give the daemon S seconds (0)"
    )


def run(args: argparse.Namespace) -> int:
    """Print `{"ok", "faults", "warnings", "facts"}`; return 0 if the host is protected."""
    facts: dict[str, Any] = {"version": __version__}
    warnings: list[str] = []
    end = time.monotonic() + args.wait
    while True:
        warnings.clear()
        faults = list(_faults(args.config, facts, warnings))
        if not faults or time.monotonic() > end:
            break
        time.sleep(0.2)
    result = {"ok": not faults, "faults": faults, "warnings": warnings, "facts": facts}
    print(json.dumps(result, indent=2))
    return 1 if faults else 0


def _faults(path: Path, facts: dict[str, Any], warnings: list[str]) -> Faults:
    try:
        if derive.is_guard(path):
            client = derive.client(load(path, GuardConfig), derive.this_host())
            server = derive.server_of(path)
            yield from _server(path, server, facts, warnings, unit="powmonman-guard")
            yield from _client(path, client, facts, "powmonman-guard")
        elif path.name.startswith("server"):
            yield from _server(path, load(path, ServerConfig), facts, warnings)
        else:
            config = load(path, ClientConfig)
            warnings += _on_the_servers_host(path, config)
            yield from _client(path, config, facts)
    except ConfigError as error:
        yield str(error)


def _server(
    path: Path,
    config: ServerConfig,
    facts: dict[str, Any],
    warnings: list[str],
    *,
    unit: str = "powmonman-server",
) -> Faults:
    yield from _identity(config.tls.identity, server_context)
    try:
        report = fetch(path)
    except StatusError as error:
        yield str(error)
        return
    facts.update(version_running=report["version"], upses=report["upses"])
    warnings += report.get("warnings", [])
    yield from report["faults"]
    yield from _program(report, unit)
    for name, ups in report["upses"].items():
        if ups["state"] == "unknown":
            yield f"UPS {name}: power unknown: {ups['reason']}"


def _on_the_servers_host(path: Path, config: ClientConfig) -> Iterator[str]:
    """Say what is lost when the host of the server goes down too."""
    beside = path.with_name("server.yml")
    if config.dry_run or not beside.exists():
        return
    yield (
        "this host is the server's: once it is off nobody wakes the others; and if the mains come "
        "back before the battery is empty, it stays off itself until somebody switches it on "
        "(docs/order.md)"
    )
    try:
        clients = load(beside, ServerConfig).clients
    except ConfigError:
        return
    early = [name for name in clients if name not in config.wait_for]
    # Itself is among them, under a name that only its certificate knows.
    if len(early) > 1:
        yield (
            f"this host is the server's, and waits only for {len(config.wait_for)} of "
            f"{len(clients) - 1} hosts: the others may lose their server before they are down"
        )


def _client(
    path: Path, config: ClientConfig, facts: dict[str, Any], unit: str = "powmonman-client"
) -> Faults:
    lost = config.on_lost_contact
    after, kinds = lost.shutdown_after, " and ".join(lost.only_if)
    facts["on_lost_contact"] = f"shuts down after {after:g} s of {kinds}" if after else "stays up"
    yield from _identity(config.tls.identity, client_context)
    yield from _commands(path, config)
    view = read_json(Path(config.runtime_dir) / VIEW)
    if view is None or not _alive(view.get("pid")):
        yield "the client is not running"
        return
    facts.update({name: view.get(name) for name in ("server", "port", "phase", "power", "dry_run")})
    yield from _program(view, unit)
    if view.get("reload_fault"):
        yield f"the last reload was refused: {view['reload_fault']}"
    if not view.get("connected"):
        alone = view.get("lost_contact")
        yield f"not connected to the server{f' · {alone}' if alone else ''}"
        return
    if view.get("power") == "unknown":
        yield f"connected, but the power is unknown: {view.get('reason')}"
    elif view.get("reason"):
        yield f"connected, but {view['reason']}"
    age = boottime() - float(view.get("stamp") or 0.0)
    if age > max(VIEW_LASTS, float(view.get("lease") or 15.0)):
        yield f"the client's clock does not tick: its last word is {age:.0f} s old"


def _program(running: dict[str, Any], unit: str) -> Faults:
    """An upgrade that was interrupted leaves an old program running."""
    if running.get("program") != str(place()):
        what = f"version {running.get('version')} of another build"
        yield f"{what} is still running: systemctl restart {unit}"


def _identity(path: str, context: Callable[[Path], object]) -> Faults:
    try:
        context(Path(path))
    except IdentityError as error:
        yield str(error)
        return
    if Path(path).stat().st_mode & 0o007:
        yield f"{path}: the private key is readable by everybody"


def _commands(path: Path, config: ClientConfig) -> Faults:
    """Every command must be there: it would be found missing at the worst time otherwise."""
    yield from _presets(config.shutdown.presets)
    for command in (*config.shutdown.commands, config.shutdown.final):
        yield from check.missing(command.command)
    if config.shutdown.via == "unit":
        try:
            check_trusted(path)
        except OSError as error:
            yield f"root would not run the commands: {error}"
        yield from check.units()
        yield from check.circles()


@cache
def _presets(names: tuple[str, ...]) -> list[str]:
    """Ask once: what they find wrong doesn't mend itself while we wait for the daemon."""
    from powmonman.client.presets import preflight

    return [fault for name in names for fault in preflight(name)]


def _alive(pid: Any) -> bool:
    if type(pid) is not int:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
