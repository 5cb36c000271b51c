"""The keys of `notify`: what people are told, and when."""

from __future__ import annotations

from dataclasses import dataclass

from powmonman.config import forms
from powmonman.config.keys import key


@dataclass(frozen=True)
class Events:
    """What is told, each on or off."""

    on_battery: bool = key(True, "A UPS is on battery: an outage has begun.")
    on_mains: bool = key(True, "A UPS is back on mains: the outage is over.")
    low_battery: bool = key(True, "A UPS on battery says that its battery is low.")
    countdown: bool = key(True, "The first host goes down in one of `milestones`.")
    host_committed: bool = key(True, "A host shuts down now.")
    host_down: bool = key(True, "A host that had committed is gone.")
    host_back: bool = key(True, "A host that was down or lost is connected again.")
    host_lost: bool = key(True, "A host was connected, and is gone for `lost_after` on mains.")
    host_given_up: bool = key(True, "A host was woken for `recovery.give_up`, and is not back.")
    recovered: bool = key(True, "All that an outage took down are back, or given up.")
    sensor_unknown: bool = key(True, "The power of a UPS is unknown for `unknown_after`.")
    sensor_recovered: bool = key(True, "It is known again.")
    advice: bool = key(True, "A UPS asks for attention, such as a new battery.")
    order: bool = key(
        True, "The order in which hosts go down has a fault, or does not fit into the batteries."
    )
    certificate: bool = key(True, "A certificate is near its end.")
    drill: bool = key(True, "A drill has ended; with its result.")


@dataclass(frozen=True)
class Template:
    """The words of one event, as Jinja2 templates. What is empty has the default words."""

    title: str = key("", "One line.")
    body: str = key("", "The text.")


@dataclass(frozen=True)
class Notify:
    """Word of it: notifications through Apprise, never in the way of a shutdown."""

    enabled: bool = key(False, "Send notifications. Needs the extra `notify` on the server.")
    targets: str = key(
        "/etc/powmonman/notify.yml",
        "YAML file with `targets:`, Apprise URLs by name. They hold passwords: root's, and for the "
        "group powmonman alone (0640). It is read anew for each delivery.",
        form=forms.PATH,
    )
    events: Events = key(Events, "Which events are told.")
    milestones: tuple[float, ...] = key(
        lambda: (300.0, 60.0),
        "Seconds before the first host's shutdown at which `countdown` is told.",
        unit="s",
        minimum=1,
        maximum=86400,
        distinct=True,
    )
    lost_after: float = key(
        300.0, "How long a host must be gone to be lost.", unit="s", minimum=1, maximum=86400
    )
    unknown_after: float = key(
        10.0,
        "How long the power must be unknown to be told.",
        unit="s",
        minimum=0,
        maximum=86400,
    )
    coalesce: float = key(
        2.0, "Events within this time make one message.", unit="s", minimum=0, maximum=300
    )
    timeout: float = key(
        30.0,
        "Time that the delivery of one message has, the start of its process included.",
        unit="s",
        minimum=5,
        maximum=300,
    )
    late_after: float = key(
        60.0, "Age from which a message is marked late.", unit="s", minimum=1, maximum=86400
    )
    keep: int = key(
        200,
        "Messages that wait for delivery at most; the oldest give way, and the next one sent says "
        "how many.",
        minimum=1,
        maximum=2000,
    )
    templates: dict[str, Template] = key(
        dict, "Own words, by event (docs/notifications.md).", form=forms.EVENT
    )
