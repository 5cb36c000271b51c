"""What keys of one file say of each other, where each alone would be right.

A new rule is a line in one of the functions here. Each is given a section of the configuration
and yields what is wrong in it, with paths from that section.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from powmonman.config import schema
from powmonman.config.scalars import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from powmonman.config.faults import KeyPath

_SHELL_WORDS = {"&&", "||", "|", ";", ">", ">>", "<", "&"}
# Resistors on the board pull these up, against any internal pull-down.
_PULLED_UP_PINS = (2, 3)


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


def problems(config: Any, at: KeyPath = ()) -> Iterator[Problem]:
    """List the contradictions in a configuration and in every section of it."""
    if is_dataclass(config):
        for problem in _RULES.get(type(config), _none)(config):
            yield replace(problem, paths=tuple((*at, *path) for path in problem.paths))
        for part in fields(config):
            yield from problems(getattr(config, part.name), (*at, part.name))
    elif isinstance(config, dict):
        for name, entry in config.items():
            yield from problems(entry, (*at, name))
    elif isinstance(config, tuple):
        for index, entry in enumerate(config):
            yield from problems(entry, (*at, index))


def _none(_: Any) -> Iterator[Problem]:
    yield from ()


def _gpio(gpio: schema.Gpio) -> Iterator[Problem]:
    if gpio.active_low and gpio.pull == "down":
        yield Problem(
            (("pull",), ("active_low",)),
            "with active_low, 'down' reads a cut wire as mains on: write pull: up",
        )
    if not gpio.active_low and gpio.pull == "up":
        yield Problem(
            (("pull",),),
            "'up' reads a cut wire as mains on: use a circuit that drives the pin high, "
            "or one that is active_low",
            warning=True,
        )
    if gpio.pin in _PULLED_UP_PINS and not gpio.active_low:
        yield Problem(
            (("pin",),),
            f"the board itself pulls GPIO{gpio.pin} up, so that a cut wire reads as mains on: "
            "choose another pin",
            warning=True,
        )


def _ups(ups: schema.Ups) -> Iterator[Problem]:
    if ups.restore_confirm < ups.confirm:
        yield Problem(
            (("restore_confirm",), ("confirm",)),
            f"is {shown(ups.restore_confirm)}, but must be at least confirm "
            f"({shown(ups.confirm)}): flapping mains would look good",
        )
    unused = "simulated" if ups.sensor == "gpio" else "gpio"
    if getattr(ups, unused) != getattr(schema.Ups(), unused):
        yield Problem(
            ((unused,), ("sensor",)), f"has no effect: sensor is '{ups.sensor}'", warning=True
        )
    if ups.sensor == "simulated":
        yield Problem(
            (("sensor",),), "'simulated' watches a file, not the mains: for drills", warning=True
        )


def _server(server: schema.ServerConfig) -> Iterator[Problem]:
    if not server.upses:
        yield Problem((("upses",),), "name at least one UPS, or leave the key out")
    after = server.policy.after
    if server.lease > after:
        yield Problem(
            (("lease",), ("policy", "after")),
            f"is {shown(server.lease)}, but must be at most policy.after ({shown(after)}): a host "
            "cut off from the server waits a lease before it acts alone",
        )
    for name, ups in server.upses.items():
        if ups.runtime is not None and ups.runtime <= after:
            yield Problem(
                (("upses", name, "runtime"), ("policy", "after")),
                f"is {shown(ups.runtime)}: hosts on this UPS that keep to the fleet's policy.after "
                f"({shown(after)}) lose power before they shut down",
                warning=True,
            )
    pins: dict[int, str] = {}
    for name, ups in server.upses.items():
        if ups.sensor != "gpio":
            continue
        if ups.gpio.pin in pins:
            first = pins[ups.gpio.pin]
            yield Problem(
                (("upses", name, "gpio", "pin"), ("upses", first, "gpio", "pin")),
                f"GPIO{ups.gpio.pin} is already the pin of UPS '{first}'",
            )
        pins.setdefault(ups.gpio.pin, name)


def _command(command: schema.Command) -> Iterator[Problem]:
    path: KeyPath = ("command",)
    if not command.command or not command.command[0].strip():
        yield Problem((path,), "names no program: write a list such as [systemctl, poweroff]")
        return
    program = command.command[0]
    if len(program.rpartition("/")[2].split()) > 1:
        yield Problem(
            ((*path, 0),),
            "holds spaces: write program and arguments as separate entries of the list",
        )
    for index, word in enumerate(command.command):
        if word in _SHELL_WORDS:
            yield Problem(
                ((*path, index),),
                f"'{word}' is given to the program as it is: no shell reads the command",
                warning=True,
            )


def _client(client: schema.ClientConfig) -> Iterator[Problem]:
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
    policy = client.policy
    if policy.after is not None and policy.after < policy.min_observe:
        yield Problem(
            (("policy", "after"), ("policy", "min_observe")),
            f"is {shown(policy.after)}, but min_observe is {shown(policy.min_observe)}: the "
            f"shutdown comes after {shown(policy.min_observe)} s on battery",
            warning=True,
        )


_RULES: dict[type, Callable[[Any], Iterator[Problem]]] = {
    schema.Gpio: _gpio,
    schema.Ups: _ups,
    schema.ServerConfig: _server,
    schema.Command: _command,
    schema.ClientConfig: _client,
}
