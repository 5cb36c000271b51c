"""The keys of `on_lost_contact` in client.yml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from powmonman.config import forms
from powmonman.config.keys import key

Kind = Literal["no_carrier", "gateway_silent", "own_battery", "witness_silent"]

# A switch that starts anew, a firmware update or a server that is booted must not take hosts down.
SHORTEST = 300.0


@dataclass(frozen=True)
class LostContact:
    """What this host does without contact to the server and without a known outage."""

    shutdown_after: float | None = key(
        None,
        "Time for which all of `only_if` must hold without a break until this host shuts down. "
        "Empty: never; it stays up, and says so.",
        unit="s",
        minimum=SHORTEST,
        maximum=86400,
    )
    only_if: tuple[Kind, ...] = key(
        (),
        "What must hold, all of it (docs/lost-contact.md). `no_carrier`: the link to the server is "
        "dead. `gateway_silent`: the default gateway does not answer to ARP. `own_battery`: this "
        "host's own battery discharges. `witness_silent`: none of `witnesses` answers.",
        distinct=True,
    )
    witnesses: tuple[str, ...] = key(
        (),
        "IP addresses of hosts that are always on and hang on no UPS, for `witness_silent`. One "
        "that has not answered since the client was started says nothing.",
        form=forms.IP_ADDRESS,
        distinct=True,
    )
