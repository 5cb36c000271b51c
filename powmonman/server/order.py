"""The operator's order to shut the whole fleet down, for as long as it is repeated."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from powmonman.core.messages import Order
from powmonman.service.clock import boottime

# Long enough for who is just reconnecting. A host that boots meanwhile was not meant, and knows it.
REPEATED = 120.0


@dataclass(frozen=True)
class Given:
    """An order, and when it was given (CLOCK_BOOTTIME)."""

    id: str = field(default_factory=lambda: secrets.token_hex(16))
    at: float = field(default_factory=boottime)

    def told(self) -> Order | None:
        """Return what clients are told of it now; None when it is over."""
        age = boottime() - self.at
        return Order(self.id, age) if age < REPEATED else None
