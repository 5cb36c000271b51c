"""What the server hands to the process that delivers, and what it gets back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from powmonman.config.notify_keys import Template
from powmonman.core.records import from_json, parse, to_json
from powmonman.notify.spool import Message  # noqa: TC001 - read at run time, by from_json()

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Sending:
    """One message that is to be sent.

    Attributes:
        age: Seconds since it was to be sent; None: nobody knows.
        late: Whether that is so long that the text says so.
        shift: What its wall-clock times are wrong by, in seconds: the clock may have been set.
    """

    message: Message
    age: float | None = 0.0
    late: bool = False
    shift: float = 0.0


@dataclass(frozen=True)
class Job:
    """One errand: some messages to one target, in order.

    Attributes:
        file: The file with the targets.
        timeout: Seconds that each message has.
        dropped: Older messages that gave way, for the first one to tell.
    """

    file: str
    target: str
    sendings: tuple[Sending, ...]
    timeout: float = 30.0
    fleet: str = ""
    server: str = ""
    dropped: int = 0


@dataclass(frozen=True)
class Result:
    """What became of one message.

    Attributes:
        reason: Why it was not sent, without anything secret.
        gone: There is no such target any longer.
        faults: Of the operator's templates, which gave way to the default words.
    """

    number: int
    sent: bool = False
    reason: str = ""
    title: str = ""
    took: float = 0.0
    gone: bool = False
    faults: tuple[str, ...] = ()


def packed(job: Job, templates: Mapping[str, Template]) -> bytes:
    """Return both as one JSON object."""
    own = {name: asdict(template) for name, template in templates.items()}
    return json.dumps({"job": to_json(job), "templates": own}).encode()


def unpacked(text: bytes) -> tuple[Job, dict[str, Template]]:
    """Return what was packed; the templates to the letter: they are the configuration's.

    Raises:
        ValueError: It is nothing that was packed.
    """
    value = parse(text)
    try:
        own = {
            str(name): Template(str(each["title"]), str(each["body"]))
            for name, each in value["templates"].items()
        }
        return from_json(Job, value["job"]), own
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no job: {error}") from None
