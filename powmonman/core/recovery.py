"""Who is woken after an outage, when, how often, and what proves that a host is back.

Rules:

1. Due is who was connected when the outage began, or joined in it: before anybody hears of the
   outage, and whether or not the server ever hears of a commit. Who was not there had been switched
   off by somebody, and stays off.
2. A host is back only when it acknowledges the *current* state, its mains are good in that, it says
   that it neither commits nor goes down, and its boot is another than the one that was due. With
   the boot that was due it was not taken down, unless it has committed in it. A connection proves
   nothing, nor does the word of a host that is still going down.
3. A host is woken only while enough of its UPSes have been on mains for `wake_after` seconds that
   were really observed, and each of them can bear another outage: what is spent leaves `reserve`,
   and the charge, where it is known, has reached `recharge_reserve`.
4. In reverse order: after all that waited for it. Who goes round in circles waits for nobody; and a
   wait in which nobody can be woken ends after `give_up`.
5. Again and again, at intervals that double up to eight times `repeat`. After `give_up` seconds in
   which it could be woken it is given up, once; it may still come back.
6. After a power cut, an unclean boot of the server's host, everybody who was connected is due: the
   outage itself may not have been recorded.
7. The operator's order overrules all that: whoever obeys it is not woken, nor anybody else who is
   due while his mains are good. Whom an open outage had taken down before stays due. Whom he has
   shut down to be woken again is due as after an outage, but is not woken before it is down.

| fate     | event / guard                                           | next     | actions         |
|----------|---------------------------------------------------------|----------|-----------------|
| none     | there as an outage begins or goes on; a power cut       | due      |                 |
| due      | rule 3 and 4 hold, its pause is over                    | due      | Woken           |
| due      | rule 2, another boot                                    | back     | Settled         |
| due      | rule 2, the same boot, never committed                  | stayed   | Settled         |
| due      | `give_up`                                               | given up | Settled         |
| due      | `give_up`, and it still runs in the same boot           | stayed   | Settled         |
| given up | rule 2                                                  | as above | Settled         |
| any      | connected in another boot while an outage is open       | due      |                 |
| settled  | there in the next outage; a power cut                   | due      |                 |
| any      | the operator's order, unless already down in an outage  | ordered  |                 |
| any      | says that it obeys the order                            | ordered  |                 |
| ordered  | another boot; or the same one, long after the order     | none     |                 |

With the last one that was due goes `Recovered`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from powmonman.core.due import (
    Action,
    Due,
    Fate,
    Known,
    Limits,
    Present,
    Recovered,
    Recovery,
    Scene,
    Settled,
    Supply,
    Woken,
)
from powmonman.core.power import PowerState

if TYPE_CHECKING:
    from collections.abc import Iterable

# Time between two looks that counts as observed at the most.
LONGEST_GAP = 3.0
# A server that has just started knows from its record who was there. They need time to come again.
UNSURE = 60.0
# The order is repeated for two minutes; who has not obeyed long after did not mean to.
ORDER_LASTS = 300.0
MOST_PAUSES = 8


def resumed(record: Recovery) -> Recovery:
    """Take up what an earlier process kept."""
    return replace(record.lasting(), unsure=UNSURE)


def power_cut(record: Recovery, boot: str) -> Recovery:
    """Everybody who was connected is due; `boot` is that of the server's host after it."""
    hosts = _of_this_pass(record)
    for name, known in record.connected.items():
        due = hosts.get(name)
        same = due is not None and due.known.boot == known.boot
        if not (same and due is not None and due.fate in {Fate.DUE, Fate.ORDERED}):
            hosts[name] = Due(known)
    return replace(record, hosts=hosts, cause=boot)


def begun(record: Recovery, ups: str, began: float, scene: Scene) -> Recovery:
    """An outage of `ups` has begun, at `began` on the clock of `scene.now`."""
    outage = scene.upses[ups].outage
    hosts = _of_this_pass(record) if outage != record.cause else dict(record.hosts)
    there = {
        name: host.known
        for name, host in scene.hosts.items()
        if host.connected or (host.since is not None and host.since >= began)
    }
    if record.unsure > 0:
        there = {**_unseen(record, record.seen), **there}
    for name, known in there.items():
        if ups in _fed_by(known, scene):
            hosts[name] = _candidate(hosts.get(name), known, outage)
    good = {name: seconds for name, seconds in record.good.items() if name != ups}
    return replace(record, hosts=hosts, cause=outage, good=good)


def ordered(record: Recovery, scene: Scene) -> Recovery:
    """The operator has ordered the fleet to shut down: whoever obeys is not woken after it."""
    hosts = {}
    for name, due in record.hosts.items():
        if due.fate in {Fate.DUE, Fate.GIVEN_UP} and not _on_mains(due.known, scene):
            # The outage has taken it down: it can't obey any more.
            hosts[name] = due
        elif due.fate in {Fate.DUE, Fate.ORDERED, Fate.GIVEN_UP}:
            hosts[name] = replace(due, fate=Fate.ORDERED, tried=0.0)
    for name, host in scene.hosts.items():
        if host.connected:
            hosts[name] = Due(host.known, Fate.ORDERED)
    return replace(record, hosts=hosts)


def exposed(record: Recovery, name: str, known: Known) -> Recovery:
    """The operator has this host shut down, to be woken again."""
    hosts = _of_this_pass(record) | {name: Due(known, committed=True)}
    return replace(record, hosts=hosts, cause="")


def forgotten(record: Recovery, names: Iterable[str]) -> Recovery:
    """These hosts are no longer part of the fleet."""
    gone = frozenset(names)
    if not gone & {*record.hosts, *record.connected}:
        return record
    return replace(
        record,
        hosts={name: due for name, due in record.hosts.items() if name not in gone},
        connected={name: k for name, k in record.connected.items() if name not in gone},
    )


def look(record: Recovery, scene: Scene, limits: Limits) -> tuple[Recovery, list[Action]]:
    """Take the fleet as it is; return the record after that, and what is to be done."""
    passed = 0.0 if record.at is None else max(0.0, scene.now - record.at)
    observed = min(passed, LONGEST_GAP)
    good = {
        name: record.good[name] + observed if name in record.good else 0.0
        for name, ups in scene.upses.items()
        if ups.state is PowerState.ON_MAINS
    }
    unsure = max(0.0, record.unsure - passed)
    connected = {name: host.known for name, host in scene.hosts.items() if host.connected}
    seen: tuple[str, ...] = ()
    if unsure > 0:
        seen = tuple(sorted({*record.seen, *connected}))
        connected = {**_unseen(record, seen), **connected}
    record = replace(
        record,
        good=good,
        unsure=unsure,
        seen=seen,
        at=scene.now,
        connected=connected,
        hosts=dict(record.hosts),
    )
    actions: list[Action] = []
    was_open = bool(record.open)
    for name, host in scene.hosts.items():
        due = record.hosts.get(name)
        same = due is not None and due.known.boot == host.known.boot
        if host.obeys and not (same and due is not None and due.fate is Fate.ORDERED):
            record.hosts[name] = Due(host.known, Fate.ORDERED)
    _joined(record, scene)
    for name, before in list(record.hosts.items()):
        after = _watched(before, scene.hosts.get(name), scene, observed)
        if after is None:
            del record.hosts[name]
            continue
        record.hosts[name] = after
        if after.fate is not before.fate:
            actions.append(Settled(name, after.fate))
    actions += _wake(record, scene, limits, observed)
    if was_open and not record.open and (back := record.those(Fate.BACK)):
        seconds = max(record.hosts[name].good for name in back)
        actions.append(Recovered(len(back), record.those(Fate.GIVEN_UP), seconds))
    return record, actions


def ready(record: Recovery, known: Known, scene: Scene, limits: Limits) -> bool:
    """Whether the mains allow the waking of this host (rule 3)."""
    fed = _fed_by(known, scene)
    able = [
        name for name in fed if not closed(scene.upses[name], record.good.get(name, 0.0), limits)
    ]
    return bool(fed) and len(able) >= _needed(known, fed)


def unready(record: Recovery, known: Known, scene: Scene, limits: Limits) -> str:
    """Why the mains forbid the waking of this host, in words; empty if they allow it."""
    if ready(record, known, scene, limits):
        return ""
    reasons = (
        (ups, closed(scene.upses[ups], record.good.get(ups, 0.0), limits))
        for ups in _fed_by(known, scene)
    )
    return "; ".join(f"{ups}: {reason}" for ups, reason in reasons if reason)


def closed(ups: Supply, good: float, limits: Limits) -> str:
    """Why nobody is woken on this UPS, in words; empty if somebody may be.

    `good` is how many seconds of good mains were observed.
    """
    if ups.state is not PowerState.ON_MAINS:
        return "on battery" if ups.state is PowerState.ON_BATTERY else "power unknown"
    if good < limits.wake_after:
        return f"on mains for {good:.0f} of {limits.wake_after:.0f} s"
    most = max(0.0, ups.full - limits.reserve)
    if ups.spent > most:
        return f"{ups.spent:.0f} s of its battery are spent, at most {most:.0f} may be"
    if ups.charge is not None and ups.charge < ups.recharge_reserve:
        return f"charge {ups.charge:.0f} of {ups.recharge_reserve:.0f} %"
    return ""


def hindrances(record: Recovery, scene: Scene, limits: Limits) -> dict[str, str]:
    """Why each host that is due is not being woken; empty if it is."""
    before = _before(record)
    return {name: _hindrance(record, name, before[name], scene, limits) for name in record.open}


def _hindrance(record: Recovery, name: str, before: set[str], scene: Scene, limits: Limits) -> str:
    due = record.hosts[name]
    if reason := unready(record, due.known, scene, limits):
        return reason
    if name == scene.going:
        return "still going down"
    if before and due.held < limits.give_up:
        return f"after {', '.join(sorted(before))}"
    return ""


def _of_this_pass(record: Recovery) -> dict[str, Due]:
    """Return whom a new outage finds: while anybody is due it is all one recovery."""
    if record.open:
        return {
            name: replace(due, pause=0.0) if due.fate is Fate.DUE else due
            for name, due in record.hosts.items()
        }
    settled = {Fate.BACK, Fate.STAYED}
    return {name: due for name, due in record.hosts.items() if due.fate not in settled}


def _unseen(record: Recovery, seen: Iterable[str]) -> dict[str, Known]:
    """Return who was there before this process and has not been seen by it yet."""
    # One look into a tuple for each host would cost a fleet of 10,000 half a second, every second.
    seen = frozenset(seen)
    return {name: known for name, known in record.connected.items() if name not in seen}


def _candidate(due: Due | None, known: Known, outage: str) -> Due:
    """Return what is due of a host that is there in an outage."""
    same = due is not None and due.known.boot == known.boot
    if same and due is not None and due.fate in {Fate.DUE, Fate.ORDERED}:
        return due if due.outage else replace(due, outage=outage)
    # It may have committed before the mains returned and not be gone yet.
    return Due(known, outage=outage, committed=same and due is not None and due.committed)


def _joined(record: Recovery, scene: Scene) -> None:
    """Add who is connected while an outage is open that leaves it too few supplies."""
    if not any(ups.outage for ups in scene.upses.values()):
        return
    for name, host in scene.hosts.items():
        if not host.connected or _on_mains(host.known, scene):
            continue
        due = record.hosts.get(name)
        if due is not None and due.known.boot == host.known.boot and due.fate is Fate.DUE:
            continue
        outages = (scene.upses[ups].outage for ups in _fed_by(host.known, scene))
        if outage := next(filter(None, outages), ""):
            record.hosts[name] = _candidate(due, host.known, outage)


def _watched(due: Due, host: Present | None, scene: Scene, observed: float) -> Due | None:
    """Return what is due of a host after a look at it; None: nothing any more."""
    if due.fate not in {Fate.DUE, Fate.GIVEN_UP}:
        return _obeying(due, host, observed) if due.fate is Fate.ORDERED else due
    on_mains = _on_mains(due.known, scene)
    due = replace(due, good=due.good + observed if on_mains else 0.0)
    if host is None:
        return replace(due, away=True)
    same = host.known.boot == due.known.boot
    if same and host.committed:
        due = replace(due, committed=True)
    if not host.connected:
        return replace(due, away=True)
    if on_mains and host.told and host.awake:
        # Where boots have no ids, a host that committed and was away was booted.
        if not same or (not host.known.boot and due.committed and due.away):
            return replace(due, fate=Fate.BACK, known=host.known, committed=False)
        if not due.committed:
            return replace(due, fate=Fate.STAYED)
    return due


def _obeying(due: Due, host: Present | None, observed: float) -> Due | None:
    due = replace(due, tried=due.tried + observed)
    if host is None or not host.connected:
        return due
    same = host.known.boot == due.known.boot
    idle = host.awake and host.told and due.tried >= ORDER_LASTS
    return due if same and not idle else None


def _wake(record: Recovery, scene: Scene, limits: Limits, observed: float) -> list[Woken | Settled]:
    """Wake whose turn it is; give up who has had enough of them."""
    able = {
        name
        for name in record.open
        if name != scene.going and ready(record, record.hosts[name].known, scene, limits)
    }
    before = _before(record) if able else {}
    actions: list[Woken | Settled] = []
    for name in sorted(able):
        due = record.hosts[name]
        if before[name] and due.held < limits.give_up:
            if not before[name] & able:
                record.hosts[name] = replace(due, held=due.held + observed)
            continue
        if due.wakes:
            due = replace(due, tried=due.tried + observed, pause=due.pause - observed)
        if due.tried >= limits.give_up:
            # One that committed and is still up after all that time did not go.
            host = scene.hosts.get(name)
            up = host is not None and host.connected and host.awake and host.told
            due = replace(due, fate=Fate.STAYED if up else Fate.GIVEN_UP)
            actions.append(Settled(name, due.fate))
        elif due.pause <= 0.0:
            pause = limits.repeat * min(MOST_PAUSES, 2.0**due.wakes)
            due = replace(due, wakes=due.wakes + 1, pause=pause)
            actions.append(Woken(name))
        record.hosts[name] = due
    return actions


def _before(record: Recovery) -> dict[str, set[str]]:
    """Return by host who is woken before it, of those that are due."""
    waiting: dict[str, set[str]] = {name: set() for name in record.open}
    for name in waiting:
        for other in record.hosts[name].known.wait_for:
            if other in waiting:
                waiting[other].add(name)
    before: dict[str, set[str]] = {}
    for name, waiters in waiting.items():
        found: set[str] = set()
        to_see = list(waiters)
        while to_see:
            other = to_see.pop()
            if other not in found:
                found.add(other)
                to_see += waiting[other]
        before[name] = found
    return {
        name: {other for other in found if name not in before[other]}
        for name, found in before.items()
    }


def _fed_by(known: Known, scene: Scene) -> list[str]:
    """Return the UPSes that feed a host; of a host that names none which is here, all."""
    named = [name for name in known.upses if name in scene.upses]
    return named or list(scene.upses)


def _needed(known: Known, fed: list[str]) -> int:
    return min(max(1, known.min_supplies), len(fed))


def _on_mains(known: Known, scene: Scene) -> bool:
    fed = _fed_by(known, scene)
    good = [name for name in fed if scene.upses[name].state is PowerState.ON_MAINS]
    return bool(fed) and len(good) >= _needed(known, fed)
