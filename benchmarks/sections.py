"""What the page says of each benchmark, what it draws, and which costs it fits."""

from __future__ import annotations

from dataclasses import dataclass

from .plot import Plot

INTRO = """\
# Speed and size

What PowMonMan costs, and how fast it is, beside what you would use instead, measured in the same
run on the same machine. Written by `make bench` from `benchmarks/results/*.json`, which hold every
single value; don't edit the figures.

```sh
make bench                            # all, in some 40 minutes; writes this page anew
make bench BENCH=fanout               # one part alone; BENCH=--help names them
make bench BENCH='fanout --quick'     # a look, with few runs: keeps nothing
```

NUT beside it needs Debian's `nut-server` and `nut-client`, and no upsmon that runs already;
roll-outs need [what the lab needs](lab.md#what-it-needs). What is not there is left out, and named.
If a goal is missed, `make` ends with an error; all is measured and written all the same.

Absolute figures are those of the machine below each table, on which all clients run too; a
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
