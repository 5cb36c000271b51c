"""What the writer of a configuration probably meant."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from powmonman.config.faults import KeyPath, dotted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# A list's position in a path of the schema, and any name of a mapping.
ITEM = 0
NAME = "NAME"

_ALIKE = 0.6
_VERY_ALIKE = 0.8
_LONGEST = 64
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)\s*")
_SECONDS = {
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 0.001),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}


def seconds(text: str) -> float | None:
    """Read a duration such as `10m`, `1h30m` or `90 seconds`; None if it is none."""
    text = text.strip().lower()
    total = 0.0
    at = 0
    while at < len(text) <= _LONGEST:
        part = _DURATION.match(text, at)
        if not part or part[2] not in _SECONDS:
            return None
        total += float(part[1]) * _SECONDS[part[2]]
        at = part.end()
    return round(total, 3) if at else None


def nearest(word: str, choices: Iterable[str], alike: float = _ALIKE) -> tuple[str, ...]:
    """Return the choice most like `word`; two when it is a draw, none when none is alike."""
    ranked = sorted(
        ((_likeness(word, choice), choice) for choice in choices),
        key=lambda entry: (-entry[0], entry[1]),
    )
    best = ranked[0][0] if ranked else 0.0
    if best < alike:
        return ()
    return tuple(choice for likeness, choice in ranked[:2] if likeness == best)


def meant(word: str, section: type, at: KeyPath, root: type) -> tuple[str, tuple[KeyPath, ...]]:
    """Say what the unknown key `word` of `section`, which stands at `at`, should be.

    Returns:
        A remark such as "did you mean 'after'?", and the paths of the keys it names.
    """
    siblings = [part.name for part in fields(section)]
    elsewhere = _elsewhere(word, at, root)
    close = nearest(word, siblings, _VERY_ALIKE)
    # `pin` is a key of the section below before it is a misspelt `ping` of this one.
    below = elsewhere is not None and elsewhere[:-2] == at and elsewhere[-1] == word
    if elsewhere and (below or not close):
        return _belongs(word, elsewhere, at), (elsewhere,)
    close = close or nearest(word, siblings)
    if close:
        named = " or ".join(f"'{name}'" for name in close)
        return f"did you mean {named}?", tuple((*at, name) for name in close)
    return f"valid keys here: {', '.join(siblings)}", ()


def _belongs(word: str, path: KeyPath, at: KeyPath) -> str:
    deeper = len(path) - len(at) - 1 if word == path[-1] else 0
    if deeper == 1 and path[:-2] == at:
        return f"it exists one level down, at {dotted(path)}"
    if deeper == -1 and path[:-1] == at[:-1]:
        return f"it exists one level up, at {dotted(path)}"
    return f"did you mean {dotted(path)}?"


def _elsewhere(word: str, at: KeyPath, root: type) -> KeyPath | None:
    """Find a key of the same name elsewhere, the nearest to `at` first."""
    wanted = _plain(word)
    found = []
    for path in (_concrete(path, at) for path in _paths(root, ())):
        names = [part for part in path if isinstance(part, str)]
        tails = {"_".join(names[start:]) for start in range(len(names))}
        if wanted in tails:
            shared = sum(1 for ours, theirs in zip(path, at, strict=False) if ours == theirs)
            found.append((len(at) - shared, len(path) - shared, path))
    return min(found, key=lambda entry: entry[:2])[2] if found else None


def _paths(hint: Any, at: KeyPath) -> Iterator[KeyPath]:
    """List the paths of all keys under a type."""
    if isinstance(hint, type) and is_dataclass(hint):
        hints = get_type_hints(hint)
        for part in fields(hint):
            path = (*at, part.name)
            yield path
            yield from _paths(hints[part.name], path)
        return
    if get_origin(hint) is tuple:
        yield from _paths(get_args(hint)[0], (*at, ITEM))
    elif get_origin(hint) is dict:
        yield from _paths(get_args(hint)[1], (*at, NAME))


def _concrete(path: KeyPath, at: KeyPath) -> KeyPath:
    """Put the names and positions of `at` where the schema's path leaves them open."""
    filled: list[str | int] = []
    for index, part in enumerate(path):
        open_here = part in {ITEM, NAME}
        shared = index < len(at) and tuple(filled) == at[:index]
        filled.append(at[index] if open_here and shared else part)
    return tuple(filled)


def _plain(word: str) -> str:
    return word.strip().lower().replace("-", "_").replace(" ", "_").replace(".", "_")


def _likeness(word: str, choice: str) -> float:
    if len(word) > _LONGEST:
        return 0.0
    # Imported only where there is a mistake: it would stay in the memory of every daemon.
    from difflib import SequenceMatcher

    return SequenceMatcher(None, _plain(word), _plain(choice)).ratio()
