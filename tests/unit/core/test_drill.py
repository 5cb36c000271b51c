"""The drill on a client: when it is taken up, what it asks for, and everything that ends it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playbook import on_battery, on_mains, unknown

from powmonman.core import drill, policy
from powmonman.core.drill import Check, Rehearsal
from powmonman.core.messages import Drill, Own, Policy, State
from powmonman.core.plan import Now, Phase, Plan, Rules, Say


class Client:
    """A client and its server, second by second; the drill says what `made_up` says."""

    def __init__(self, *, scale=10.0, **rules):
        self.rules = Rules(**rules)
        self.plan, self.part = Plan(), Rehearsal()
        self.time, self.slept, self.seq = 1000.0, 0.0, 0
        self.real, self.made_up = on_mains(), on_mains()
        self.id, self.scale = "drill", scale
        self.waits = ()
        self.effects = []
        self.hears = True
        self.plan, _ = policy.connected(self.plan, self.now)
        self.say()

    @property
    def now(self):
        return Now(self.time, self.time + self.slept)

    def say(self):
        self.seq += 1
        made_up = Drill(self.id, {"ups": self.made_up}, self.scale) if self.id else None
        state = State(
            f"s{self.seq}",
            15.0,
            Policy(),
            {"ups": self.real},
            drill=made_up,
            own=Own(drill_waits=self.waits),
            seq=self.seq,
            echo=self.plan.nonce,
        )
        before = self.plan
        self.plan, _ = policy.heard(before, state, self.rules, self.now)
        self.take(
            drill.heard(self.part, state, self.rules, self.now, before=before, after=self.plan)
        )

    def take(self, outcome):
        self.part, effects = outcome
        self.effects += effects

    def wait(self, seconds):
        for _ in range(round(seconds * 4)):
            self.time += 0.25
            if self.hears and self.time % 5 == 0:
                self.say()
            self.plan, _ = policy.passed(self.plan, self.rules, self.now, connected=True)
            self.take(drill.passed(self.part, self.plan, self.rules, self.now))

    @property
    def checks(self):
        return [effect for effect in self.effects if isinstance(effect, Check)]

    @property
    def text(self):
        return "\n".join(effect.text for effect in self.effects if isinstance(effect, Say))


@pytest.fixture
def client():
    one = Client()
    one.made_up = on_battery("drill")
    one.say()
    return one


def test_it_counts_scaled_commits_in_words_and_is_idle_again(client):
    assert client.part.plan.phase is Phase.COUNTING
    client.wait(58)
    assert client.checks == []
    client.wait(4)
    assert len(client.checks) == 1
    assert client.part.status(client.rules).phase == "committed"
    client.wait(60)
    assert len(client.checks) == 1
    client.made_up = on_mains()
    client.say()
    assert client.part.plan.phase is Phase.IDLE
    assert client.plan.phase is Phase.IDLE
    assert "drill · dry run: would shut down now" in client.text


def test_it_looks_again_when_the_drills_plan_wants_it(client):
    real = client.part.wake_at
    assert client.time < real <= client.time + policy.LONGEST_SLEEP / client.scale
    assert Rehearsal().wake_at is None


@pytest.mark.parametrize("real", [on_battery("real"), unknown("wire cut")])
def test_news_of_real_trouble_end_it_for_good(client, real):
    client.real = real
    client.say()
    assert (client.part.id, client.part.past) == ("", "drill")
    assert client.part.status(client.rules).reason.startswith("the real power is")
    client.real = on_mains()
    client.wait(100)
    assert (client.part.id, client.checks) == ("", [])


def test_silence_for_a_lease_ends_it(client):
    client.hears = False
    client.wait(40)
    assert client.part.id == ""
    assert "no contact with the server" in client.text
    assert client.checks == []


def test_it_ends_with_the_state_that_names_none_and_another_one_is_another(client):
    client.id = ""
    client.say()
    assert client.part.id == ""
    client.id = "second"
    client.say()
    assert client.part.id == "second"
    assert client.part.began.running == client.time
    client.id = "drill"
    client.say()
    assert client.part.id == "drill"


def test_a_sleep_ends_it(client):
    client.slept += 30
    client.wait(0.25)
    assert client.part.id == ""


def test_it_never_outlives_its_bound(monkeypatch):
    """Not even where the server never ends it."""
    monkeypatch.setattr(drill, "LONGEST", 300.0)
    one = Client(scale=1.0)
    one.wait(299)
    assert one.part.id == "drill"
    one.wait(3)
    assert one.part.id == ""


@pytest.mark.parametrize("scale", [0.0, -3.0, 0.99, 1e9])
def test_a_speed_that_no_server_gives_is_not_taken_up(scale):
    assert Client(scale=scale).part.id == ""


def test_a_drill_without_a_name_or_with_an_endless_one_is_none():
    for name in ("", "x" * 65):
        one = Client()
        one.id = name
        one.say()
        assert one.part.id == ""


def test_a_host_that_counts_for_real_takes_no_part():
    one = Client()
    one.id = ""
    one.say()
    one.plan = replace(one.plan, phase=Phase.COMMITTED)
    one.id = "next"
    one.say()
    assert one.part.id == ""
    assert one.part.status(one.rules).reason == "this host is really committed"


def test_it_begins_with_the_budget_that_is_spent():
    one = Client()
    one.plan = replace(one.plan, spent=500.0, observed=60.0)
    one.id, one.made_up = "next", on_battery("next")
    one.say()
    assert one.part.plan.left(one.rules) == pytest.approx(100, abs=5)


def test_what_is_fresh_to_the_real_plan_is_fresh_to_the_drill(client):
    client.wait(20)
    assert client.part.plan.in_contact
    assert client.part.plan.fresh_until > client.part.plan.last.running
