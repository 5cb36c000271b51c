"""What to do when a server that knows the UPS can't be asked: from the error to the next step."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from powmonman.net.peer import AnswerError

if TYPE_CHECKING:
    from powmonman.net.peer import Peer


@dataclass(frozen=True)
class Service:
    """What is expected to answer.

    Attributes:
        name: Of it, as in "is this a NUT server?".
        start: What makes it listen, as a clause.
        hangs_up: Why it may close a connection at once, as a clause; empty: for no known reason.
    """

    name: str
    start: str
    hangs_up: str = ""


def explain(error: AnswerError | OSError, peer: Peer, service: Service) -> str:
    """Return what is wrong, and what mends it, on one line."""
    if isinstance(error, AnswerError):
        hint = f", or {service.hangs_up}" if service.hangs_up else ""
        return f"it {error}; is {peer.place} a {service.name}?{hint}"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens there; {service.start}"
    if isinstance(error, socket.gaierror):
        return f"the name {peer.host} can't be resolved; give the IP address instead"
    if isinstance(error, TimeoutError):
        return (
            f"no answer within {peer.time_limit:g} s; is its host up, and does the UPS feed the "
            "switches between?"
        )
    return f"{(error.strerror or str(error)).lower()}; check the network to {peer.place}"
