"""What the gpio sensor must make of a real gpiochip: mains, cut wire, and everything that fails."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import queue
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml
from gpio_sim import Chip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).resolve().parent
PIN = 4
NOBODY = 65534
CONFIRM, RESTORE_CONFIRM = 2.0, 5.0


@dataclass
class Line:
    """One row of the report."""

    case: str
    reading: str
    after: str
    reason: str
    right: bool


@dataclass
class Report:
    """What was found, row by row."""

    lines: list[Line] = field(default_factory=list)
    figures: dict[str, str] = field(default_factory=dict)

    def add(self, case: str, event: dict[str, Any], since: float, state: str, words: str) -> None:
        """Judge one event: the state it must be and what its reason must contain."""
        line = Line(
            case,
            event["state"],
            f"{event['at'] - since:.2f} s",
            event["reason"],
            event["state"] == state and words in event["reason"],
        )
        self.lines.append(line)
        mark = "ok  " if line.right else "FAIL"
        print(f"{mark} {case:44} {line.reading:10} {line.after:>8}  {line.reason}", flush=True)


class Observer:
    """A process that reads the sensor of `ups` as an unprivileged user.

    Args:
        path: Where the product is.
        ups: The UPS, as the configuration has it.
        options: Of the Python that runs it.
        inside: Command that runs the process, instead of as nobody.
        groups: Further groups of the process.
        environment: More of it.
    """

    def __init__(
        self,
        path: Path,
        ups: dict[str, Any],
        *,
        options: tuple[str, ...] = (),
        inside: tuple[str, ...] = (),
        groups: tuple[int, ...] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        settings = {"confirm": CONFIRM, "restore_confirm": RESTORE_CONFIRM, **ups}
        nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": groups}
        self.since = time.monotonic()
        self._process = subprocess.Popen(
            [*inside, sys.executable, *options, str(path / "observe.py"), json.dumps(settings)],
            env={
                "PATH": os.defpath,
                "PYTHONPATH": str(path),
                "PYTHONDONTWRITEBYTECODE": "1",
                **(environment or {}),
            },
            cwd="/",
            stdout=subprocess.PIPE,
            text=True,
            **({} if inside else nobody),
        )
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._events.put(json.loads(line))

    def wait(self, fits: Callable[[dict[str, Any]], bool], timeout: float = 20) -> dict[str, Any]:
        """Return the next event that fits."""
        deadline = time.monotonic() + timeout
        seen: list[dict[str, Any]] = []
        while time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                seen.append(self._events.get(timeout=0.2))
                if fits(seen[-1]):
                    return seen[-1]
        raise TimeoutError(f"none of these is what was waited for: {seen[-3:]}")

    def state(self, state: str, words: str = "") -> dict[str, Any]:
        """Return the next event of this state whose reason has these words."""
        return self.wait(lambda e: e.get("state") == state and words in e.get("reason", ""))

    def mains(self, mains: bool | None) -> dict[str, Any]:
        """Return the next event with this undebounced reading."""
        return self.wait(lambda event: event.get("mains", 0) is mains)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> dict[str, Any]:
        """End the process and return its figures."""
        self._process.send_signal(signal.SIGTERM)
        return self.wait(lambda event: "cpu_ms_per_minute" in event)


def _reader(chip: Chip, path: Path, *, groups: list[int], bare: bool = False) -> Observer:
    return Observer(
        path,
        {"sensor": "gpio", "gpio": {"pin": PIN}},
        # -S hides the site's packages, and with them the library.
        options=("-S",) if bare else (),
        groups=tuple(groups),
        # A Pi 4: rpi-lgpio asks the device tree, which only a Pi has.
        environment={"RPI_LGPIO_REVISION": "c03114", "RPI_LGPIO_CHIP": chip.number},
    )


@contextlib.contextmanager
def product() -> Iterator[Path]:
    """Copy the product to where an unprivileged user may read it."""
    with tempfile.TemporaryDirectory(prefix="powmonman-gpio-") as directory:
        path = Path(directory)
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(HERE.parents[1] / "powmonman", path / "powmonman", ignore=ignore)
        shutil.copytree(Path(yaml.__file__).parent, path / "yaml", ignore=ignore)
        shutil.copy(HERE / "observe.py", path)
        path.chmod(0o755)
        yield path


def gpio_group() -> int:
    """Return the id of group gpio, or of a group that nobody is in."""
    try:
        return grp.getgrnam("gpio").gr_gid
    except KeyError:
        return 65533


def run(idle: float = 30.0) -> Report:
    """Run all cases; `idle` seconds are spent on measuring what polling costs."""
    report = Report()
    group = gpio_group()
    with Chip(group) as chip, product() as path:
        _mains_and_wire(chip, path, group, report, idle)
        _busy(chip, path, group, report)
        _permission(chip, path, group, report)
        _library(chip, path, group, report)
    return report


def _mains_and_wire(chip: Chip, path: Path, group: int, report: Report, idle: float) -> None:
    chip.wire(PIN, "high")
    with _reader(chip, path, groups=[group]) as observer:
        event = observer.state("on_mains")
        report.figures["sensor"] = event["about"]
        report.add("mains on at start", event, observer.since, "on_mains", "")
        report.figures["level to reading, 20 changes"] = _delays(chip, observer)

        at = chip.wire(PIN, "low")
        report.add("mains lost", observer.state("on_battery"), at, "on_battery", "")
        at = chip.wire(PIN, "high")
        report.add("mains back", observer.state("on_mains"), at, "on_mains", "")
        at = chip.wire(PIN, "cut")
        broken = observer.state("unknown")
        report.add("wire cut", broken, at, "unknown", "nothing drives it: a broken wire")
        at = chip.wire(PIN, "low")
        report.add("wire mended in an outage", observer.state("on_battery"), at, "on_battery", "")
        at = chip.wire(PIN, "high")
        report.add("mains back", observer.state("on_mains"), at, "on_mains", "")

        chip.pull_out()
        at = time.monotonic()
        report.add("chip gone", observer.state("unknown"), at, "unknown", "the GPIO chip")
        chip.insert()
        at = chip.wire(PIN, "high")
        report.add("chip back", observer.state("on_mains"), at, "on_mains", "")

    with _reader(chip, path, groups=[group]) as observer:
        observer.mains(True)
        chip.hold(PIN, "high")
        time.sleep(idle)
        _note_costs(report, observer.stop())
    chip.wire(PIN, "high")


def _delays(chip: Chip, observer: Observer) -> str:
    delays = []
    for number in range(20):
        time.sleep(random.uniform(0.4, 0.9))
        at = chip.wire(PIN, "high" if number % 2 else "low")
        delays.append(1000 * (observer.mains(bool(number % 2))["at"] - at))
    return f"median {statistics.median(delays):.0f} ms, worst {max(delays):.0f} ms"


def _note_costs(report: Report, cost: dict[str, Any]) -> None:
    report.figures["first read, which loads the library"] = f"{cost['first_read_ms']:.0f} ms"
    report.figures["one read"] = (
        f"{cost['read_ms']:.2f} ms on average, {cost['slowest_read_ms']:.1f} ms at worst"
    )
    report.figures["polling at 0.25 s"] = (
        f"{cost['reading_ms_per_minute']:.0f} ms a minute in the sensor, "
        f"{cost['cpu_ms_per_minute']:.0f} ms of CPU a minute in the whole process, "
        f"over {cost['seconds']:.0f} s"
    )
    report.figures["working directory afterwards"] = cost["working_directory"]


def _busy(chip: Chip, path: Path, group: int, report: Report) -> None:
    with _reader(chip, path, groups=[group]) as holder:
        holder.mains(True)
        with _reader(chip, path, groups=[group]) as observer:
            event = observer.state("unknown", "busy")
            report.add("pin held by another", event, observer.since, "unknown", "holds GPIO4")
            holder.stop()
            at = time.monotonic()
            report.add("pin let go", observer.state("on_mains"), at, "on_mains", "")


def _permission(chip: Chip, path: Path, group: int, report: Report) -> None:
    with _reader(chip, path, groups=[]) as observer:
        event = observer.state("unknown", "open")
        report.add("user not in the group", event, observer.since, "unknown", "not in group gpio")
        chip.permit(NOBODY)
        at = time.monotonic()
        report.add("permission given", observer.state("on_mains"), at, "on_mains", "")
        chip.permit(group)


def _library(chip: Chip, path: Path, group: int, report: Report) -> None:
    with _reader(chip, path, groups=[group], bare=True) as observer:
        event = observer.state("unknown", "No module named 'RPi'")
        report.add("library not installed", event, observer.since, "unknown", "apt install")
