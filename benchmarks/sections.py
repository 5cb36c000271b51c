"""What the page says of each benchmark, what it draws, and which costs it fits."""

from __future__ import annotations

from dataclasses import dataclass

from .plot import Plot

INTRO = """\
# Speed and size

What PowMonMan costs, and how fast it is, beside what you would use instead, measured in the same
run on the same machine. Written by `make bench` from `benchmarks/results/*.json`, which hold every
single value; don't edit the figures. `make bench BENCH=fanout` measures one part alone;
`.venv/bin/python -m benchmarks --quick` takes a few minutes and keeps nothing.

Absolute figures are this machine's: two cores of a virtual machine, on which all clients run too. A
Raspberry Pi is slower. Ratios carry over better. What one server can bear, and what comes after
that: [scale.md](scale.md). How safe both are: [safety-beside-nut.md](safety-beside-nut.md).

"""


@dataclass(frozen=True)
class Cost:
    """A cost whose growth with N is fitted.

    Attributes:
        what: It, for people.
        base: Of PowMonMan, the N whose cost is all machinery: the sensor's poll, and the disk.
    """

    benchmark: str
    series: str
    what: str
    base: int = 0


# What the page says of each is the docstring of its module.
HEADINGS = {
    "fanout": "Loss to last client told",
    "detection": "Detection",
    "idle_client": "An idle client",
    "idle_server": "An idle server",
    "idle_guard": "An idle guard",
    "storm": "The server restarts",
    "scale": "One server on one core",
    "startup": "Start-up",
    "rollout": "Roll-out",
}

COSTS = (
    Cost("fanout", "loss to last client told", "loss to last client told (ms)", base=1),
    Cost("fanout", "return to last client told", "return to last client told (ms)", base=1),
    Cost("idle_server", "USS", "server's memory, USS (kB)"),
    Cost("idle_server", "CPU", "idle server's CPU (s/min)"),
    Cost("scale", "memory (PSS)", "server on one core, PSS (kB)"),
    Cost("scale", "idle, one core: CPU", "idle server on one core, CPU (s/min)"),
    Cost(
        "scale",
        "change to last client told, one core",
        "told of a change, on one core (ms)",
    ),
)

PLOTS = (
    Plot(
        "told.svg",
        "fanout",
        ("loss to last client told",),
        "clients",
        "loss to last client told (ms)",
        "Milliseconds from the loss of the mains to the last client told, by the number of "
        "clients: PowMonMan, NUT at its fastest, NUT by default.",
    ),
    Plot(
        "server-memory.svg",
        "idle_server",
        ("USS",),
        "clients",
        "server's memory, USS (kB)",
        "The server's memory by the number of clients, beside upsd's.",
    ),
    Plot(
        "server-cpu.svg",
        "idle_server",
        ("CPU",),
        "clients",
        "idle server's CPU (s/min)",
        "The idle server's processor time a minute by the number of clients, beside upsd's.",
    ),
)
