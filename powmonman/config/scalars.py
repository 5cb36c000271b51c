"""One scalar of a YAML file as the value of a key, or the reason why it can't be.

Nothing is converted silently: a text is no number, a number is no text, true is not 1. What YAML
1.1 makes of a plain word is told by the node's tag; the word itself is the node's value.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from yaml import MappingNode, ScalarNode

from powmonman.config.faults import quoted
from powmonman.config.suggest import nearest, seconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from yaml import Node

    from powmonman.config.keys import Key

_CORE = "tag:yaml.org,2002:"
_TRUE = {"yes", "true", "on"}
_FALSE = {"no", "false", "off"}
_BARE = {"int": "number", "float": "number", "timestamp": "date"}


def scalar(node: Node, hint: Any, key: Key) -> Any:
    """Return the value of `node` as `hint`, which is str, bool, int, float or a Literal of texts.

    Raises:
        ValueError: It is none, or out of bounds; the reason in words.
    """
    if get_origin(hint) is Literal:
        return _choice(node, get_args(hint))
    if hint is bool:
        return _boolean(node)
    if hint is int or hint is float:
        return _number(node, hint, key)
    if hint is str:
        return _formed(_text(node, "text"), key)
    raise TypeError(f"the configuration can't hold values of type {hint!r}")


def kind(node: Node) -> str:
    """Return the name of YAML's type: `str`, `int`, `null`, `map`; another tag in full."""
    return node.tag.removeprefix(_CORE)


def found(node: Node) -> str:
    """Say what stands in the file, for a message."""
    if not isinstance(node, ScalarNode):
        return "a section of keys" if isinstance(node, MappingNode) else "a list"
    text = quoted(node.value)
    if kind(node) == "null":
        return f"{node.value}, which YAML reads as nothing" if node.value else "nothing"
    if kind(node) == "bool":
        truth = "true" if node.value.lower() in _TRUE else "false"
        return truth if node.value == truth else f"{node.value}, which YAML reads as {truth}"
    if kind(node) in _BARE:
        return f"the {_BARE[kind(node)]} {text[1:-1]}"
    return f"the text {text}" if kind(node) == "str" else f"{text} with the tag {quoted(node.tag)}"


def shown(number: float) -> str:
    """Write a number without a needless fraction."""
    if abs(number) >= 1e15:
        return "a number with too many digits"
    return str(int(number)) if number == int(number) else repr(number)


def bounds(key: Key) -> str:
    """Return the bounds of a key's number in words; empty when it has none."""
    unit = f" {key.unit}" if key.unit else ""
    low, high = key.minimum, key.maximum
    if low is not None and high is not None:
        return f"{shown(low)} to {shown(high)}{unit}"
    if low is not None:
        return f"at least {shown(low)}{unit}"
    return f"at most {shown(high)}{unit}" if high is not None else ""


def listed(names: Iterable[str], last_word: str = "or") -> str:
    """Write names as a person would: 'a', 'b' or 'c'."""
    *most, last = map(repr, names)
    return f"{', '.join(most)} {last_word} {last}" if most else last


def _text(node: Node, expected: str) -> str:
    if isinstance(node, ScalarNode) and kind(node) == "str":
        text = str(node.value)
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise ValueError("the text holds a character that no file or command can have")
        return text
    told = f"expected {expected}, found {found(node)}"
    if isinstance(node, ScalarNode) and kind(node) == "null":
        told += ": give a value, or leave the key out for its default"
    elif not node.tag.startswith(_CORE):
        told += ": remove it"
    elif isinstance(node, ScalarNode) and node.style is None:
        told += f': quote it to make it text: "{quoted(node.value)[1:-1]}"'
    raise ValueError(told)


def _formed(text: str, key: Key) -> str:
    if key.form:
        try:
            key.form.canonical(text)
        except ValueError as error:
            raise ValueError(f"{quoted(text)}: {error}") from error
    return text


def _choice(node: Node, choices: tuple[str, ...]) -> str:
    text = _text(node, listed(choices))
    if text in choices:
        return text
    close = nearest(text, choices)
    remark = f" (did you mean {listed(close)}?)" if close else ""
    raise ValueError(f"expected {listed(choices)}, found {quoted(text)}{remark}")


def _boolean(node: Node) -> bool:
    word = node.value.lower() if isinstance(node, ScalarNode) else ""
    if kind(node) == "bool" and word in _TRUE | _FALSE:
        return word in _TRUE
    remark = ": write it without quotes" if kind(node) == "str" and word in _TRUE | _FALSE else ""
    raise ValueError(f"expected true or false, found {found(node)}{remark}")


def _number(node: Node, hint: type, key: Key) -> float:
    expected = "a whole number" if hint is int else "a number"
    if key.unit == "s":
        expected += " of seconds"
    number = _read_number(node)
    if number is None:
        raise ValueError(f"expected {expected}, found {found(node)}{_remedy(node, key)}")
    if not math.isfinite(number):
        raise ValueError(f"expected a finite number, found {quoted(node.value)[1:-1]}")
    if hint is int and not isinstance(number, int):
        remark = f": write {shown(number)}" if number == int(number) else ""
        raise ValueError(f"expected {expected}, found {quoted(node.value)[1:-1]}{remark}")
    _bounded(number, key)
    return hint(number)  # type: ignore[no-any-return]


def _read_number(node: Node) -> float | None:
    """Return what YAML takes for a number, except in base 60, which nobody means."""
    if kind(node) not in {"int", "float"}:
        return None
    text = node.value.replace("_", "").lower()
    if kind(node) == "int":
        digits = text.lstrip("+-")
        if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
            number = f"{quoted(node.value)[1:-1]} begins with 0, which YAML reads as octal"
            raise ValueError(f"{number}: leave the 0 out")
        try:
            whole = int(text, 0)
        except ValueError:
            return None
        # Beyond this a float can't tell neighbours apart, and no key means such a number.
        return whole if abs(whole) < 10**15 else math.inf
    return _real(text.replace(".inf", "inf").replace(".nan", "nan"))


def _real(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _remedy(node: Node, key: Key) -> str:
    if kind(node) == "null":
        return ": give a number, or leave the key out for its default"
    if not isinstance(node, ScalarNode):
        return ""
    if ":" in node.value and key.unit == "s":
        return ": write seconds, such as 600"
    number = _real(node.value)
    if number is not None:
        return f": write {shown(number)}" if abs(number) < 1e15 else ""
    duration = seconds(node.value) if key.unit == "s" else None
    return f": write seconds: {shown(duration)}" if duration is not None else ""


def _bounded(number: float, key: Key) -> None:
    low, high = key.minimum, key.maximum
    if (low is not None and number < low) or (high is not None and number > high):
        raise ValueError(f"is {shown(number)}, but must be {bounds(key)}")
