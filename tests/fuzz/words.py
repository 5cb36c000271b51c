"""What inputs are made of, for the mutators: without it they would have to guess whole words."""

from __future__ import annotations

from dataclasses import fields

from powmonman.core import messages
from powmonman.core.plan import Plan, Rules

JSON = (
    *(b"{}", b"[]", b"null", b"true", b"false", b'""', b"NaN", b"Infinity", b"-Infinity"),
    *(b"1e999", b"-1e308", b"1e308", b"-1", b"0.5", b"9" * 30, b"\\ud800", b"\\u0000", b"\\u001b["),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\r\n", b"\0"),
)
DEEP = (900, 960, 975, 980, 985, 990, 995, 1000, 20_000)


def _keys(*classes: type) -> tuple[bytes, ...]:
    names = dict.fromkeys(field.name for cls in classes for field in fields(cls))
    return tuple(f'"{name}":'.encode() for name in names)


RULES = _keys(Rules)
PLAN = _keys(Plan)
MESSAGES = (
    *(f'{{"type":"{name}",'.encode() for name in messages._TYPES),
    *_keys(
        messages.State, messages.Own, messages.UpsNews, messages.Policy, messages.Order,
        messages.Drill, messages.Hello, messages.Ack, messages.Status, messages.DrillStatus,
        messages.Diary, messages.Entry, messages.ShutdownFleet, messages.Report, messages.Error,
    ),
    *(b'"on_battery"', b'"on_mains"', b'"unknown"', b'"idle"', b'"counting"', b'"waiting"'),
    *(b'"committed"', b'"halting"'),
)  # fmt: skip
