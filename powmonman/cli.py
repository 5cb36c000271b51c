"""The `powmonman` command. Every subcommand imports only what it needs, when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from powmonman import __version__
from powmonman.later import later

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

later("inspect")

OK, FAILED, USAGE = 0, 1, 2
DIRECTORY = Path("/etc/powmonman")

# Command, the module that has its add_arguments() and run(), and its line in --help, if any.
MODULES = (
    ("status", "powmonman.status", "show the UPSes and every host, as the server sees them"),
    ("watch", "powmonman.watch", "the same as a live table"),
    ("verify", "powmonman.verify", "check that this host would be protected"),
    ("plan", "powmonman.plan", "say what an outage now would do, when, and why"),
    ("history", "powmonman.history", "tell what happened in outages and drills"),
    ("drill", "powmonman.drill", "rehearse an outage on the whole fleet; nothing is switched off"),
    ("shutdown-fleet", "powmonman.shutdown_fleet", "shut every host down now, whatever the power"),
    ("guard", "powmonman.guard.command", "guard this one machine: server and client from one file"),
    ("notify-test", "powmonman.notify.trial", "send a test message to every target, now"),
    ("notify-deliver", "powmonman.notify.deliver", ""),
    ("simulate", "powmonman.simulate", "set what a simulated sensor reads"),
    ("ca", "powmonman.ca_cli", "the fleet CA: create, issue, rotate, revoke"),
    ("wake-arm", "powmonman.client.wake_on_lan", "let a magic packet wake this host (as root)"),
    ("bundle", "powmonman.bundle", "build the single file that hosts receive"),
    ("compile", "powmonman.compiled", "compile that file for this host's Python: a faster start"),
    ("process", "powmonman.service.process", "start and stop a daemon without systemd"),
    ("demo", "powmonman.demo", "roll a small fleet out on this machine and pull the plug"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    args = _of_a_unit(argv)
    if args is None:
        parser = _parser(argv[0] if argv else "")
        args = parser.parse_args(argv)
        if args.command is None:
            parser.print_help()
            return USAGE
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return FAILED


def _of_a_unit(argv: list[str]) -> Any:
    """Read a daemon's line in its unit without argparse, which it would keep: 0.4 MB."""
    match argv:
        case ["client" | "server" as kind, "--config", path] if not path.startswith("-"):
            return SimpleNamespace(command=kind, config=Path(path), run=_daemon)
    return None


def server_main() -> int:
    """Run `powmonman server`."""
    return main(["server", *sys.argv[1:]])


def client_main() -> int:
    """Run `powmonman client`."""
    return main(["client", *sys.argv[1:]])


def _parser(command: str) -> argparse.ArgumentParser:
    """Build the parser for a command line that begins with `command`.

    One that begins with no command is read with all of them, for the help and for what is wrong.
    """
    import argparse

    look = partial(argparse.HelpFormatter, width=_columns() - 2)
    parser = argparse.ArgumentParser(
        prog="powmonman",
        description="Shuts a whole fleet down cleanly when the mains fail.",
        epilog="Exit codes: 0 done, 1 failed, 2 bad usage or configuration; status has its own.",
        formatter_class=look,
    )
    parser.add_argument("--version", action="version", version=f"powmonman {__version__}")
    if command == "--version":
        return parser
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    called = [each for each in _COMMANDS if each[0] == command]
    for name, module, what in called or _COMMANDS:
        listed: dict[str, Any] = {"help": what} if what else {}
        one = commands.add_parser(name, description=what, formatter_class=look, **listed)
        if not called:
            continue
        if not module:
            _BUILT_IN[name](one)
            continue
        loaded = importlib.import_module(module)
        loaded.add_arguments(one)
        one.set_defaults(run=loaded.run)
    return parser


def _columns() -> int:
    """How wide help may be. For that argparse would import `shutil`, and that two compressors."""
    try:
        return int(os.environ.get("COLUMNS", "0")) or os.get_terminal_size(1).columns
    except (OSError, ValueError):
        return 80


def _take_daemon(parser: argparse.ArgumentParser, kind: str) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        default=DIRECTORY / f"{kind}.yml",
        metavar="FILE",
        help=f"configuration ({DIRECTORY / f'{kind}.yml'})",
    )
    parser.set_defaults(run=_daemon)


def _take_shutdown(parser: argparse.ArgumentParser) -> None:
    _take_daemon(parser, "client")
    parser.add_argument(
        "--stdin", action="store_true", help="read the commands from standard input (JSON)"
    )
    parser.add_argument(
        "--check", action="store_true", help="run none of them, but check each, as a drill does"
    )
    parser.add_argument(
        "--request",
        type=Path,
        metavar="FILE",
        help="what the client asked with; if that is old, nothing is run",
    )


def _take_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="- is the standard input"
    )
    parser.add_argument(
        "--kind", choices=("server", "client", "guard"), help="what kind of file it is"
    )
    parser.set_defaults(run=_check)


# What needs no module of its own to be read.
_BUILT_IN: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "server": partial(_take_daemon, kind="server"),
    "client": partial(_take_daemon, kind="client"),
    "run-shutdown": _take_shutdown,
    "check-config": _take_check,
}
_COMMANDS = (
    ("server", "", "sense the mains and tell the fleet"),
    ("client", "", "shut this host down when its UPS can't carry it any longer"),
    ("run-shutdown", "", "run this host's shutdown commands, now"),
    ("check-config", "", "check configuration files"),
    *MODULES,
)


def _check(args: argparse.Namespace) -> int:
    from powmonman.config.check import check_files

    return int(check_files(args.files, args.kind))


def _daemon(args: argparse.Namespace) -> int:
    from powmonman.config.faults import ConfigError

    try:
        return _start(args)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return USAGE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"powmonman {args.command}: {where}{error.strerror or error}", file=sys.stderr)
        return FAILED
    except _identity_error() as error:
        print(f"powmonman {args.command}: {error}", file=sys.stderr)
        return USAGE


def _start(args: argparse.Namespace) -> int:
    if args.command == "server":
        from powmonman.server import app

        return app.run(args.config)
    if args.command == "client":
        from powmonman.client import agent

        return agent.run(args.config)
    if args.check:
        from powmonman.client.check import main as check

        return check(args.config)
    from powmonman.client import root

    if args.stdin:
        return root.run_given(sys.stdin.read())
    return root.run_shutdown(args.config, args.request)


def _identity_error() -> type[Exception]:
    from powmonman.net.tls import IdentityError

    return IdentityError
