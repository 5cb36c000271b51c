"""When this host shuts down: the one file that decides it.

A client decides on what it *knows* and on how it came to know it.

Rules:

1. On mains, or on unknown or silence without a known outage, nothing is ever shut down.
2. Known on battery, the countdown goes on whatever happens to the server, the network or this
   process. Only a state that says *on mains* cancels it; unknown and silence never do.
3. Time on battery is a budget: `spent` grows by one second a second on battery, drains by one
   second per `refill_ratio` seconds of fresh good mains, and is never less than the server's.
   The deadline is where it reaches `after`; during an outage it never moves later.
4. A commit also needs: `min_observe` seconds of battery that this client itself has seen, the last
   `confirm` of them unbroken, and news that are fresh, or silence for a whole lease.
5. Fresh is a state that answers a ping sent after this client last stood still. A stall ends the
   freshness; it restarts the silence clock, but only twice for short stalls in one outage, or
   repeated stalls would put the commit off for ever.
6. A boot or a resume from suspend forgets everything known about the power, and what may have
   waited in the socket since before it is not listened to. That this host has committed in this
   boot is not about the power, and stays.
7. After the commit nothing cancels, and there is one commit for one outage. A dry run's commit is
   none: a host that is armed in that outage counts on.

| phase     | event / guard                                  | next      | commands        |
|-----------|------------------------------------------------|-----------|-----------------|
| idle      | on_battery                                     | counting  | Say, Warn       |
| idle      | unknown, silence                               | idle      | Say (once)      |
| counting  | on_mains                                       | idle      | Say, Warn       |
| counting  | unknown, silence                               | counting  | Say (once)      |
| counting  | deadline, rule 4 holds                         | committed | Run, Say, Warn  |
| committed | in a dry run, on_mains                         | idle      | Say             |
| committed | in a dry run, and now it is none               | counting  | Say             |
| committed | on_mains for `REARM`, and this host still runs | idle      | Say             |
| any       | resumed from suspend                           | idle      | Say             |

`Now` carries both clocks: `running` (CLOCK_MONOTONIC, stands still in suspend) is what the client
has lived through, `boot` (CLOCK_BOOTTIME) what the battery has.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from enum import StrEnum

from powmonman.core.messages import State, UpsNews
from powmonman.core.power import PowerState
from powmonman.core.records import LONGEST_TEXT

MILESTONES = (3600.0, 1800.0, 600.0, 300.0, 120.0, 60.0, 30.0, 10.0)
USERS_WARNED_AT = 60.0
SHORT_STALLS = 2
REARM = 600.0
REMIND = 3600.0
LONGEST_SLEEP = 10.0
LONGEST_LEASE = 300.0
NEVER = -1.0


class Phase(StrEnum):
    """What this host is doing about the power."""

    IDLE = "idle"
    COUNTING = "counting"
    COMMITTED = "committed"


@dataclass(frozen=True)
class Now:
    """One moment, in seconds, on the two clocks that decide."""

    running: float
    boot: float


@dataclass(frozen=True)
class Rules:
    """What the operator wants of this host (`client.yml`)."""

    after: float | None = None
    min_observe: float = 60.0
    confirm: float = 2.0
    upses: tuple[str, ...] = ()
    min_supplies: int = 1
    dry_run: bool = False


@dataclass(frozen=True)
class Say:
    """Log this."""

    level: int
    text: str


@dataclass(frozen=True)
class Warn:
    """Tell the logged-in users."""

    text: str


@dataclass(frozen=True)
class Acknowledge:
    """Answer state `seq`; the next state must echo `nonce` to be fresh."""

    seq: int
    nonce: int


@dataclass(frozen=True)
class Ask:
    """Ask the server for a state at once."""

    nonce: int


@dataclass(frozen=True)
class Run:
    """Shut this host down now."""

    reason: str


Command = Say | Warn | Acknowledge | Ask | Run


@dataclass(frozen=True)
class Plan:
    """Everything that the client knows; kept on disk across restarts within one boot.

    Attributes:
        after: The deadline's budget for the outage in progress; only ever lowered during it, and
            so are `min_observe` and `confirm`: no reload moves a deadline later.
        spent: Seconds of the battery's budget that are used up.
        observed: Seconds of battery that this client itself has seen.
        unbroken: The latest of them without a break.
        fresh_until: On the running clock, until when the last news count as fresh.
        silent: Seconds without fresh news, up to now.
        pings: Nonce and time of what may still be answered.
        last: The last moment that was decided on.
        wake_at: On the running clock, when the next decision is due.
        said: The last milestone of the countdown that was announced.
        good: Seconds of fresh good mains since they returned.
        reminded: When the operator was last told that fresh news are missing.
        holding: The deadline is reached, but the news are not fresh enough to act on.
        vague: The server answers, and says that it does not know.
        woken: Resumed from suspend, and nothing heard that is surely newer.
        rehearsed: The commit was that of a dry run.
    """

    power: PowerState = PowerState.UNKNOWN
    phase: Phase = Phase.IDLE
    outage: str = ""
    reason: str = ""
    after: float = 600.0
    min_observe: float = 60.0
    confirm: float = 2.0
    refill_ratio: float = 10.0
    lease: float = 15.0
    spent: float = 0.0
    observed: float = 0.0
    unbroken: float = 0.0
    fresh_until: float = NEVER
    silent: float = 0.0
    short_stalls: int = 0
    nonce: int = 0
    pings: tuple[tuple[int, float], ...] = ()
    last: Now | None = None
    wake_at: float = NEVER
    said: float = 0.0
    good: float = 0.0
    reminded: float = NEVER
    holding: bool = False
    vague: bool = False
    woken: bool = False
    rehearsed: bool = False

    def left(self, rules: Rules) -> float | None:
        """Seconds until this host may shut down; None when nothing is counted."""
        if self.phase is not Phase.COUNTING:
            return None
        return max(
            0.0,
            self.after - self.spent,
            min(self.min_observe, rules.min_observe) - self.observed,
            min(self.confirm, rules.confirm) - self.unbroken,
        )

    @property
    def in_contact(self) -> bool:
        """Whether the server has been heard within a lease."""
        return self.fresh_until != NEVER and self.silent < self.lease


Step = tuple[Plan, list[Command]]


def connected(plan: Plan, now: Now) -> Step:
    """Begin a conversation: the answer to this ping will be fresh."""
    plan, commands = _elapse(plan, now)
    plan, nonce = _ping(plan, now)
    return plan, [*commands, Ask(nonce)]


def disconnected(plan: Plan) -> Plan:
    """End a conversation: nothing sent in it can be answered any more."""
    return replace(plan, pings=(), vague=False)


def passed(plan: Plan, rules: Rules, now: Now, *, connected: bool) -> Step:
    """Let time pass; must be called at `plan.wake_at` at the latest."""
    plan, commands = _elapse(plan, now)
    if plan.phase is Phase.COUNTING and rules.after is not None:
        plan = replace(plan, after=min(plan.after, rules.after))
    return _decide(plan, commands, rules, now, may_ask=connected)


def heard(plan: Plan, state: State, rules: Rules, now: Now) -> Step:
    """Take a state that the server sent."""
    plan, commands = _elapse(plan, now)
    sent = dict(plan.pings).get(state.echo)
    plan, nonce = _ping(plan, now)
    commands.append(Acknowledge(state.seq, nonce))
    if plan.woken and sent is None:
        return _decide(plan, commands, rules, now, may_ask=False)
    plan = replace(
        plan,
        woken=False,
        lease=min(max(0.3, state.lease), LONGEST_LEASE),
        refill_ratio=max(1.0, state.policy.refill_ratio),
    )
    known = host_power(state.upses, rules)
    vague = known.state is PowerState.UNKNOWN
    new = known.reason != plan.reason
    if (vague and (new or not plan.vague)) or (known.reason and new):
        what = "power unknown" if vague else known.state.replace("_", " ")
        commands.append(Say(logging.WARNING, f"{what} · {known.reason}"))
    plan = replace(plan, vague=vague, reason=known.reason)
    after = state.policy.after if rules.after is None else rules.after
    if plan.phase is Phase.IDLE:
        plan = replace(plan, after=after)
    if sent is not None and now.running - sent <= plan.lease and not vague:
        if plan.reminded != NEVER:
            commands.append(Say(logging.INFO, f"fresh news again · {known.state}"))
        plan = replace(
            plan, fresh_until=max(plan.fresh_until, sent + plan.lease), silent=0.0, reminded=NEVER
        )
    if known.state is PowerState.ON_MAINS:
        plan, more = _on_mains(plan, known, rules)
        commands += more
    elif known.state is PowerState.ON_BATTERY:
        plan, more = _on_battery(plan, known, rules, after)
        commands += more
    return _decide(plan, commands, rules, now, may_ask=False)


def host_power(upses: dict[str, UpsNews], rules: Rules) -> UpsNews:
    """Fold the UPSes that feed this host into one.

    On battery means: even if every unknown UPS were good, fewer than `min_supplies` are. What is
    spent is the budget of the UPS whose end is the host's end.
    """
    feeds = {name: upses.get(name) for name in rules.upses or sorted(upses)}
    missing = [name for name, news in feeds.items() if news is None]
    known = [news for news in feeds.values() if news is not None]
    good = sum(news.state is PowerState.ON_MAINS for news in known)
    bad = [news for news in known if news.state is PowerState.ON_BATTERY]
    reasons = [f"the server watches no UPS {name!r}" for name in missing]
    reasons += [
        f"{name}: {news.reason}" for name, news in feeds.items() if news is not None and news.reason
    ]
    if len(feeds) > 1 and not rules.upses:
        # Fed by one of them only, it would stay up when that one alone is on battery.
        reasons.append(
            f"the server watches {', '.join(feeds)}, and upses names none as this host's"
        )
    if len(feeds) < rules.min_supplies:
        state = PowerState.UNKNOWN
        reasons.append(f"{len(feeds)} UPSes can't be {rules.min_supplies} supplies")
    elif good >= rules.min_supplies:
        state = PowerState.ON_MAINS
    elif len(feeds) - len(bad) < rules.min_supplies:
        state = PowerState.ON_BATTERY
    else:
        state = PowerState.UNKNOWN
    spent = sorted(news.spent for news in known)
    latest = min(bad, key=lambda news: news.age, default=None)
    return UpsNews(
        state=state,
        outage=latest.outage if latest else "",
        age=latest.age if latest else 0.0,
        spent=spent[min(rules.min_supplies, len(spent)) - 1] if spent else 0.0,
        reason="; ".join(reasons)[:LONGEST_TEXT],
    )


def _ping(plan: Plan, now: Now) -> tuple[Plan, int]:
    """A few pings are kept: an answer older than a lease would not be fresh anyway."""
    nonce = plan.nonce + 1
    return replace(plan, nonce=nonce, pings=(*plan.pings[-7:], (nonce, now.running))), nonce


def _elapse(plan: Plan, now: Now) -> Step:
    """Account for the time since the last decision, before anything else is looked at."""
    if plan.last is None:
        return replace(plan, last=now, wake_at=now.running), []
    last = plan.last
    passed = max(0.0, now.running - last.running)
    boot = max(0.0, now.boot - last.boot)
    if boot - passed >= 1.0:
        asleep = f"asleep for {boot - passed:.0f} s: what was known about the power is forgotten"
        forgotten = Plan(
            nonce=plan.nonce,
            lease=plan.lease,
            last=now,
            wake_at=now.running,
            after=plan.after,
            woken=True,
        )
        if plan.phase is Phase.COMMITTED:
            forgotten = replace(
                forgotten, phase=plan.phase, outage=plan.outage, rehearsed=plan.rehearsed
            )
        return forgotten, [Say(logging.WARNING, asleep)]
    late = now.running - max(plan.wake_at, last.running)
    lived = passed
    if late > plan.lease / 5:
        lived = passed - late
        plan = _stalled(plan, late)
    if plan.power is PowerState.ON_BATTERY:
        plan = replace(
            plan,
            spent=min(max(plan.spent, 2 * plan.after), plan.spent + boot),
            observed=plan.observed + lived,
            unbroken=plan.unbroken + lived,
        )
    elif plan.power is PowerState.ON_MAINS and now.running <= plan.fresh_until:
        repaid = boot / plan.refill_ratio
        plan = replace(
            plan,
            spent=max(0.0, plan.spent - repaid),
            observed=max(0.0, plan.observed - repaid),
            good=plan.good + lived,
        )
    unfresh = max(0.0, now.running - max(plan.fresh_until, last.running))
    silent = plan.silent + min(lived, unfresh)
    return replace(plan, last=now, silent=silent), []


def _stalled(plan: Plan, late: float) -> Plan:
    plan = replace(plan, fresh_until=min(plan.fresh_until, 0.0), pings=(), good=0.0)
    if late >= plan.lease:
        return replace(plan, silent=0.0)
    if plan.short_stalls < SHORT_STALLS:
        return replace(plan, silent=0.0, short_stalls=plan.short_stalls + 1)
    return plan


def _on_mains(plan: Plan, known: UpsNews, rules: Rules) -> Step:
    commands: list[Command] = []
    left = plan.left(rules)
    if plan.power is not PowerState.ON_MAINS:
        plan = replace(plan, good=0.0)
    if plan.phase is Phase.COUNTING:
        text = f"mains are back · outage {short(plan.outage)} · shutdown cancelled"
        commands.append(Say(logging.INFO, f"{text} with {left:.0f} s left"))
        commands.append(_warn(rules, "The mains are back. This host stays up."))
    elif plan.phase is Phase.IDLE and plan.power is PowerState.UNKNOWN:
        commands.append(Say(logging.INFO, "on mains"))
    if plan.phase is Phase.COMMITTED:
        plan, more = _rearmed(plan)
        commands += more
    else:
        plan = replace(plan, phase=Phase.IDLE, outage="")
    return replace(
        plan,
        power=PowerState.ON_MAINS,
        unbroken=0.0,
        short_stalls=0,
        holding=False,
        spent=max(plan.spent, known.spent),
        observed=min(plan.observed, rules.min_observe),
    ), commands


def _rearmed(plan: Plan) -> Step:
    if plan.rehearsed:
        return replace(plan, phase=Phase.IDLE, outage=""), [
            Say(logging.INFO, f"mains are back · outage {short(plan.outage)} · dry run over")
        ]
    if plan.good < REARM:
        return plan, []
    return replace(plan, phase=Phase.IDLE, outage=""), [
        Say(
            logging.ERROR,
            f"this host committed to a shutdown in outage {short(plan.outage)} and still runs: "
            "its shutdown commands did not switch it off; it counts outages again",
        )
    ]


def _on_battery(plan: Plan, known: UpsNews, rules: Rules, after: float) -> Step:
    spent = max(plan.spent, known.spent)
    if plan.power is not PowerState.ON_BATTERY:
        plan = replace(plan, unbroken=0.0, good=0.0)
    plan = replace(plan, power=PowerState.ON_BATTERY, spent=spent)
    if plan.phase is Phase.COMMITTED:
        return plan, []
    if plan.phase is Phase.COUNTING:
        return replace(plan, after=min(plan.after, after), outage=known.outage), []
    plan = replace(
        plan,
        phase=Phase.COUNTING,
        outage=known.outage,
        min_observe=rules.min_observe,
        confirm=rules.confirm,
        holding=False,
    )
    left = plan.left(rules) or 0.0
    intent = "shutdown" if not rules.dry_run else "dry run of the shutdown"
    text = f"on battery · outage {short(known.outage)}, {known.age:.0f} s old"
    return replace(plan, said=left), [
        Say(logging.WARNING, f"{text} · {intent} in {left:.0f} s unless the mains return"),
        _warn(rules, f"The mains have failed. {_threat(left)}"),
    ]


def _decide(plan: Plan, commands: list[Command], rules: Rules, now: Now, *, may_ask: bool) -> Step:
    plan, more = _report_silence(plan, rules, now)
    commands += more
    plan, more = _arm(plan, rules)
    commands += more
    plan, more = _count(plan, rules)
    commands += more
    left = plan.left(rules)
    if left is not None and left <= 0.0:
        fresh = now.running <= plan.fresh_until
        if fresh or plan.silent >= plan.lease:
            plan, more = _commit(plan, rules, fresh=fresh)
            commands += more
        else:
            if not plan.holding:
                text = "deadline reached · waiting for fresh news, or for silence of a whole lease"
                commands.append(Say(logging.INFO, text))
                plan = replace(plan, holding=True)
            if may_ask:
                plan, nonce = _ping(plan, now)
                commands.append(Ask(nonce))
    return replace(plan, wake_at=_next(plan, rules, now)), commands


def _report_silence(plan: Plan, rules: Rules, now: Now) -> Step:
    if plan.silent < plan.lease or plan.phase is Phase.COMMITTED:
        return plan, []
    if plan.reminded != NEVER and now.running - plan.reminded < REMIND:
        return plan, []
    left = plan.left(rules)
    if left is not None:
        what = f"on battery: this host shuts down on its own, in {left:.0f} s"
    elif plan.power is PowerState.ON_MAINS:
        what = "last known on mains: nothing is shut down; this host is not protected"
    else:
        what = "the power was never known: nothing is shut down; this host is not protected"
    why = "the server does not know the power" if plan.vague else "no contact with the server"
    return replace(plan, reminded=now.running), [Say(logging.WARNING, f"{why} · {what}")]


def _arm(plan: Plan, rules: Rules) -> Step:
    if plan.phase is not Phase.COMMITTED or not plan.rehearsed or rules.dry_run:
        return plan, []
    if plan.power is not PowerState.ON_BATTERY:
        return replace(plan, phase=Phase.IDLE, outage="", rehearsed=False), []
    plan = replace(plan, phase=Phase.COUNTING, rehearsed=False)
    text = f"no longer a dry run · outage {short(plan.outage)}"
    return plan, [Say(logging.WARNING, f"{text} · shutdown in {plan.left(rules) or 0.0:.0f} s")]


def _count(plan: Plan, rules: Rules) -> Step:
    left = plan.left(rules)
    if left is None:
        return plan, []
    reached = [mark for mark in MILESTONES if left <= mark < plan.said]
    if not reached:
        return plan, []
    commands: list[Command] = [
        Say(logging.WARNING, f"shutdown in {left:.0f} s · outage {short(plan.outage)}")
    ]
    if USERS_WARNED_AT in reached:
        commands.append(_warn(rules, _threat(left)))
    return replace(plan, said=reached[-1]), commands


def _commit(plan: Plan, rules: Rules, *, fresh: bool) -> Step:
    source = "the server says so" if fresh else "the server is silent"
    reason = f"outage {short(plan.outage)}: {plan.spent:.0f} s of battery spent, {source}"
    what = "dry run: would shut down now" if rules.dry_run else "shutting down now"
    return replace(plan, phase=Phase.COMMITTED, rehearsed=rules.dry_run), [
        Say(logging.WARNING, f"{what} · {reason}"),
        _warn(rules, "This host shuts down now: the mains have not returned."),
        Run(reason),
    ]


def _next(plan: Plan, rules: Rules, now: Now) -> float:
    left = plan.left(rules)
    if left is None:
        until_silent = plan.lease - plan.silent + max(0.0, plan.fresh_until - now.running)
        due = until_silent if plan.reminded == NEVER and until_silent > 0 else LONGEST_SLEEP
        return now.running + min(LONGEST_SLEEP, due)
    tick = min(LONGEST_SLEEP, plan.lease / 15)
    return now.running + (min(tick, left) if left > 0 else tick)


def _threat(left: float) -> str:
    return f"This host shuts down in {left:.0f} s unless the mains return."


def _warn(rules: Rules, text: str) -> Warn:
    return Warn(f"(dry run) {text}" if rules.dry_run else text)


def short(outage: str) -> str:
    """The part of an outage's id that people read."""
    return outage[:4] or "?"
