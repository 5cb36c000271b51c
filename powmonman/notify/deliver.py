"""`powmonman notify-deliver`: the process that sends, apart from the server.

It reads a job on standard input and writes one JSON line a message to standard output. Apprise and
its libraries live and die here: what they take of memory, what they print, where they hang, is
nothing to the server, which kills this process when its time is up. Nothing else is printed, so
that no library can put a password into the log.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from powmonman.config.faults import ConfigError
from powmonman.core.records import to_json
from powmonman.notify.job import Job, Result, Sending, unpacked
from powmonman.notify.redact import redacted
from powmonman.notify.rendering import Circumstances, Text, words
from powmonman.notify.sender import Sender, SenderError
from powmonman.notify.targets import Target, load

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from powmonman.config.notify_keys import Template

LARGEST = 16 * 1024 * 1024
# A server that was killed can't kill this process: it ends by itself, a little later.
GRACE = 15


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `powmonman notify-deliver`: there are none."""
    parser.description = "Send what standard input says. The server runs this by itself."


def run(_: argparse.Namespace) -> int:
    """Do the job on standard input; the exit code says nothing, the lines do."""
    text = sys.stdin.buffer.read(LARGEST)
    results = _only_results()
    _stand_back()
    for result in delivered(*unpacked(text)):
        print(json.dumps(to_json(result)), file=results, flush=True)
    return 0


def delivered(job: Job, templates: Mapping[str, Template]) -> Iterator[Result]:
    """Send the messages in order, up to the first that can't be sent."""
    first = job.sendings[0].message.number
    try:
        target = load(job.file).get(job.target)
        if target is None:
            yield Result(first, reason="there is no such target any longer", gone=True)
            return
        sender = Sender(target.url)
    except ConfigError as error:
        yield Result(first, reason=str(error.faults[0]))
        return
    except SenderError as error:
        yield Result(first, reason=str(error))
        return
    for sending in job.sendings:
        result = _one(sending, target, sender, job, templates)
        yield result
        if not result.sent:
            return
        job = replace(job, dropped=0)


def _one(
    sending: Sending,
    target: Target,
    sender: Sender,
    job: Job,
    templates: Mapping[str, Template],
) -> Result:
    number, began = sending.message.number, time.monotonic()
    if not target.wants(sending.message.events):
        return Result(number, sent=True)
    try:
        text = _text(sending, target, job, templates)
    except ImportError:
        reason = "Jinja2 is missing: apt install python3-jinja2, or pip install 'powmonman[notify]'"
        return Result(number, reason=reason)
    except Exception as error:  # noqa: BLE001 - whatever it is, the server must hear of it
        reason = redacted(f"no words: {type(error).__name__}: {error}", target.url)
        return Result(number, reason=reason)
    signal.alarm(int(job.timeout) + GRACE)
    reason = sender.send(text)
    signal.alarm(0)
    took = round(time.monotonic() - began, 1)
    return Result(number, not reason, reason, text.title, took, faults=text.faults)


def _text(sending: Sending, target: Target, job: Job, templates: Mapping[str, Template]) -> Text:
    events = tuple(
        replace(
            event,
            at=event.at + sending.shift,
            since=None if event.since is None else event.since + sending.shift,
        )
        for event in target.wants(sending.message.events)
    )
    age = float("inf") if sending.age is None else sending.age
    around = Circumstances(
        fleet=job.fleet,
        server=job.server,
        now=time.time(),
        late=age if sending.late else None,
        more=sending.message.more,
        dropped=job.dropped,
    )
    return words(events, templates, around)


def _only_results() -> TextIO:
    """Return what leads to the server, and lead everything else that is printed nowhere."""
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    sys.stdout.flush()
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    logging.lastResort = None
    return results


def _stand_back() -> None:
    """Let everything else go first, and be the first to go when memory is short."""
    # The service's sandbox forbids the first of these.
    with contextlib.suppress(OSError):
        os.nice(10)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")
