"""From what the server knows to what people are told: each thing once.

Rules:

1. What was told is remembered by what it was about (outage, boot, text), not by time, and `Told`
   survives a restart of the server as JSON. So a restart repeats nothing, and an outage that was
   told is told to be over, whichever process sees its end.
2. On mains is told only of a UPS whose loss was told; recovered only where unknown was told; back
   only of a host that was told to go or to be lost.
3. A host is lost only while everything that feeds it is on mains. In an outage it has better
   reasons to be gone, and its switch too.
4. Unknown is neither: it ends no outage and loses no host.

| of     | event            | told when                                                      |
|--------|------------------|----------------------------------------------------------------|
| UPS    | on_battery       | on battery, with an outage that was not told yet               |
|        | on_mains         | on mains, after that                                           |
|        | low_battery      | on battery and low, once an outage                             |
|        | countdown        | the first host's time left falls to a milestone, each once     |
|        | sensor_unknown   | unknown for `unknown_after`                                    |
|        | sensor_recovered | known, after that                                              |
|        | advice           | a notice while the state is known, unless seen within a day    |
| host   | host_committed   | its phase is committed, once a boot and outage                 |
|        | host_down        | committed, and gone for `DOWN_AFTER`                           |
|        | host_back        | connected with a new boot after a commit, or after being lost  |
|        | host_lost        | was connected, gone for `lost_after` on mains                  |
|        | host_given_up    | was due to be brought back, and is given up                    |
| fleet  | recovered        | nobody is due any more, and somebody came back                 |
| fleet  | order            | a fault of its order, unless seen within a day                 |
| either | certificate      | less than `CERTIFICATE_NEAR` left, weekly                      |
"""

from __future__ import annotations

from powmonman.core.events import Event, Kind, Seen
from powmonman.core.host_telling import tell_of_host
from powmonman.core.recovery_telling import tell_of_recovery
from powmonman.core.told import LONGEST_REASON, HostTold, Moment, Rules, Told, UpsTold
from powmonman.core.ups_telling import noticed, tell_of_ups

DAY = 86400.0
CERTIFICATE_NEAR = 30 * DAY
CERTIFICATE_AGAIN = 7 * DAY
_NEW = HostTold()


def look(told: Told, seen: Seen, rules: Rules, now: float, wall: float) -> tuple[Told, list[Event]]:
    """Return what is told after this look at the fleet, and the events that are to be told.

    Args:
        told: What the last look returned.
        seen: The fleet now.
        rules: When to tell.
        now: Seconds of a clock that never steps.
        wall: Seconds of the wall clock, for people.
    """
    moment = Moment(seen, rules, now, wall)
    events: list[Event] = []
    upses = {
        name: tell_of_ups(told.upses.get(name, UpsTold()), name, ups, moment, events)
        for name, ups in seen.upses.items()
    }
    hosts = {
        host.name: tell_of_host(told.hosts.get(host.name, _NEW), host, moment, events)
        for host in seen.hosts
    }
    # Whom the roster forgot over a restart may come back; of others there is nothing to remember.
    pending = {n: h for n, h in told.hosts.items() if n not in hosts and (h.committed or h.lost)}
    recovery = tell_of_recovery(told.recovery, seen.recovery, moment, events)
    certificates = _certificates(told.certificates, moment, events)
    order = told.order
    for fault in seen.order:
        order, new = noticed(order, fault, wall)
        if new:
            events.append(Event(Kind.ORDER, at=wall, reason=fault[:LONGEST_REASON]))
    return Told(upses, {**pending, **hosts}, certificates, order, recovery), events


def _certificates(told: dict[str, float], moment: Moment, events: list[Event]) -> dict[str, float]:
    after = {}
    ends = [("", moment.seen.certificate_left)]
    ends += [(host.name, host.certificate_left) for host in moment.seen.hosts]
    for name, left in ends:
        last = told.get(name)
        if left is not None and left >= CERTIFICATE_NEAR:
            continue
        due = last is None or abs(moment.wall - last) >= CERTIFICATE_AGAIN
        if left is not None and due:
            last = moment.wall
            events.append(Event(Kind.CERTIFICATE, at=moment.wall, host=name, left=left))
        if last is not None:
            after[name] = last
    return after
