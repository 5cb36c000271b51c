"""A script for the client's policy: what it hears, when, and what comes of it."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

from powmonman.core import policy
from powmonman.core.messages import Order, Own, Policy, State, UpsNews
from powmonman.core.plan import Ask, Command, Now, Phase, Plan, Rules, Run, Say, Warn
from powmonman.core.power import PowerState
from powmonman.core.records import from_json, to_json

ids = itertools.count(1)


def on_mains(**news) -> UpsNews:
    return UpsNews(PowerState.ON_MAINS, **news)


def on_battery(outage="o1", age=0.0, **news) -> UpsNews:
    return UpsNews(
        PowerState.ON_BATTERY, outage=outage, age=age, spent=news.pop("spent", age), **news
    )


def unknown(reason="no sensor", **news) -> UpsNews:
    return UpsNews(PowerState.UNKNOWN, reason=reason, **news)


class Playbook:
    """Drives one client through virtual time; the server repeats its word every lease/3.

    `hears` sets what the server says from then on; `falls_silent` ends it. Every step of time is
    taken exactly when the plan asks for it, unless the client `stands_still`.
    """

    def __init__(self, lease=15.0, fleet_after=600.0, fleet=None, **rules):
        self.rules = Rules(**rules)
        self.lease = lease
        self.policy = fleet or Policy(after=fleet_after)
        self.order: str | None = None
        self.ordered_at = 0.0
        self.not_down: tuple[str, ...] | None = ()
        self.plan = Plan()
        self.time = 1000.0
        self.start = self.time
        self.asleep = 0.0
        self.news: dict[str, UpsNews] | None = None
        self.told_at = 0.0
        self.next_beat = self.time
        self.linked = True
        self.commands: list[tuple[float, Command]] = []
        self._take(policy.passed(self.plan, self.rules, self.now, connected=True))

    @property
    def now(self) -> Now:
        return Now(running=self.time, boot=self.time + self.asleep)

    @property
    def elapsed(self) -> float:
        return self.time + self.asleep - self.start

    def _take(self, step):
        self.plan, commands = step
        for command in commands:
            self.commands.append((self.elapsed, command))
            if isinstance(command, Ask) and self.linked and self.news is not None:
                self._say(echo=command.nonce)

    def _say(self, *, echo=None):
        """The server repeats its state, with the age and the budget that it has by now."""
        upses = {}
        for name, news in (self.news or {}).items():
            passed = self.time - self.told_at
            if news.state is PowerState.ON_BATTERY:
                upses[name] = replace(news, age=news.age + passed, spent=news.spent + passed)
            else:
                repaid = passed / self.policy.refill_ratio
                upses[name] = replace(news, spent=max(0.0, news.spent - repaid))
        state = State(
            id=f"s{next(ids)}",
            lease=self.lease,
            policy=self.policy,
            upses=upses,
            own=Own(
                waits=self.not_down,
                order=Order(self.order, self.time - self.ordered_at) if self.order else None,
            ),
            seq=1,
            echo=self.plan.nonce if echo is None else echo,
        )
        self._take(policy.heard(self.plan, state, self.rules, self.now))

    def hears(self, news=None, *, at=None, **upses):
        self._until(self.elapsed if at is None else at)
        self.news = {"rack": news} if news is not None else upses
        self.told_at = self.time
        self.linked = True
        self.next_beat = self.time + self.lease / 3
        if not self.plan.pings:
            self._take(policy.connected(self.plan, self.now))
        else:
            self._say()
        return self

    def hears_of(self, *not_down, at=None):
        """The server names the hosts that this one waits for and that are not down."""
        self._until(self.elapsed if at is None else at)
        self.not_down = not_down
        if self.news is not None:
            self._say()
        return self

    def reads_late(self, news, *not_down):
        """A state is read that lay in the socket while this client stood still; no more follows."""
        self.falls_silent()
        self.news, self.told_at, self.not_down = {"rack": news}, self.time, not_down
        self._say(echo=1)
        self.news = None
        return self

    def hears_an_order(self, order="x1", *, at=None, age=0.0):
        """The operator shuts the fleet down; the server repeats it from then on."""
        self._until(self.elapsed if at is None else at)
        self.order, self.ordered_at = order, self.time - age
        self._say()
        return self

    def falls_silent(self, *, at=None):
        self._until(self.elapsed if at is None else at)
        self.news, self.linked = None, False
        self.plan = policy.disconnected(self.plan)
        return self

    def stands_still(self, seconds, *, at=None):
        """The process does not run; the host does."""
        self._until(self.elapsed if at is None else at)
        self.time += seconds
        self._take(policy.passed(self.plan, self.rules, self.now, connected=self.linked))
        return self

    def restarts(self, seconds=1, *, at=None):
        """The process ends and another takes its plan up; the server has to be found again."""
        self._until(self.elapsed if at is None else at)
        kept = json.loads(json.dumps(to_json(self.plan)))
        self.plan = policy.disconnected(from_json(Plan, kept))
        return self.stands_still(seconds)

    def sleeps(self, seconds, *, at=None):
        """The host is suspended."""
        self._until(self.elapsed if at is None else at)
        self.asleep += seconds
        self._take(policy.passed(self.plan, self.rules, self.now, connected=self.linked))
        return self

    def waits(self, *, until):
        self._until(until)
        return self

    def _until(self, elapsed):
        goal = self.start - self.asleep + elapsed
        while True:
            beat = self.next_beat if self.news is not None else float("inf")
            due = min(self.plan.wake_at, beat)
            if due >= goal:
                break
            self.time = max(self.time, due)
            if due == beat:
                self.next_beat += self.lease / 3
                self._say()
            else:
                self._take(policy.passed(self.plan, self.rules, self.now, connected=self.linked))
        self.time = max(self.time, goal)
        self._take(policy.passed(self.plan, self.rules, self.now, connected=self.linked))

    def of(self, kind) -> list:
        return [command for _, command in self.commands if isinstance(command, kind)]

    def ran_at(self) -> list[float]:
        return [at for at, command in self.commands if isinstance(command, Run)]

    def shows(self, phase, left=None):
        assert (phase, left) == (
            self.plan.phase,
            None if left is None else round(self.plan.left(self.rules)),
        )
        return self

    def runs_nothing_until(self, elapsed):
        self._until(elapsed)
        assert self.ran_at() == []
        return self

    def runs_once(self, *, between, until=None):
        self._until(max(between[1] + 1, until or 0))
        assert len(self.ran_at()) == 1, self.ran_at()
        assert between[0] <= self.ran_at()[0] <= between[1]
        return self

    def said(self, text) -> int:
        return sum(text in command.text for command in self.of(Say))

    def warned(self) -> int:
        return len(self.of(Warn))


IDLE, COUNTING, WAITING = Phase.IDLE, Phase.COUNTING, Phase.WAITING
COMMITTED = Phase.COMMITTED
