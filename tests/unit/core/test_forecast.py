"""What `powmonman plan` says would happen."""

from __future__ import annotations

from playbook import on_battery, on_mains, unknown

from powmonman.core.forecast import Battery, Forecast, forecast
from powmonman.core.messages import Policy
from powmonman.core.plan import Rules


def of(rules=None, fleet=None, full_runtime=1200.0, **upses) -> Forecast:
    batteries = {name: Battery(news, full_runtime, 2.0) for name, news in upses.items()}
    return forecast(batteries, rules or Rules(), fleet or Policy())


def at(plan: Forecast, trigger: str) -> float | None:
    (line,) = (line for line in plan.lines if line.trigger.startswith(trigger))
    return line.at


def test_without_a_word_of_the_battery_the_time_alone_counts() -> None:
    plan = of(rack=on_mains())
    assert (600, "after 600 s", 62) == (plan.shutdown, plan.by, plan.earliest)
    assert [600, None, None, None, None] == [line.at for line in plan.lines]


def test_what_is_spent_already_makes_it_sooner() -> None:
    plan = of(rack=on_mains(spent=400.0))
    assert plan.shutdown == 200
    assert "400 s of battery are spent already, paid back in 4000 s" in plan.lines[0].why


def test_never_sooner_than_what_a_commit_needs_at_the_least() -> None:
    plan = of(rack=on_mains(spent=599.0))
    assert (1, 62, 62) == (plan.lines[0].at, plan.earliest, plan.shutdown)


def test_a_charge_falls_evenly_over_the_runtime_that_the_ups_estimates() -> None:
    plan = of(
        rack=on_mains(charge=80.0, runtime=800.0),
        fleet=Policy(charge_below=30, charge_drop=0.5, runtime_below=100),
    )
    found = [at(plan, trigger) for trigger in ("charge below", "charge drop", "runtime below")]
    assert [500, 400, 700] == found
    assert (400, "charge drop 0.5") == (plan.shutdown, plan.by)


def test_without_an_estimate_the_full_battery_is_taken_to_last_as_assumed() -> None:
    plan = of(rack=on_mains(charge=50.0), fleet=Policy(charge_below=25))
    assert at(plan, "charge below") == 300


def test_a_charge_that_is_below_already_comes_at_once() -> None:
    plan = of(rack=on_mains(charge=20.0), fleet=Policy(charge_below=30))
    assert (0, 62) == (at(plan, "charge below"), plan.shutdown)


def test_a_host_with_two_supplies_goes_with_the_later_one() -> None:
    upses = {
        "a": on_mains(charge=80.0, runtime=800.0),
        "b": on_mains(charge=40.0, runtime=400.0),
    }
    fleet = Policy(charge_below=20)
    one = of(Rules(upses=("a", "b"), min_supplies=1), fleet, **upses)
    both = of(Rules(upses=("a", "b"), min_supplies=2), fleet, **upses)
    assert (600, 200) == (at(one, "charge below"), at(both, "charge below"))


def test_what_is_not_known_is_said() -> None:
    plan = of(Rules(upses=("rack", "attic"), min_supplies=1), rack=unknown("no sensor"))
    assert plan.doubts == (
        "the server watches no UPS 'attic'",
        "the power of rack is unknown now (no sensor): its loss would not be noticed",
        "this host would never count",
    )


def test_a_host_that_could_never_count_is_told_so() -> None:
    plan = of(Rules(upses=("attic",)), rack=on_mains())
    assert (None, "this host would never count") == (plan.shutdown, plan.doubts[-1])


def test_a_trigger_that_is_off_is_shown_as_off() -> None:
    plan = of(rack=on_battery(charge=1.0), fleet=Policy(low_battery=False))
    assert ["off"] * 4 == [line.why for line in plan.lines[1:]]
