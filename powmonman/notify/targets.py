"""The file with the targets: whom to tell, by name. It holds passwords.

It is read anew for each delivery, so that a rotated password needs no restart. No value from it
ever stands in a message about it: before the file is checked, what may be secret is covered.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from yaml import MappingNode, Node, ScalarNode, SequenceNode

from powmonman.config import document, forms
from powmonman.config.faults import ConfigError, Fault, printable
from powmonman.config.keys import key
from powmonman.config.notify_keys import Events
from powmonman.config.scalars import kind
from powmonman.config.walk import Walk
from powmonman.core.events import Event, Kind
from powmonman.notify.redact import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Iterable

_EVENTS = frozenset(part.name for part in fields(Events))
_WORD = re.compile(r"[a-z_]{3,24}")
# From the first quote to the last: what is quoted may hold quotes itself.
_QUOTED = re.compile(r"['\"].*['\"]", re.DOTALL)
# What YAML itself makes of a value; any other tag, behind `!!` too, stands in the file.
_TYPES = frozenset({"str", "int", "float", "bool", "null", "timestamp", "map", "seq", "merge"})
_NOTHING = frozenset({"", "~", "null", "Null", "NULL"})
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.+", re.DOTALL)


@dataclass(frozen=True)
class Target:
    """One target.

    Attributes:
        url: Its Apprise address. Secret.
        events: What it is told; empty means everything.
    """

    url: str = key("", "Its Apprise address.")
    events: tuple[str, ...] = key((), "What it is told. Empty: all.", form=forms.EVENT)

    def wants(self, events: Iterable[Event]) -> tuple[Event, ...]:
        """Return those of `events` that this target is told."""
        return tuple(
            event
            for event in events
            if not self.events or event.kind in self.events or event.kind is Kind.TEST
        )


@dataclass(frozen=True)
class TargetsFile:
    """The whole file."""

    targets: dict[str, Target] = key(dict, "Apprise addresses by name.", form=forms.NAME)


def load(path: Path | str) -> dict[str, Target]:
    """Return the targets in the file at `path`.

    Raises:
        ConfigError: It can't be used, or others can read it. It quotes nothing of what may be
            secret.
    """
    name = printable(str(path))
    _check_private(Path(path), name)
    text = document.read(Path(path))
    try:
        tree = document.compose(text, name)
    except ConfigError as error:
        # YAML's own words may quote an alias or a tag that was meant to be a password.
        told = [replace(f, message=_QUOTED.sub(f"'{HIDDEN}'", f.message)) for f in error.faults]
        raise ConfigError(told) from None
    covered = _Covered(tree)
    walk = Walk(name, TargetsFile)
    file: TargetsFile = walk.document(tree)
    faults = list(walk.faults)
    found = {}
    for target, settings in file.targets.items():
        at = ("targets", target)
        if walk.doubts(at):
            continue
        url = covered.urls.get(target, "")
        if not _SCHEME.fullmatch(url):
            expected = "expected an Apprise address such as mailtos://…, with '://' in it"
            faults.append(walk.fault(((*at, "url"), at), expected))
        if unknown := sorted(set(settings.events) - _EVENTS):
            known = f"no such event: {', '.join(unknown)}; there are {', '.join(sorted(_EVENTS))}"
            faults.append(walk.fault(((*at, "events"),), known))
        found[target] = replace(settings, url=url)
    if not faults and not found:
        faults.append(Fault(name, None, None, "targets", "names nobody to tell"))
    if faults:
        raise ConfigError(faults)
    return found


def _check_private(path: Path, name: str) -> None:
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # Reading it says what is wrong.
    if stat.S_ISREG(mode) and mode & 0o007:
        told = f"everybody can read it, and it holds passwords: chmod 0640 {name}"
        if mode & 0o002:
            told = f"everybody can write it: chmod 0640 {name}"
        raise ConfigError([Fault(name, None, None, "", told)])


class _Covered:
    """Covers all scalars of a tree but names and events, and keeps the addresses."""

    def __init__(self, tree: Node | None) -> None:
        self.urls: dict[str, str] = {}
        self._seen: set[int] = set()
        # An anchor makes several places of one node.
        self._before: dict[int, str] = {}
        self._root(tree)

    def _root(self, tree: Node | None) -> None:
        if not isinstance(tree, MappingNode):
            self._cover(tree)
            return
        self._cover_tag(tree)
        for name, value in tree.value:
            self._name(name)
            if name.value == "targets" and isinstance(value, MappingNode):
                self._targets(value)
            else:
                self._cover(value)

    def _targets(self, targets: MappingNode) -> None:
        entries = []
        self._cover_tag(targets)
        for name, value in targets.value:
            self._name(name)
            if isinstance(value, ScalarNode) and kind(value) != "null":
                # The short form, `mail: mailtos://…`, is written out.
                key_node = ScalarNode("tag:yaml.org,2002:str", "url", value.start_mark)
                value = MappingNode(  # noqa: PLW2901
                    "tag:yaml.org,2002:map", [(key_node, value)], value.start_mark
                )
            self._target(str(name.value), value)
            entries.append((name, value))
        targets.value = entries

    def _target(self, target: str, settings: Node) -> None:
        if not isinstance(settings, MappingNode):
            self._cover(settings)
            return
        self._cover_tag(settings)
        for name, value in settings.value:
            self._name(name)
            if name.value == "url" and isinstance(value, ScalarNode):
                self.urls.setdefault(target, self._before.get(id(value), str(value.value)))
            if name.value == "events" and isinstance(value, SequenceNode):
                self._cover_tag(value)
                for event in value.value:
                    if not (isinstance(event, ScalarNode) and _WORD.fullmatch(event.value)):
                        self._cover(event)
            else:
                self._cover(value)

    def _name(self, node: Node) -> None:
        """Cover a key that is none: an address in its place."""
        self._cover_tag(node)
        try:
            if isinstance(node, ScalarNode):
                forms.NAME.canonical(node.value)
                return
        except ValueError:
            pass
        self._cover(node)

    def _cover_tag(self, node: Node) -> None:
        if kind(node) not in _TYPES:
            node.tag = f"!{HIDDEN}"

    def _cover(self, node: Node | None) -> None:
        if node is None or id(node) in self._seen:
            return
        self._seen.add(id(node))
        self._cover_tag(node)
        if isinstance(node, ScalarNode):
            if node.value not in _NOTHING:
                self._before[id(node)] = node.value
                node.value = HIDDEN
            return
        for entry in node.value:
            for each in entry if isinstance(entry, tuple) else (entry,):
                self._cover(each)
