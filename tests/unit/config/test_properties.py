"""What holds for every file."""

from __future__ import annotations

import json
import string
from dataclasses import asdict, fields, is_dataclass, replace
from types import NoneType, UnionType
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from powmonman.client.presets import PRESETS
from powmonman.config import forms, relations
from powmonman.config.apart import rebuilt
from powmonman.config.keys import Key, described
from powmonman.config.loader import ConfigError, parse
from powmonman.config.lost_contact_keys import LostContact
from powmonman.config.schema import ClientConfig, GuardConfig, ServerConfig
from powmonman.config.shutdown_keys import Command
from powmonman.config.sources import Ping, Program, Ups
from powmonman.core.records import to_json

# A busy machine is slow; that says nothing of the loader.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

CLASSES = (ServerConfig, ClientConfig, GuardConfig)

_NAMES = st.text(string.ascii_letters + string.digits, min_size=1, max_size=12)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
_PATHS = _TEXTS.map(lambda text: "/" + text)
_FORMS = {
    forms.NAME: _NAMES,
    forms.HOST_NAME: _NAMES,
    forms.INTERFACE: _NAMES,
    forms.POWER_SUPPLY: _NAMES.map(lambda name: f"{name}:*"),
    forms.PATH: _PATHS,
    forms.OPTIONAL_PATH: _PATHS | st.just(""),
    forms.USER: st.text(string.ascii_lowercase, min_size=1, max_size=12),
    forms.EVENT: st.text(string.ascii_lowercase, min_size=1, max_size=12),
    forms.PRESET: st.sampled_from(list(PRESETS)),
    forms.MAC: st.sampled_from(["02:00:5e:00:53:01", "02-00-5E-00-53-02"]),
    forms.IP_ADDRESS: st.ip_addresses().map(str),
    forms.HOST: st.ip_addresses().map(str) | st.sampled_from(["pi.lan", "localhost"]),
    forms.LISTEN_ADDRESS: st.sampled_from(["", "::1", "127.0.0.1"]) | st.ip_addresses().map(str),
    forms.SERVER_ADDRESS: st.ip_addresses().map(str) | st.sampled_from(["pi.lan", "[::1]:1"]),
    forms.FINGERPRINT: st.text("0123456789abcdefABCDEF", min_size=64, max_size=64),
}


# What would contradict itself nearly always, made sound.
_SOUND: dict[Any, Any] = {
    Program: lambda it: replace(it, command=it.command or ("true",), timeout=it.poll),
    Ping: lambda it: replace(
        it, hosts=it.hosts or ("192.0.2.1",), timeout=min(it.timeout, it.poll)
    ),
    LostContact: lambda it: replace(
        it, shutdown_after=it.shutdown_after or 300.0, only_if=("no_carrier",)
    ),
    Ups: lambda it: replace(it, quorum=None, restore_confirm=it.confirm),
    Command: lambda it: replace(it, command=("true", *it.command)),
}


def values(hint: Any, key: Key) -> st.SearchStrategy[Any]:
    """Values that a key may have, taken from its type and its description alone."""
    if get_origin(hint) is UnionType:
        (one,) = (one for one in get_args(hint) if one is not NoneType)
        return st.none() | values(one, key)
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if get_origin(hint) is tuple:
        same = key.form.canonical if key.form else lambda value: value
        unique = same if key.distinct else None
        items = values(get_args(hint)[0], key)
        return st.lists(items, max_size=4, unique_by=unique).map(tuple)
    if get_origin(hint) is dict:
        return st.dictionaries(
            _FORMS[key.form or forms.NAME], values(get_args(hint)[1], Key()), max_size=3
        )
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        return st.builds(
            cast("Any", hint),
            **{part.name: values(hints[part.name], described(part)) for part in fields(hint)},
        ).map(_SOUND.get(hint, lambda value: value))
    low, high = key.minimum, key.maximum
    simple: dict[Any, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        int: st.integers(int(low or 0), int(high or 10**12)),
        float: st.floats(low or 0, high or 1e14),
        str: _FORMS[key.form] if key.form else _TEXTS,
    }
    return simple[hint]


def configurations() -> st.SearchStrategy[Any]:
    """Configurations of both kinds without contradictions."""
    either = st.one_of(*(values(cls, Key()) for cls in CLASSES))
    return either.filter(
        lambda config: all(problem.warning for problem in relations.problems(config))
    )


def key_paths(cls: Any, at: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every key of a class, under the names that a file would write above it."""
    found: list[tuple[str, ...]] = []
    hints = get_type_hints(cls)
    for part in fields(cls):
        found.append((*at, part.name))
        hint = hints[part.name]
        if is_dataclass(hint):
            found += key_paths(hint, (*at, part.name))
        elif get_origin(hint) is dict:
            found += key_paths(get_args(hint)[1], (*at, part.name, "rack"))
    return found


KEYS = [(root, path) for root in CLASSES for path in key_paths(root)]


def misspellings(word: str) -> st.SearchStrategy[str]:
    """One slip of the finger: a letter left out, doubled, swapped, or hit beside."""
    places = st.integers(0, len(word) - 1)
    return st.one_of(
        places.map(lambda at: word[:at] + word[at + 1 :]),
        places.map(lambda at: word[:at] + word[at] + word[at:]),
        places.map(lambda at: word[:at] + word[at + 1 : at + 2] + word[at] + word[at + 2 :]),
        st.builds(
            lambda at, letter: word[:at] + letter + word[at + 1 :],
            places,
            st.sampled_from(string.ascii_lowercase),
        ),
        st.just(word.replace("_", "-")),
        st.just(word.title().replace("_", "")),
    )


@patient
@given(st.sampled_from(KEYS), st.data())
def test_every_misspelt_key_is_reported_with_its_line_and_the_right_one(
    key: tuple[type, tuple[str, ...]], data: st.DataObject
) -> None:
    root, path = key
    taken = {one[-1] for _, one in KEYS} | {"null"}
    wrong = data.draw(misspellings(path[-1]).filter(lambda word: word not in taken))
    lines = [f"{'  ' * depth}{name}:" for depth, name in enumerate((*path[:-1], wrong))]
    with pytest.raises(ConfigError) as error:
        parse("# a comment\n" + "\n".join(lines) + "\n", root, "some.yml")
    (fault,) = error.value.faults
    assert (len(lines) + 1, 2 * len(path) - 1) == (fault.line, fault.column)
    assert path[-1] in fault.message


@patient
@given(configurations())
def test_a_configuration_written_and_read_again_is_the_same(config: Any) -> None:
    assert config == parse(yaml.safe_dump(_plain(asdict(config))), type(config)).config


@patient
@given(configurations())
def test_what_another_process_has_read_is_the_same_to_the_letter(config: Any) -> None:
    """Types included: where 600.0 stands no 600 does, and no list in the place of a tuple."""
    again = rebuilt(type(config), json.loads(json.dumps(to_json(config))))
    assert (config, repr(config)) == (again, repr(again))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, tuple) else value


_SYNTAX = [
    "- ",
    ": ",
    "\n",
    "  ",
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "!!",
    "!x ",
    "'",
    '"',
    "|\n",
    "? ",
]
_SYNTAX += ["#", "%", "---\n", "...\n", "<<: ", "~", "yes", ".inf", "0x", "1:1", "2024-01-01", "\t"]
_WORDS = sorted({name for _, path in KEYS for name in path})
_FRAGMENTS = st.sampled_from(_SYNTAX) | st.sampled_from(_WORDS) | st.text(max_size=3)
_NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(_WORDS) | st.text(), inner),
)


@patient
@given(
    st.sampled_from(CLASSES),
    st.text()
    | st.lists(_FRAGMENTS).map("".join)
    | _NESTED.map(lambda value: yaml.safe_dump(value, allow_unicode=True)),
)
def test_any_text_is_a_configuration_or_a_list_of_faults(cls: type, text: str) -> None:
    """Nothing else comes out, and each fault is one printable line."""
    result = outcome(text, cls)
    if isinstance(result, ConfigError):
        assert len(result.faults) > 0
        assert len(result.faults) == len(str(result).splitlines())
        assert all(str(fault).isprintable() for fault in result.faults)
        assert all(str(fault).startswith("some.yml:") for fault in result.faults)
    else:
        assert isinstance(result, cls)


@patient
@given(configurations(), st.data())
def test_a_good_file_with_one_byte_changed_is_read_or_refused(config: Any, data: Any) -> None:
    text = yaml.safe_dump(_plain(asdict(config)))
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.characters(max_codepoint=0x2FF)) + text[at + 1 :]
    assert isinstance(outcome(changed, type(config)), type(config) | ConfigError)


def outcome(text: str, cls: type) -> object:
    """The configuration in a text, or the error that it raises."""
    try:
        return parse(text, cls, "some.yml").config
    except ConfigError as error:
        return error
