"""What the battery sensor must make of real power supplies: those of the kernel's test_power."""

from __future__ import annotations

import random
import statistics
import subprocess
import time
from pathlib import Path

from cases import Observer, Report, product

ROOT = Path(__file__).resolve().parents[2]
PARAMETERS = Path("/sys/module/test_power/parameters")
UNIT = "powmonman-lab"
UPS = {"sensor": "battery"}


class SuppliesError(Exception):
    """There is no test_power."""


def supplies(**values: object) -> float:
    """Let adapter, port and battery be so, in this order; return when."""
    for name, value in values.items():
        (PARAMETERS / name).write_text(f"{value}\n")
    return time.monotonic()


def run(idle: float = 30.0) -> Report:
    """Run all cases; `idle` seconds are spent on measuring what polling costs.

    Raises:
        SuppliesError: The module is missing.
    """
    if not PARAMETERS.is_dir():
        subprocess.run(["modprobe", "test_power"], check=False)
    if not PARAMETERS.is_dir():
        raise SuppliesError("no module test_power here (CONFIG_TEST_POWER)")
    report = Report()
    with product() as path:
        _outage(path, report, idle)
        _inside_the_sandbox(path, report)
        _in_a_container(path, report)
    return report


def _good() -> float:
    return supplies(usb_online="off", battery_status="full", battery_capacity=90, ac_online="on")


def _outage(path: Path, report: Report, idle: float) -> None:
    _good()
    with Observer(path, UPS) as observer:
        event = observer.state("on_mains")
        report.figures["sensor"] = event["about"]
        report.add("plugged in at start", event, observer.since, "on_mains", "")
        report.figures["change to reading, 20 changes"] = _delays(observer)

        at = supplies(battery_status="discharging", ac_online="off")
        event = observer.state("on_battery")
        report.add("plug pulled", event, at, "on_battery", "")
        report.figures["then it says"] = f"charge {event['charge']:g}, {event['voltage']} V"
        at = supplies(battery_capacity=5)
        event = observer.wait(lambda each: each.get("low_battery", False))
        report.add("battery low", event, at, "on_battery", "")
        at = supplies(usb_online="on")
        report.add("a port feeds it", observer.state("on_mains"), at, "on_mains", "weak")
        at = supplies(battery_status="charging", usb_online="off")
        event = observer.state("unknown", "charges")
        report.add("all offline, and it charges", event, at, "unknown", "the kernel doesn't show")
        at = supplies(battery_present="false")
        event = observer.state("unknown", "gone")
        report.add("battery taken out", event, at, "unknown", "the battery is gone")
        at = supplies(battery_present="true", battery_status="not-charging")
        event = observer.state("on_battery")
        report.add("the adapter's word alone", event, at, "on_battery", "no battery says")
        at = _good()
        report.add("plugged in", observer.state("on_mains"), at, "on_mains", "")

    with Observer(path, UPS) as observer:
        observer.mains(True)
        time.sleep(idle)
        _note_costs(report, observer)


def _delays(observer: Observer, changes: int = 20) -> str:
    delays = []
    for number in range(changes):
        time.sleep(random.uniform(0.3, 0.9))
        on = bool(number % 2)
        supplies(battery_status="charging" if on else "discharging")
        at = supplies(ac_online="on" if on else "off")
        delays.append(1000 * (observer.mains(on)["at"] - at))
    return f"median {statistics.median(delays):.0f} ms, worst {max(delays):.0f} ms"


def _note_costs(report: Report, observer: Observer) -> None:
    cost = observer.stop()
    report.figures["one read"] = (
        f"{cost['read_ms']:.2f} ms on average, {cost['slowest_read_ms']:.1f} ms at worst"
    )
    report.figures["polling at 2 s"] = (
        f"{cost['cpu_ms_per_minute']:.0f} ms of CPU a minute, "
        f"{cost['wake_ups_per_second']:.1f} wake-ups a second, over {cost['seconds']:.0f} s"
    )


def _inside_the_sandbox(path: Path, report: Report) -> None:
    """As the role's unit runs it, users of its own included."""
    lines = (ROOT / "roles/powmonman/templates/sandbox.j2").read_text("utf-8").splitlines()
    properties = [line for line in lines if line and not line.startswith("#")]
    properties += ["User=nobody", "PrivateDevices=yes", f"BindReadOnlyPaths={path}"]
    inside = (
        *("systemd-run", "--pipe", "--quiet", "--collect", f"--unit={UNIT}"),
        f"--setenv=PYTHONPATH={path}",
        *(f"--property={line}" for line in properties),
    )
    try:
        _elsewhere(path, report, "in the unit's sandbox", inside)
    finally:
        subprocess.run(["systemctl", "stop", UNIT], check=False, capture_output=True)


def _in_a_container(path: Path, report: Report) -> None:
    inside = ("unshare", "--user", "--map-root-user", "--net")
    _elsewhere(path, report, "in a network of its own users", inside)


def _elsewhere(path: Path, report: Report, where: str, inside: tuple[str, ...]) -> None:
    _good()
    with Observer(path, UPS, inside=inside) as observer:
        event = observer.state("on_mains")
        report.add(f"plugged in, {where}", event, observer.since, "on_mains", "")
        report.figures[f"sensor, {where}"] = event["about"]
        report.figures[f"change to reading, {where}"] = _delays(observer, 8)
    _good()
