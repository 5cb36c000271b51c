"""The scenarios: what happens, and what somebody expects who has set a number of seconds.

Where the mains fail, they do so at 0 s. A script ends with the last fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .bench import AFTER, Bench, Host, Layout
from .table import Expected

if TYPE_CHECKING:
    from collections.abc import Callable

# Well after NUT's clients have noticed the loss, and long enough before the deadline for the
# difference between the two to be seen.
FAULT = 20.0

ONE_HOST = Layout()
DOWN = Expected(AFTER)
UP = Expected(None)
SPENT = Expected(AFTER, " of battery, or soon after")
ONCE = Expected(70, ", not again")

OFF = Layout(Host(up=False))
BY_NAME = Layout(Host(by_name=True))
STUBBORN = Layout(Host(stubborn=True))
UNTRUSTED = Layout(Host(trusted=False))
TWO_SERVERS = Layout(Host(servers=("pi2", "pi")), ("pi", "pi2"))

LONGEST_WATCH = 440.0


@dataclass(frozen=True)
class Script:
    """One scenario.

    Attributes:
        watch: How long the host is watched, in seconds after the loss, or after the fault where
            the mains stay good.
    """

    text: str
    expected: Expected
    play: Callable[[Bench], None]
    watch: float = AFTER + 60
    layout: Layout = ONE_HOST


def outage(bench: Bench) -> None:
    bench.mains(good=False)


def back_just_in_time(bench: Bench) -> None:
    bench.mains(good=False)
    # Either product needs some seconds to hear of it.
    bench.until(AFTER - 10)
    bench.mains(good=True)


def back_at_the_last_second(bench: Bench) -> None:
    bench.mains(good=False)
    bench.until(AFTER - 1)
    bench.mains(good=True)


def flapping(bench: Bench) -> None:
    bench.mains(good=False)
    for number in range(1, 4):
        bench.until(number * 50 - 8)
        bench.mains(good=True)
        bench.until(number * 50)
        bench.mains(good=False)


def latch(bench: Bench) -> None:
    bench.mains(good=False)
    bench.until(70)
    bench.low_battery()
    bench.until(100)
    bench.mains(good=True)
    bench.until(115)
    bench.boot()


def on_battery(*faults: Callable[[Bench], None]) -> Callable[[Bench], None]:
    """Return a script with faults at `FAULT` seconds after the loss."""

    def play(bench: Bench) -> None:
        bench.mains(good=False)
        bench.until(FAULT)
        for fault in faults:
            fault(bench)

    return play


def on_mains(*faults: Callable[[Bench], None]) -> Callable[[Bench], None]:
    """Return a script with faults while the mains are good."""

    def play(bench: Bench) -> None:
        bench.start_clock()
        for fault in faults:
            fault(bench)

    return play


def before(seconds: float, *faults: Callable[[Bench], None]) -> Callable[[Bench], None]:
    """Return a script with faults so long before the loss."""

    def play(bench: Bench) -> None:
        for fault in faults:
            fault(bench)
        bench.wait(seconds)
        bench.mains(good=False)

    return play


def down_for(seconds: float, name: str) -> Callable[[Bench], None]:
    """Return a fault: the link of a host, or the switch, is down for so long."""

    def play(bench: Bench) -> None:
        bench.link(name, up=False)
        bench.wait(seconds)
        bench.link(name, up=True)

    return play


def unplugged(bench: Bench) -> None:
    bench.link("nas", up=False)


def without_power(bench: Bench) -> None:
    bench.link("switch", up=False)


def killed(bench: Bench) -> None:
    bench.kill("pi")


def paused(bench: Bench) -> None:
    bench.pause("pi")


def moved(bench: Bench) -> None:
    bench.new_address("pi")


def moved_and_back_on_mains(bench: Bench) -> None:
    bench.mains(good=False)
    bench.until(FAULT)
    bench.new_address("pi")
    bench.until(2 * FAULT)
    bench.mains(good=True)


def sensorless(bench: Bench) -> None:
    bench.lose_sensor()


def countdown_killed(bench: Bench) -> None:
    bench.kill_countdown()


def client_restarted(bench: Bench) -> None:
    bench.restart_client()


def boots(bench: Bench) -> None:
    bench.boot()


def poor_cable(bench: Bench) -> None:
    bench.poor_link("nas", loss=30)


def paused_over_the_return(bench: Bench) -> None:
    bench.mains(good=False)
    bench.until(60)
    bench.stand_still(still=True)
    bench.until(70)
    bench.mains(good=True)
    bench.until(110)
    bench.stand_still(still=False)


def one_black_hole(bench: Bench) -> None:
    bench.black_hole("pi2")


SCRIPTS = (
    Script("the mains fail", DOWN, outage),
    Script("mains back 10 s before the deadline", UP, back_just_in_time),
    Script("mains back 1 s before the deadline", UP, back_at_the_last_second),
    Script("mains flap: away for 42 s, back for 8 s", SPENT, flapping, watch=200),
    Script(
        "battery low at 70 s, mains back at 100 s, the host boots at 115 s", ONCE, latch, watch=180
    ),
    Script("the host boots in the outage", DOWN, on_battery(boots), watch=180, layout=OFF),
    Script("server killed on battery", DOWN, on_battery(killed)),
    Script("server stands still on battery", DOWN, on_battery(paused), watch=260),
    Script("server killed on mains", UP, on_mains(killed)),
    Script("server stands still on mains", UP, on_mains(paused)),
    Script("sensor dead on battery (NUT: its driver)", DOWN, on_battery(sensorless)),
    Script("sensor dead on mains (NUT: its driver)", UP, on_mains(sensorless)),
    Script("the host's link down on battery", DOWN, on_battery(unplugged)),
    Script("the switch dead on battery", DOWN, on_battery(without_power)),
    Script("the switch dead for 8 s on battery", DOWN, on_battery(down_for(8, "switch"))),
    Script("the switch dead for 20 s on battery", DOWN, on_battery(down_for(20, "switch"))),
    Script("the switch dead for 20 s on mains", UP, on_mains(down_for(20, "switch"))),
    Script(
        "server known by name; the host's link down on battery, and so the DNS",
        DOWN,
        on_battery(unplugged),
        watch=260,
        layout=BY_NAME,
    ),
    Script("the host's link down 10 s before the mains fail", DOWN, before(10, unplugged)),
    Script("the switch dead at the moment that the mains fail", DOWN, before(0, without_power)),
    Script("the host's cable loses 30 % from before the outage on", DOWN, before(5, poor_cable)),
    Script("server's address changes on battery", DOWN, on_battery(moved)),
    Script("the same, and mains back at 40 s", UP, moved_and_back_on_mains),
    Script("what counts is killed on battery (NUT: upssched)", DOWN, on_battery(countdown_killed)),
    Script(
        "client killed on battery, and started again (NUT: upsmon)",
        DOWN,
        on_battery(client_restarted),
    ),
    Script(
        "the host stands still from 60 to 110 s, mains back at 70 s", UP, paused_over_the_return
    ),
    Script("the shutdown command fails once", DOWN, outage, layout=STUBBORN),
    Script(
        "the host proves itself with the wrong password, or certificate",
        DOWN,
        outage,
        layout=UNTRUSTED,
    ),
    Script(
        "two servers; one answers nobody from 10 s before the outage on",
        DOWN,
        before(10, one_black_hole),
        watch=LONGEST_WATCH,
        layout=TWO_SERVERS,
    ),
)
