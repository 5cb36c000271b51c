"""`powmonman check-config`: every fault of the given files, or what each would put in force."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeVar

from powmonman.config import loader
from powmonman.config.client_schema import ClientConfig
from powmonman.config.faults import ConfigError, Fault, printable, quoted
from powmonman.config.scalars import shown
from powmonman.config.shutdown_keys import Command, FleetPolicy, HostPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from powmonman.config.notify_keys import Notify
    from powmonman.config.schema import GuardConfig, ServerConfig
    from powmonman.config.sources import Source, Ups

GOOD, BAD = 0, 2

_KINDS = ("server", "client", "guard")
T = TypeVar("T")

_BOLD, _RED, _YELLOW, _GREEN = "1", "31", "33", "32"


def check_files(paths: Iterable[Path | str], kind: str | None = None) -> int:
    """Check each file; faults and warnings go to stderr, a line for each good file to stdout.

    Args:
        paths: The files; `-` is the standard input.
        kind: "server", "client" or "guard"; by default the file's name tells.

    Returns:
        0 if all files are good, warnings or not; 2 if any has a fault.
    """
    results = [_check(Path(path), kind) for path in paths]
    return GOOD if all(results) else BAD


def _check(path: Path, kind: str | None) -> bool:
    try:
        loaded = _read(path, _schema(kind or _kind_of(path)))
    except ConfigError as error:
        for fault in error.faults:
            _report(fault, "")
        return False
    for warning in loaded.warnings:
        _report(warning, "warning")
    config = loaded.config
    words = [] if isinstance(config, ClientConfig) else _faults_of_words(config.notify)
    for key, message in words:
        _report(Fault(printable(str(path)), None, None, key, message), "")
    if words:
        return False
    told = _told(config)
    name = _painted(printable(str(path)), _BOLD, sys.stdout)
    print(f"{name}: {_painted('ok', _GREEN, sys.stdout)} ({told})")
    return True


def _schema(kind: str) -> type[ServerConfig | ClientConfig | GuardConfig]:
    if kind == "client":
        return ClientConfig
    from powmonman.config.schema import GuardConfig, ServerConfig

    return ServerConfig if kind == "server" else GuardConfig


def _read(path: Path, cls: type[T]) -> loader.Loaded[T]:
    if str(path) == "-":
        return loader.parse(sys.stdin.read(), cls, "-")
    return loader.read(path, cls)


def _faults_of_words(notify: Notify) -> list[tuple[str, str]]:
    """Return what is wrong with templates, by key. A server that runs takes its default words."""
    if not notify.templates:
        return []
    from powmonman.notify.rendering import faults_of

    return [
        (f"notify.templates.{event}", fault)
        for event, template in notify.templates.items()
        for fault in faults_of(template)
    ]


def _told(config: ServerConfig | ClientConfig | GuardConfig) -> str:
    if isinstance(config, ClientConfig):
        return _client(config)
    from powmonman.config.schema import ServerConfig

    if isinstance(config, ServerConfig):
        return _server(config)
    return f"{_sensed(config.ups)}; {_client(config)}{_notified(config.notify)}"


def _kind_of(path: Path) -> str:
    """Return what kind of file this is by its name: `server.yml`, `client-nas.yml`."""
    kinds = [kind for kind in _KINDS if kind in path.name.lower()]
    if len(kinds) == 1:
        return kinds[0]
    message = (
        "is this a server's, a client's or a guard's file? Say --kind server, --kind client or "
        "--kind guard"
    )
    raise ConfigError([Fault(printable(str(path)), None, None, "", message)])


def _server(config: ServerConfig) -> str:
    watched = ", ".join(f"{name} {_sensed(ups)}" for name, ups in config.upses.items())
    count = "1 UPS" if len(config.upses) == 1 else f"{len(config.upses)} UPSes"
    policy = config.policy
    when = [f"after {shown(policy.after)} s on battery", *_triggers(policy)]
    told = f"{count}: {watched}; hosts shut down {' or '.join(when)}, if not told otherwise"
    return told + _notified(config.notify)


def _notified(notify: Notify) -> str:
    return f"; notifications to the targets in {notify.targets}" if notify.enabled else ""


def _sensed(ups: Ups) -> str:
    from powmonman.config.sources import sources

    first, *witnesses = [_by(source) for _, source in sources(ups)]
    if not witnesses:
        return first
    quorum = ups.quorum or 1 + len(witnesses)
    return f"{', '.join([first, *witnesses])} ({quorum} of {1 + len(witnesses)} must say off)"


def _by(source: Source) -> str:
    said = {
        "gpio": f"on GPIO{source.gpio.pin}",
        "battery": "by this host's own battery",
        "nut": f"by NUT's {source.nut.ups} at {source.nut.host}",
        "apcupsd": f"by the apcupsd at {source.apcupsd.host}",
        "ping": f"by ping of {', '.join(source.ping.hosts)}",
    }
    if source.sensor == "command":
        return f"by {_run(Command(source.command.command))}"
    return said.get(source.sensor, source.sensor)


def _triggers(policy: FleetPolicy | HostPolicy) -> list[str]:
    said = []
    if policy.charge_below:
        said.append(f"below {shown(policy.charge_below)} % charge")
    if policy.charge_drop:
        said.append(f"when {shown(policy.charge_drop)} of the charge is used up")
    if policy.runtime_below:
        said.append(f"below {shown(policy.runtime_below)} s runtime")
    if policy.low_battery:
        said.append("at low battery")
    return said


def _client(config: ClientConfig | GuardConfig) -> str:
    policy = config.policy
    when = f"as the fleet's policy says, but at least {shown(policy.min_observe)} s on battery"
    if policy.after is not None:
        when = f"after {shown(max(policy.after, policy.min_observe))} s on battery"
    when = " or ".join([when, *_triggers(policy)])
    commands = config.shutdown.commands
    steps = [*(_run(command) for command in commands[:2]), _run(config.shutdown.final)]
    if len(commands) > 2:
        steps.insert(2, f"{len(commands) - 2} more")
    if config.shutdown.presets:
        steps.insert(0, f"the presets {', '.join(config.shutdown.presets)}")
    what = "dry run, would shut down" if config.dry_run else "shuts down"
    return f"{what} {when}: {', then '.join(steps)}"


def _run(command: Command) -> str:
    text = shlex.join(command.command)
    if len(text) <= 60 and text.isprintable():
        return text
    program = command.command[0].rpartition("/")[2]
    return f"{program if program.isprintable() else quoted(program)} …"


def _report(fault: Fault, label: str) -> None:
    parts = [_painted(fault.place, _BOLD, sys.stderr)]
    if label:
        parts.append(_painted(label, _YELLOW, sys.stderr))
    if fault.key:
        parts.append(_painted(fault.key, _YELLOW if label else _RED, sys.stderr))
    print(": ".join([*parts, fault.message]), file=sys.stderr)


def _painted(text: str, colour: str, stream: TextIO) -> str:
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty()
    return text if plain else f"\x1b[{colour}m{text}\x1b[0m"
