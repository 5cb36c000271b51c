"""What keys of the server's and the guard's files say of each other.

As in `relations`, which has the client's and finds these: a client imports none of them.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from powmonman.config import forms
from powmonman.config.notify_keys import Events, Notify
from powmonman.config.order_keys import Wake
from powmonman.config.order_rules import problems_of_order
from powmonman.config.relations import Problem, observed, words
from powmonman.config.scalars import listed, shown
from powmonman.config.schema import GuardConfig, ServerConfig
from powmonman.config.sources import KNOW_BATTERIES, Gpio, Source, Ups, sources
from powmonman.config.suggest import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BATTERY_TRIGGERS = ("charge_below", "charge_drop", "runtime_below")
# Resistors on the board pull these up, against any internal pull-down.
_PULLED_UP_PINS = (2, 3)


def _gpio(gpio: Gpio) -> Iterator[Problem]:
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


def _ups(ups: Ups) -> Iterator[Problem]:
    if ups.restore_confirm < ups.confirm:
        yield Problem(
            (("restore_confirm",), ("confirm",)),
            f"is {shown(ups.restore_confirm)}, but must be at least confirm "
            f"({shown(ups.confirm)}): flapping mains would look good",
        )
    yield from _source(ups)
    count = 1 + len(ups.witnesses)
    if ups.quorum is not None and ups.quorum > count:
        yield Problem(
            (("quorum",), ("witnesses",)),
            f"is {ups.quorum}, but there {'are' if count > 1 else 'is'} only {count} of them, "
            "witnesses included: the mains could never count as lost",
        )
    if ups.sensor == "ping" and not ups.witnesses:
        yield Problem(
            (("sensor",),),
            "'ping' alone takes a dead switch or a moved cable for an outage: better as a witness",
            warning=True,
        )


def _source(source: Source) -> Iterator[Problem]:
    for kind in get_args(get_type_hints(Source)["sensor"]):
        if kind != source.sensor and getattr(source, kind) != getattr(Source(), kind):
            yield Problem(
                ((kind,), ("sensor",)), f"has no effect: sensor is '{source.sensor}'", warning=True
            )
    if source.sensor == "simulated":
        yield Problem(
            (("sensor",),), "'simulated' watches a file, not the mains: for drills", warning=True
        )
    if source.sensor == "command":
        for problem in words(source.command.command, "[/usr/local/bin/mains-on]"):
            (path,) = problem.paths
            yield replace(problem, paths=(("command", "command", *path), ("sensor",)))
    for name, section in (("command", source.command), ("ping", source.ping)):
        if section.timeout > 3 * section.poll:
            yield Problem(
                ((name, "timeout"), (name, "poll")),
                f"is {shown(section.timeout)}, but must be at most three times poll "
                f"({shown(section.poll)}): what comes later is no evidence",
            )
    if source.sensor == "ping" and not source.ping.hosts:
        yield Problem(
            (("ping", "hosts"), ("sensor",)), "names no host: give addresses that hang on no UPS"
        )


def _server(server: ServerConfig) -> Iterator[Problem]:
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
    if not any(source.sensor in KNOW_BATTERIES for source in _all_sources(server)):
        for trigger in _BATTERY_TRIGGERS:
            if getattr(server.policy, trigger):
                yield Problem(
                    (("policy", trigger), ("upses",)),
                    "never comes: no sensor here knows a battery, they tell the mains alone",
                    warning=True,
                )
    yield from _reserve(server)
    yield from problems_of_order(server)
    pins: dict[int, str] = {}
    for name, ups in server.upses.items():
        for path, source in sources(ups, ("upses", name)):
            if source.sensor != "gpio":
                continue
            pin = source.gpio.pin
            if pin in pins:
                yield Problem(
                    ((*path, "gpio", "pin"), ("upses", pins[pin], "gpio", "pin")),
                    f"GPIO{pin} is already the pin of UPS '{pins[pin]}'",
                )
            pins.setdefault(pin, name)


def _reserve(server: ServerConfig) -> Iterator[Problem]:
    for name, ups in server.upses.items():
        runtime = ups.runtime or 2 * server.policy.after
        # A shorter one has a worse fault, and that is told.
        lasts = runtime > server.policy.after
        if server.recovery.enabled and lasts and server.recovery.reserve >= runtime:
            assumed = "" if ups.runtime else ", as assumed: twice policy.after"
            source = ("upses", name, "runtime") if ups.runtime else ("policy", "after")
            yield Problem(
                (("recovery", "reserve"), source),
                f"is {shown(server.recovery.reserve)}, and the battery of '{name}' lasts "
                f"{shown(runtime)} s{assumed}: after an outage nobody is woken until all of it is "
                "paid back",
                warning=True,
            )


def _wake(wake: Wake) -> Iterator[Problem]:
    if wake.method == "command":
        for problem in words(wake.command, "[/usr/bin/ipmitool, -H, 192.0.2.9, power, on]"):
            yield replace(problem, paths=tuple(("command", *path) for path in problem.paths))
    keys = {"wake_on_lan": ("macs", "broadcasts"), "command": ("command", "timeout"), "none": ()}
    for method, names in keys.items():
        for name in names if method != wake.method else ():
            if getattr(wake, name) != getattr(Wake(), name):
                yield Problem(
                    ((name,), ("method",)),
                    f"has no effect: method is '{wake.method}'",
                    warning=True,
                )
    for index, mac in enumerate(wake.macs):
        digits = forms.MAC.canonical(mac)
        if int(digits[1], 16) % 2 or not int(digits, 16):
            yield Problem((("macs", index),), "is no network interface's own address")


def _all_sources(server: ServerConfig) -> Iterator[Source]:
    for ups in server.upses.values():
        yield from (source for _, source in sources(ups))


def _notify(notify: Notify) -> Iterator[Problem]:
    events = [event.name for event in fields(Events)]
    for name in notify.templates:
        if name not in events:
            close = nearest(name, events)
            remark = f"did you mean {listed(close)}?" if close else f"events: {', '.join(events)}"
            yield Problem((("templates", name),), f"no such event ({remark})")


def _guard(guard: GuardConfig) -> Iterator[Problem]:
    after = guard.policy.after
    if after is not None and guard.ups.runtime is not None and guard.ups.runtime <= after:
        yield Problem(
            (("ups", "runtime"), ("policy", "after")),
            f"is {shown(guard.ups.runtime)}, but policy.after is {shown(after)}: this host may "
            "lose power before it shuts down",
            warning=True,
        )
    if not any(source.sensor in KNOW_BATTERIES for _, source in sources(guard.ups)):
        for trigger in _BATTERY_TRIGGERS:
            if getattr(guard.policy, trigger):
                yield Problem(
                    (("policy", trigger), ("ups", "sensor")),
                    "never comes: no sensor here knows a battery, they tell the mains alone. Set "
                    "it to 0, and policy.after to what the battery surely lasts",
                    warning=True,
                )
    if guard.user == "root":
        yield Problem(
            (("user",),),
            "the server part is never run as root: name another user, or leave the key out",
        )
    if guard.shutdown.via == "unit":
        yield Problem(
            (("shutdown", "via"),),
            "'unit' has no effect: the guard's client runs the commands itself",
            warning=True,
        )
    if guard.policy.confirm > guard.ups.restore_confirm:
        yield Problem(
            (("policy", "confirm"), ("ups", "restore_confirm")),
            f"is {shown(guard.policy.confirm)}, but must be at most ups.restore_confirm "
            f"({shown(guard.ups.restore_confirm)}): flapping mains would put a shutdown off",
        )
    yield from observed(guard.policy)


RULES: dict[type, Callable[[Any], Iterator[Problem]]] = {
    Gpio: _gpio,
    Source: _source,
    Ups: _ups,
    Notify: _notify,
    ServerConfig: _server,
    Wake: _wake,
    GuardConfig: _guard,
}
