"""`powmonman history`: the record of outages and drills, read from the server's own file.

The server need not run. Exit codes: 0 printed, 1 no such record, or several, 2 bad usage or
configuration, 3 the record can't be read.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from powmonman.config.loader import ConfigError
from powmonman.core.durations import duration
from powmonman.core.story import clock, lines
from powmonman.core.timeline import began_at, merge, tally
from powmonman.guard.derive import server_of
from powmonman.server.archive import FILE, NewerError, Record, read
from powmonman.service.clock import boot_id
from powmonman.status import servers_file
from powmonman.table import table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

OK, FAILED, USAGE, UNREADABLE = range(4)
SHORT = 4


class HistoryError(Exception):
    """The record can't be read, and why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `powmonman history`."""
    parser.description = (
        "The record of outages and drills, on the server's host. Without an action: list them."
    )
    parser.epilog = (
        "Exit codes: 0 printed, 1 no such record or several, 2 bad configuration, 3 unreadable."
    )
    _common(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for action, purpose in (
        ("list", "list what is on record, the newest first"),
        ("show", "tell one outage or drill from its beginning"),
    ):
        one = actions.add_parser(action, help=purpose, description=purpose)
        _common(one)
        if action == "show":
            one.add_argument("id", nargs="?", help="its id, or how it begins (the newest)")


def _common(parser: argparse.ArgumentParser) -> None:
    import argparse

    parser.add_argument(
        "--config",
        type=Path,
        default=argparse.SUPPRESS,
        metavar="FILE",
        help=f"the server's configuration, or the guard's ({servers_file()})",
    )
    parser.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="print it as JSON"
    )


def run(args: argparse.Namespace) -> int:
    """Print the list, or one record; return the exit code."""
    try:
        path = Path(server_of(getattr(args, "config", servers_file())).state_dir) / FILE
        records = _read(path)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return USAGE
    except HistoryError as error:
        print(error, file=sys.stderr)
        return UNREADABLE
    as_json = getattr(args, "json", False)
    if args.action == "show":
        return _show(records, args.id, as_json=as_json)
    if as_json:
        print(json.dumps([_summary(record) for record in records], indent=2))
    else:
        print("\n".join(_list(records)))
    return OK


def _read(path: Path) -> list[Record]:
    try:
        return read(path)
    except FileNotFoundError:
        if path.parent.is_dir():
            return []
        raise HistoryError(f"{path}: no such file: is this the server's host?") from None
    except PermissionError:
        raise HistoryError(f"{path}: permission denied: be root or in the group") from None
    except NewerError as error:
        raise HistoryError(f"{path}: written by a newer version: {error}") from None
    except (OSError, sqlite3.Error) as error:
        why = getattr(error, "strerror", None) or error
        raise HistoryError(f"{path}: {why}: the server sets a damaged file aside") from None


def _show(records: list[Record], wanted: str | None, *, as_json: bool) -> int:
    if wanted is None:
        if not records:
            print("\n".join(_list(records)), file=sys.stderr)
            return FAILED
        wanted = records[0].id
    exact = [record for record in records if record.id == wanted]
    found = exact or [record for record in records if wanted and record.id.startswith(wanted)]
    if len(found) != 1:
        known = ", ".join(_short(record, records) for record in found or records) or "nothing"
        what = "several begin with" if found else "no outage or drill on record begins with"
        print(f"{what} {wanted!r}: {known}", file=sys.stderr)
        return FAILED
    (record,) = found
    if as_json:
        timeline = [asdict(moment) for moment in merge(record.moments)]
        print(json.dumps({**_summary(record), "timeline": timeline}, indent=2))
    else:
        print("\n".join(_tell(record, records)))
    return OK


def _summary(record: Record) -> dict[str, Any]:
    story = merge(record.moments)
    return {
        "id": record.id,
        "ups": record.ups,
        "drill": record.drill,
        "began": began_at(record.began.wall, story),
        "length": record.length,
        "ended": _ended(record),
        "claimed_by": record.claimed_by,
        **asdict(tally(story)),
    }


def _ended(record: Record) -> str:
    """Say how it ended: `mains back`, `not yet`, or `unseen`: the server was gone by then."""
    if record.length is not None:
        return "over"
    return "not yet" if record.began.boot_id and record.began.boot_id == boot_id() else "unseen"


def _list(records: list[Record]) -> list[str]:
    if not records:
        return ["no outage and no drill on record"]
    rows = []
    for record in records:
        summary = _summary(record)
        back = f"{len(summary['back'])} of {len(summary['went'])}" if summary["went"] else "-"
        rows.append(
            (
                _short(record, records),
                _when(summary["began"]) or "-",
                record.ups or "?",
                _length(record),
                str(len(summary["went"])),
                back,
                "drill" if record.drill else "-",
            )
        )
    return table(("ID", "WHEN", "UPS", "LENGTH", "WENT", "BACK", "DRILL"), rows)


def _short(record: Record, records: list[Record]) -> str:
    """Return as much of an id as names it alone, at least what the logs show of it."""
    for length in range(SHORT, len(record.id)):
        if sum(other.id.startswith(record.id[:length]) for other in records) == 1:
            return record.id[:length]
    return record.id


def _length(record: Record) -> str:
    if record.length is not None:
        return duration(record.length)
    return {"not yet": "going on", "unseen": "?"}[_ended(record)]


def _when(wall: float | None, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    if wall is None:
        return ""
    return datetime.fromtimestamp(wall).astimezone().strftime(form)


def _tell(record: Record, records: list[Record]) -> Iterator[str]:
    story = merge(record.moments)
    began = began_at(record.began.wall, story)
    facts = [
        f"{'drill' if record.drill else 'outage'} {_short(record, records)}",
        record.ups,
        _when(began) or "no trusted clock",
        _length(record) if record.length is not None else "",
        "not over yet" if _ended(record) == "not yet" else "",
        f"known from {record.claimed_by} alone" if record.claimed_by else "",
    ]
    yield " · ".join(fact for fact in facts if fact)
    yield ""
    told = list(lines(story, record.ups, began))
    width = max((len(clock(line.at)) for line in told), default=0)
    for line in told:
        # A drill may run faster than the clock.
        dated = began is not None and not record.drill
        wall = f"{_when(line.wall, '%H:%M:%S'):8}  " if dated else ""
        yield f"{wall}{clock(line.at) or '?':>{width}}  {line.text}"
    result = tally(story)
    if result.went:
        yield ""
        yield f"went: {', '.join(result.went)} · back: {', '.join(result.back) or 'nobody'}" + (
            f" · given up: {', '.join(result.given_up)}" if result.given_up else ""
        )
