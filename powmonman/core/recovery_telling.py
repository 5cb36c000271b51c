"""What is told of the bringing back of hosts; the rules stand in `telling`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from powmonman.core.events import Event, Kind, RecoverySeen
from powmonman.core.told import RecoveryTold

if TYPE_CHECKING:
    from powmonman.core.told import Moment

MOST_NAMES = 20


def tell_of_recovery(
    told: RecoveryTold, recovery: RecoverySeen, moment: Moment, events: list[Event]
) -> RecoveryTold:
    """Add what is to be told to `events`; return what is told then."""
    events += [
        Event(Kind.HOST_GIVEN_UP, at=moment.wall, host=name)
        for name in recovery.given_up
        if name not in told.given_up
    ]
    if told.pending and not recovery.open and recovery.back:
        events.append(
            Event(
                Kind.RECOVERED,
                at=moment.wall,
                length=recovery.seconds,
                back=recovery.back,
                given_up=recovery.given_up[:MOST_NAMES],
            )
        )
    return RecoveryTold(recovery.given_up, pending=recovery.open > 0)
