"""Frozen dataclasses to JSON objects and back, with nothing believed on the way in.

Wire messages and the small state files share this. Unknown fields are ignored, missing ones take
their default, and a value of the wrong type, a number that is too large or not finite, or a text
that is too long raises `RecordError`. Control characters in texts are replaced, so that what a peer
says can't forge a line of the log.

msgspec does the same faster, but has no wheel for 32-bit Raspberry Pis; the runner-up, pydantic,
costs a client more memory than everything else together.
"""

from __future__ import annotations

import json
import math
import types
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

LONGEST_TEXT = 1024
MOST_ITEMS = 4096
# Python reads up to 4300 digits, but writes no number of one digit more.
LARGEST_INTEGER = 2**63 - 1
# Most values: no need to look what they may consist of.
_EXACT = frozenset({int, str, bool})
_JSON = frozenset({str, int, float, bool, type(None)})

T = TypeVar("T")


class RecordError(ValueError):
    """What was read is not what was asked for."""


def parse(text: bytes | str) -> dict[str, Any]:
    """Return the JSON object in `text`.

    Raises:
        RecordError: `text` is no JSON object.
    """
    try:
        # Told which encoding it is, json need not guess: a third of the time for a short message.
        value = json.loads(text if isinstance(text, str) else text.decode())
    except (ValueError, RecursionError) as error:
        raise RecordError(f"no JSON: {error}") from None
    if not isinstance(value, dict):
        raise RecordError("no JSON object")
    return value


def from_json(cls: type[T], value: dict[str, Any]) -> T:
    """Return the `cls` that `value` describes.

    Raises:
        RecordError: A field is missing or of the wrong type; the text names it.
    """
    known: dict[str, Any] = {}
    for name, hint, required in _fields(cls):  # type: ignore[arg-type]
        if name in value:
            known[name] = _coerce(hint, value[name], name)
        elif required:
            raise RecordError(f"{name} is missing")
    return cls(**known)


def to_json(record: Any) -> dict[str, Any]:
    """Return `record` as a JSON object.

    Every field is written: the reader may be another version, with other defaults.
    """
    # Most values are JSON already: a call for each of them would cost as much as all the rest, and
    # the server keeps some fifty of every host.
    return {
        name: value if type(value) in _JSON else _plain(value)
        for name, value in vars(record).items()
    }


def printable(text: str) -> str:
    """Return `text` with what a terminal or a log would act on replaced."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


@cache
def _fields(cls: type) -> tuple[tuple[str, Any, bool], ...]:
    """Return of each field its name, its type, and whether it must be there."""
    hints = get_type_hints(cls)
    return tuple(
        (field.name, hints[field.name], field.default is field.default_factory is MISSING)
        for field in fields(cls)
    )


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [item if type(item) in _JSON else _plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return to_json(value)
    return value


def _coerce(hint: Any, value: Any, where: str) -> Any:
    if hint in _EXACT:
        return _exact(hint, value, where)
    if hint is float:
        return _number(value, where)
    origin, args = get_origin(hint), get_args(hint)
    if origin is types.UnionType:
        # The only unions are those with None.
        (inner,) = (arg for arg in args if arg is not type(None))
        return None if value is None else _coerce(inner, value, where)
    if origin in (tuple, dict):
        return _coerce_many(origin, args, value, where)
    if is_dataclass(hint) and isinstance(value, dict):
        return from_json(hint, value)  # type: ignore[arg-type]
    return _scalar(hint, value, where)


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise RecordError(f"{where} is none of {', '.join(get_args(hint))}")
        return value
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        try:
            # Of anything but a text the enumeration would word a complaint, however deep it nests.
            return hint(value if isinstance(value, str) else "")
        except ValueError:
            raise RecordError(f"{where} is none of {', '.join(hint)}") from None
    return _exact(hint, value, where)


def _exact(hint: Any, value: Any, where: str) -> Any:
    if type(value) is not hint:
        raise RecordError(f"{where} is not of type {getattr(hint, '__name__', hint)}")
    if hint is str:
        if len(value) > LONGEST_TEXT:
            raise RecordError(f"{where} is longer than {LONGEST_TEXT} characters")
        return printable(value)
    if hint is int and abs(value) > LARGEST_INTEGER:
        raise RecordError(f"{where} is beyond {LARGEST_INTEGER}")
    return value


def _coerce_many(origin: type, args: tuple[Any, ...], value: Any, where: str) -> Any:
    expected = dict if origin is dict else list
    if not isinstance(value, expected) or len(value) > MOST_ITEMS:
        raise RecordError(f"{where} is not a {expected.__name__} of at most {MOST_ITEMS} items")
    if isinstance(value, dict):
        return {printable(name): _coerce(args[1], item, where) for name, item in value.items()}
    if args[-1] is not Ellipsis:
        if len(value) != len(args):
            raise RecordError(f"{where} does not have {len(args)} items")
        return tuple(_coerce(a, item, where) for a, item in zip(args, value, strict=True))
    return tuple(_coerce(args[0], item, where) for item in value)


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RecordError(f"{where} is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise RecordError(f"{where} is not a finite number")
    return number
