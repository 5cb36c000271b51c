"""`powmonman ca`: the fleet CA on the control node."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from powmonman.net.tls import SERVER_NAME

if TYPE_CHECKING:
    import argparse

    from powmonman.pki.authority import Authority, Changes

FAILED, USAGE = 1, 2
_EPILOG = """\
The CA's key is encrypted if POWMONMAN_CA_PASSPHRASE is set when it is made; the same variable
opens it. Keep a copy of the directory in a safe place: whoever has it can switch the fleet off.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the subcommands and their options."""
    parser.epilog = _EPILOG
    commands = parser.add_subparsers(dest="what", required=True, metavar="COMMAND")

    def add(name: str, what: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=what, description=what)
        one.add_argument("--dir", required=True, type=Path, help="the CA's directory")
        one.add_argument("--json", action="store_true", help="for programs")
        if name != "list":
            one.add_argument(
                "--allow-in-repository",
                action="store_true",
                help="even if git would pick the directory up",
            )
        return one

    for one in (
        add("issue", "Make the CA and the certificates that are missing; change nothing else."),
        rotate := add("rotate", "Replace keys and certificates, and revoke the old ones."),
    ):
        one.add_argument("--server", action="store_true", help="the server's")
        one.add_argument(
            "--client", nargs="*", action="extend", default=[], metavar="NAME", help="a host's"
        )
    rotate.add_argument(
        "--authority",
        choices=("begin", "finish", "retire"),
        help="replace the CA itself, in three steps with a roll-out after each",
    )
    revoke = add("revoke", "Refuse what was issued to these hosts.")
    revoke.add_argument(
        "names", nargs="+", metavar="NAME", help=f"a host, or {SERVER_NAME} for the server"
    )
    add("list", "Show who has a certificate.")


def run(args: argparse.Namespace) -> int:
    """Run a subcommand; returns the exit code."""
    try:
        from powmonman.pki.authority import Authority
        from powmonman.pki.directory import AuthorityError
    except ImportError as error:
        print(
            f"powmonman ca: the fleet CA needs the Python package cryptography ({error}): "
            "pip install 'powmonman[ca]', or your distribution's python3-cryptography",
            file=sys.stderr,
        )
        return FAILED
    authority = Authority(
        args.dir.expanduser(),
        os.environ.get("POWMONMAN_CA_PASSPHRASE", ""),
        in_repository=getattr(args, "allow_in_repository", False),
    )
    try:
        return _list(authority, args) if args.what == "list" else _change(authority, args)
    except AuthorityError as error:
        print(f"powmonman ca: {error}", file=sys.stderr)
        return FAILED


def _change(authority: Authority, args: argparse.Namespace) -> int:
    if args.what == "revoke":
        changes = authority.revoke(args.names)
    else:
        if SERVER_NAME in args.client:
            return _usage(f"{SERVER_NAME} can't be a host's name; the server itself: --server")
        names = [*([SERVER_NAME] if args.server else []), *args.client]
        if args.what == "issue":
            changes = authority.issue(names)
        elif bool(names) == bool(args.authority):
            return _usage("rotate either --server and --client NAME, or --authority STEP")
        else:
            changes = (
                authority.replace(args.authority) if args.authority else authority.rotate(names)
            )
    print(_as_json(authority, changes) if args.json else _as_text(authority, changes))
    return 0


def _usage(fault: str) -> int:
    print(f"powmonman ca: {fault}", file=sys.stderr)
    return USAGE


def _as_json(authority: Authority, changes: Changes) -> str:
    return json.dumps(
        {"changed": bool(changes), **asdict(changes), "ca_fingerprint": authority.fingerprint}
    )


def _as_text(authority: Authority, changes: Changes) -> str:
    lines = [f"{what}: {one}" for what, which in asdict(changes).items() for one in which]
    return "\n".join([*(lines or ["nothing to do"]), f"fleet CA: {authority.fingerprint}"])


def _list(authority: Authority, args: argparse.Namespace) -> int:
    entries = authority.entries()
    if args.json:
        listed = [asdict(entry) for entry in entries]
        print(json.dumps({"ca_fingerprint": authority.fingerprint, "issued": listed}))
        return 0
    width = max((len(entry.name) for entry in entries), default=0)
    for entry in entries:
        print(f"{entry.name:{width}}  {entry.state:13}  {entry.fingerprint}")
    print(f"fleet CA: {authority.fingerprint}")
    return 0
