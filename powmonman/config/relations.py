"""What keys of one file say of each other, where each alone would be right.

A new rule is a line in one of the functions here or, if no client's file has the section, in
`server_relations`. Each is given a section of the configuration and yields what is wrong in it,
with paths from that section.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from powmonman.config.client_schema import ClientConfig
from powmonman.config.lost_contact_keys import LostContact
from powmonman.config.scalars import listed, shown
from powmonman.config.shutdown_keys import Command, HostPolicy, Shutdown
from powmonman.config.suggest import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from powmonman.config.faults import KeyPath

    Rules = Mapping[type, Callable[[Any], Iterator["Problem"]]]

_SHELL_WORDS = {"&&", "||", "|", ";", ">", ">>", "<", "&"}


@dataclass(frozen=True)
class Problem:
    """A contradiction.

    Attributes:
        paths: The keys that contradict; the first is the one to change.
        message: What is wrong and what to do.
        warning: It can be meant so: the file stays usable.
    """

    paths: tuple[KeyPath, ...]
    message: str
    warning: bool = False


def problems(config: Any) -> Iterator[Problem]:
    """List the contradictions in a configuration and in every section of it."""
    rules = _RULES
    if not isinstance(config, ClientConfig):
        from powmonman.config.server_relations import RULES

        rules = {**_RULES, **RULES}
    yield from _problems(config, (), rules)


def _problems(config: Any, at: KeyPath, rules: Rules) -> Iterator[Problem]:
    if is_dataclass(config):
        for problem in rules.get(type(config), _none)(config):
            yield replace(problem, paths=tuple((*at, *path) for path in problem.paths))
        for part in fields(config):
            yield from _problems(getattr(config, part.name), (*at, part.name), rules)
    elif isinstance(config, dict):
        for name, entry in config.items():
            yield from _problems(entry, (*at, name), rules)
    elif isinstance(config, tuple):
        for index, entry in enumerate(config):
            yield from _problems(entry, (*at, index), rules)


def _none(_: Any) -> Iterator[Problem]:
    yield from ()


def _command(command: Command) -> Iterator[Problem]:
    for problem in words(command.command, "[systemctl, poweroff]"):
        yield replace(problem, paths=tuple(("command", *path) for path in problem.paths))


def words(command: tuple[str, ...], example: str) -> Iterator[Problem]:
    """List what is wrong with a program and its arguments; `example` is one that is right."""
    if not command or not command[0].strip():
        yield Problem(((),), f"names no program: write a list such as {example}")
        return
    if len(command[0].rpartition("/")[2].split()) > 1:
        yield Problem(
            ((0,),), "holds spaces: write program and arguments as separate entries of the list"
        )
    for index, word in enumerate(command):
        if word in _SHELL_WORDS:
            yield Problem(
                ((index,),),
                f"'{word}' is given to the program as it is: no shell reads the command",
                warning=True,
            )


def _shutdown(shutdown: Shutdown) -> Iterator[Problem]:
    if not shutdown.presets:
        return
    # Most hosts have none, and what they are stays out of their memory.
    from powmonman.client.presets import PRESETS

    for index, name in enumerate(shutdown.presets):
        if name not in PRESETS:
            close = nearest(name, PRESETS)
            remark = f"did you mean {listed(close)}?" if close else f"presets: {', '.join(PRESETS)}"
            yield Problem((("presets", index),), f"no such preset '{name}' ({remark})")


def _client(client: ClientConfig) -> Iterator[Problem]:
    if client.upses and client.min_supplies > len(client.upses):
        yield Problem(
            (("min_supplies",), ("upses",)),
            f"is {client.min_supplies}, but upses names only {len(client.upses)}",
        )
    if not client.servers and not client.discovery.enabled:
        yield Problem(
            (("discovery", "enabled"), ("servers",)),
            "is false and servers is empty: this host could never find the server",
        )
    yield from observed(client.policy)


def _lost_contact(lost: LostContact) -> Iterator[Problem]:
    after, only_if = ("shutdown_after",), ("only_if",)
    if lost.shutdown_after is not None and not lost.only_if:
        yield Problem(
            (only_if, after),
            "is empty: silence alone shuts no host down, as the server, or a switch, may just be "
            "restarted. Name what must hold too, such as [no_carrier, gateway_silent]",
        )
    if lost.only_if and lost.shutdown_after is None:
        yield Problem(
            (after, only_if),
            "is empty, and so this host never goes by only_if: write seconds, at least 300, or "
            "take only_if out",
        )
    if "witness_silent" in lost.only_if and not lost.witnesses:
        yield Problem(
            (("witnesses",), only_if),
            "is empty: witness_silent needs addresses of hosts that hang on no UPS",
        )
    if lost.witnesses and "witness_silent" not in lost.only_if:
        yield Problem(
            (("witnesses",), only_if),
            "has no effect: only_if does not name witness_silent",
            warning=True,
        )


def observed(policy: HostPolicy) -> Iterator[Problem]:
    """Say if a host's own observation comes after its deadline."""
    if policy.after is not None and policy.after < policy.min_observe:
        yield Problem(
            (("policy", "after"), ("policy", "min_observe")),
            f"is {shown(policy.after)}, but min_observe is {shown(policy.min_observe)}: the "
            f"shutdown comes after {shown(policy.min_observe)} s on battery",
            warning=True,
        )


_RULES: Rules = {
    Command: _command,
    Shutdown: _shutdown,
    ClientConfig: _client,
    LostContact: _lost_contact,
}
