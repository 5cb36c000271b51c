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


def nameless(bench: Bench) -> None:
    """The DNS is behind the same cable."""
    bench.link("nas", up=False)


def one_black_hole(bench: Bench) -> None:
    bench.black_hole("pi2")


SCRIPTS = (
    Script("The mains fail", DOWN, outage),
    Script("The mains are back 10 s before the deadline", UP, back_just_in_time),
    Script("The mains are back 1 s before the deadline", UP, back_at_the_last_second),
    Script(
        "The mains come back for 8 s in every 50 s",
        Expected(AFTER, " of battery, or soon after"),
        flapping,
        watch=200,
    ),
    Script(
        "The battery is low at 70 s, the mains are back at 100 s, the host boots at 115 s",
        Expected(70, ", not again"),
        latch,
        watch=180,
    ),
    Script(
        "The host boots at 20 s of the outage",
        DOWN,
        on_battery(boots),
        watch=180,
        layout=Layout(Host(up=False)),
    ),
    Script("The server dies on battery", DOWN, on_battery(killed)),
    Script("The server hangs on battery", DOWN, on_battery(paused)),
    Script("The server dies on mains", UP, on_mains(killed)),
    Script("The server hangs on mains", UP, on_mains(paused)),
    Script("The sensor dies on battery (NUT: the driver)", DOWN, on_battery(sensorless)),
    Script("The sensor dies on mains (NUT: the driver)", UP, on_mains(sensorless)),
    Script("The host's link is down from 20 s on", DOWN, on_battery(unplugged)),
    Script("The switch is down from 20 s on", DOWN, on_battery(without_power)),
    Script("The switch is down for 8 s, on battery", DOWN, on_battery(down_for(8, "switch"))),
    Script("The switch is down for 20 s, on battery", DOWN, on_battery(down_for(20, "switch"))),
    Script("The switch is down for 20 s, on mains", UP, on_mains(down_for(20, "switch"))),
    Script(
        "The server is known by name; the host's link is down from 20 s on, and so the DNS",
        DOWN,
        on_battery(nameless),
        watch=180,
        layout=Layout(Host(by_name=True)),
    ),
    Script("The host's link is down 10 s before the mains fail", DOWN, before(10, unplugged)),
    Script("The switch loses its power with the mains", DOWN, before(0, without_power)),
    Script("The server has a new address at 20 s", DOWN, on_battery(moved)),
    Script(
        "The server has a new address at 20 s, the mains are back at 40 s",
        UP,
        moved_and_back_on_mains,
    ),
    Script(
        "What counts the time is killed at 20 s (NUT: upssched)", DOWN, on_battery(countdown_killed)
    ),
    Script(
        "The client is killed at 20 s, and started again (NUT: upsmon)",
        DOWN,
        on_battery(client_restarted),
    ),
    Script(
        "What the host proves itself with is wrong",
        DOWN,
        outage,
        layout=Layout(Host(trusted=False)),
    ),
    Script(
        "Two servers, one of which answers nobody any more 10 s before the mains fail",
        DOWN,
        before(10, one_black_hole),
        watch=560,
        layout=Layout(Host(servers=("pi2", "pi")), ("pi", "pi2")),
    ),
)
