"""A tree of YAML nodes against the type hints of the schema's classes.

The walk never stops at a fault: it notes the fault, takes the default in the key's place, and goes
on, so that all faults of a file are found at once.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields, is_dataclass, replace
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from yaml import MappingNode, ScalarNode, SequenceNode

from powmonman.config.document import MAX_NODES
from powmonman.config.faults import Fault, KeyPath, dotted, quoted
from powmonman.config.keys import Key, described
from powmonman.config.scalars import found, kind, scalar
from powmonman.config.suggest import meant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yaml import Node

# More than anybody mends in one go; a file that is no configuration at all has no end of them.
MAX_FAULTS = 100


class Walk:
    """One walk through one file.

    Attributes:
        faults: What was found wrong, in the order of the file.
        doubtful: Paths whose values in the result are not what the file means.
    """

    def __init__(self, file: str, root: type) -> None:
        self.faults: list[Fault] = []
        self.doubtful: list[KeyPath] = []
        self._file = file
        self._root = root
        self._places: dict[KeyPath, Node] = {}
        self._visited = 0
        self._inside: set[int] = set()

    def document(self, node: Node | None) -> Any:
        """Return an instance of the root class; faulty keys have their defaults."""
        default = self._root()
        if node is None:
            return default
        try:
            return self._value(node, self._root, Key(), (), default)
        except _EnoughError:
            return default

    def fault(self, paths: tuple[KeyPath, ...], message: str) -> Fault:
        """Make a fault of the first of `paths`, placed at the first of them that is written."""
        where = next((self._places[path] for path in paths if path in self._places), None)
        above = paths[0]
        while where is None and above:
            above = above[:-1]
            where = self._places.get(above)
        return self._made(where, paths[0], message)

    def doubts(self, path: KeyPath) -> bool:
        """Tell whether the value at `path` is not what the file means."""
        return any(path[: len(bad)] == bad or bad[: len(path)] == path for bad in self.doubtful)

    def _value(self, node: Node, hint: Any, key: Key, at: KeyPath, default: Any) -> Any:
        self._visited += 1
        if self._visited > MAX_NODES:
            self._note(node, at, f"more than {MAX_NODES} values, counted with repeated aliases")
            raise _EnoughError
        if get_origin(hint) is UnionType:
            if kind(node) == "null":
                return None
            hint = next(one for one in get_args(hint) if one is not NoneType)
        if id(node) in self._inside:
            self._note(node, at, "this section contains itself")
            return default
        self._inside.add(id(node))
        try:
            return self._typed(node, hint, key, at, default)
        except ValueError as error:
            self._note(node, at, str(error))
            return default
        finally:
            self._inside.discard(id(node))

    def _typed(self, node: Node, hint: Any, key: Key, at: KeyPath, default: Any) -> Any:
        if is_dataclass(hint):
            return self._section(node, hint, at, default)
        if get_origin(hint) is tuple:
            return self._list(node, get_args(hint)[0], key, at, default)
        if get_origin(hint) is dict:
            return self._mapping(node, get_args(hint)[1], key, at, default)
        return scalar(node, hint, key)

    def _section(self, node: Node, cls: Any, at: KeyPath, default: Any) -> Any:
        parts = {part.name: part for part in fields(cls)}
        hints = get_type_hints(cls)
        if kind(node) == "null":
            return default
        if not isinstance(node, MappingNode) or kind(node) != "map":
            valid = ", ".join(parts)
            raise ValueError(
                f"expected a section with any of the keys {valid}; found {found(node)}"
            )
        given = {}
        for key_node, name, value in self._entries(node, at):
            if name not in parts:
                remark, paths = meant(name, cls, at, self._root)
                self._note(key_node, (*at, name), f"unknown key ({remark})")
                self.doubtful += paths
                continue
            path = (*at, name)
            self._places.setdefault(path, key_node)
            given[name] = self._value(
                value, hints[name], described(parts[name]), path, getattr(default, name)
            )
        return replace(default, **given)

    def _list(self, node: Node, hint: Any, key: Key, at: KeyPath, default: Any) -> Any:
        if kind(node) == "null":
            return default
        if not isinstance(node, SequenceNode) or kind(node) != "seq":
            raise ValueError(f"expected a list, found {found(node)}{_as_list(node, hint, key)}")
        missing = _blank(hint)
        values = []
        seen: dict[Any, int] = {}
        for index, item in enumerate(node.value):
            path = (*at, index)
            self._places.setdefault(path, item)
            value = self._value(item, hint, key, path, missing)
            if value is None:
                continue
            values.append(value)
            same = key.form.canonical(value) if key.form else value
            if key.distinct and same in seen:
                self._note(item, path, f"is already in the list, on line {seen[same]}")
            elif key.distinct:
                seen[same] = _line(item)
        return tuple(values)

    def _mapping(self, node: Node, hint: Any, key: Key, at: KeyPath, default: Any) -> Any:
        if kind(node) == "null":
            return default
        if not isinstance(node, MappingNode) or kind(node) != "map":
            raise ValueError(f"expected a section of names, found {found(node)}")
        values = {}
        for key_node, name, value in self._entries(node, at):
            path = (*at, name)
            self._places.setdefault(path, key_node)
            try:
                if key.form:
                    key.form.canonical(name)
            except ValueError as error:
                self._note(key_node, path, f"as a name, {error}")
            if isinstance(value, ScalarNode) and name in _key_names(hint) and value.value:
                example = dotted((*at, "NAME", name))
                told = f"is a key in the place of a name: put a name above it, as in {example}"
                self._note(key_node, path, told)
                continue
            entry = self._value(value, hint, Key(), path, _blank(hint))
            if entry is not None:
                values[name] = entry
        return values

    def _entries(self, node: MappingNode, at: KeyPath) -> Iterator[tuple[Node, str, Node]]:
        """List the entries whose keys are texts; a key that occurs twice is a fault."""
        lines: dict[str, int] = {}
        for key_node, value in node.value:
            if not isinstance(key_node, ScalarNode) or kind(key_node) not in {"str", "merge"}:
                told = f"expected a key, found {found(key_node)}{_quote(key_node)}"
                self._note(key_node, at, told, doubtful=False)
                continue
            name = key_node.value
            if kind(key_node) == "merge":
                told = "merging with '<<' is not possible here: repeat the keys"
                self._note(key_node, at, told)
                continue
            if name in lines:
                self._note(key_node, (*at, name), f"duplicate key, first on line {lines[name]}")
                continue
            lines[name] = _line(key_node)
            yield key_node, name, value

    def _note(self, node: Node, at: KeyPath, message: str, *, doubtful: bool = True) -> None:
        if len(self.faults) >= MAX_FAULTS:
            self.faults.append(self._made(node, (), "more faults follow; they are not listed"))
            raise _EnoughError
        self.faults.append(self._made(node, at, message))
        if doubtful:
            self.doubtful.append(at)

    def _made(self, node: Node | None, at: KeyPath, message: str) -> Fault:
        if node is None:
            return Fault(self._file, None, None, dotted(at), message)
        return Fault(self._file, _line(node), node.start_mark.column + 1, dotted(at), message)


class _EnoughError(Exception):
    """The rest of the file isn't worth looking at."""


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _key_names(hint: Any) -> set[str]:
    return {part.name for part in fields(hint)} if is_dataclass(hint) else set()


def _blank(hint: Any) -> Any:
    """Return what stands for an entry that can't be read; None where there is no such thing."""
    return hint() if is_dataclass(hint) and isinstance(hint, type) else None


def _as_list(node: Node, hint: Any, key: Key) -> str:
    """Say how to write a text as the list that was probably meant."""
    if hint is not str or kind(node) != "str" or not node.value or len(node.value) > 60:
        return ""
    import shlex

    try:
        words = re.split(r"[,\s]+", node.value) if key.form else shlex.split(node.value)
    except ValueError:
        return ""
    return f": write {json.dumps(words, ensure_ascii=not node.value.isprintable())}"


def _quote(node: Node) -> str:
    return f': quote it: "{quoted(node.value)[1:-1]}"' if isinstance(node, ScalarNode) else ""
