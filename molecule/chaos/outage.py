"""What namespaces can't show: service managers, watchdogs, and hosts that power off in mid-fault.

1. Server and clients stand still; their watchdogs start them again.
2. The mains are good again two seconds before the deadline; one is too near for a busy machine.
3. While hosts count, the client of one is killed and the Pi's link goes down.
4. /var can only be read, on the Pi and on a host, and both have been started on it. The mains
   return one second after the commit.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "lab"))

from stage import Stage, play
from waker import Waker

if TYPE_CHECKING:
    from collections.abc import Callable

SERVER, CLIENTS = "pi", ["nas", "web"]
# WatchdogSec, and a start.
WATCHDOG = 30.0 + 30.0
LONGEST = 60.0
# As long as nobody may go down after all.
QUIET = 10.0
# The UPS's `restore_confirm`.
CONFIRM = 2.0
UNITS = {"pi": "powmonman-server", "nas": "powmonman-client", "web": "powmonman-client"}
READ_ONLY = "mount --bind -o ro /var/lib/powmonman /var/lib/powmonman"
RETURN = """until [ "$(date +%s)" -ge "$1" ]; do sleep 0.05; done
echo 'mains: on' > /var/lib/mains.yml && date +%s.%N"""
OUTAGES = ("journalctl", "--unit=powmonman-client", "--output=cat")


def signal(stage: Stage, host: str, name: str) -> None:
    """Send a signal to the main process of a host's service."""
    unit = UNITS[host]
    stage.fleet.run(host, "systemctl", "kill", "--kill-whom=main", f"--signal={name}", unit)


def restarts(stage: Stage, host: str) -> int:
    """Return how often systemd has started a host's service again."""
    answer = stage.fleet.run(
        host, "systemctl", "show", "--property=NRestarts", "--value", UNITS[host]
    )
    return int(answer)


def mains(stage: Stage, word: str) -> float:
    """Pull the plug, or put it back; return when."""
    stage.fleet.run(SERVER, "powmonman", "simulate", word)
    return stage.at()


def paid_back(stage: Stage) -> None:
    """Wait until no time on battery is spent any more."""

    def spent() -> float:
        return max(ups["spent"] for ups in stage.status(SERVER)["upses"].values())

    stage.until("nothing is spent", spent, (0.0).__eq__, LONGEST)
    stage.all_in("idle")


def rows(stage: Stage) -> dict[str, dict[str, Any]]:
    """Return what the server knows of each client; nothing where it is being started."""
    try:
        return stage.hosts()
    except ValueError:
        return {}


def until_off(stage: Stage, off: dict[str, float]) -> None:
    """Wait until podman says that every client's host is off."""

    def states() -> dict[str, float]:
        return stage.note_exits(off)

    stage.until("all are off", states, lambda seen: set(CLIENTS) <= set(seen), LONGEST)


def until_back(stage: Stage) -> None:
    """Wait until every client is back."""

    def back(known: dict[str, dict[str, Any]]) -> bool:
        return bool(known) and all(
            known[host]["connected"] and known[host]["phase"] == "idle" for host in CLIENTS
        )

    stage.until("all are back", lambda: rows(stage), back, LONGEST)


def stand_still(stage: Stage) -> dict[str, Any]:
    """Stop every process for good; only a watchdog helps."""
    began = stage.at()
    before = {host: restarts(stage, host) for host in UNITS}
    for host in UNITS:
        signal(stage, host, "SIGSTOP")

    def started() -> dict[str, int]:
        return {host: restarts(stage, host) - before[host] for host in UNITS}

    found = stage.until("all are started", started, lambda seen: all(seen.values()), WATCHDOG)
    until_back(stage)
    return {"restarts": found, "took": stage.at() - began, "states": stage.fleet.states()}


def just_in_time(stage: Stage) -> dict[str, Any]:
    """Give the mains back two seconds before the deadline."""
    since = f"--since=@{int(time.time())}"
    lost = mains(stage, "off")
    known = stage.all_in("counting")
    deadline = stage.asked + min(known[host]["left"] for host in CLIENTS)
    # `restore_confirm` of good mains must still fit; and the way into the container is none of it.
    at = time.time() + deadline - 2 - CONFIRM - stage.at()
    returned = stage.moment(float(stage.fleet.run(SERVER, "sh", "-c", RETURN, "sh", f"{int(at)}")))
    time.sleep(QUIET)
    return {
        "left": round(deadline - returned, 2),
        "lost": lost,
        "states": stage.fleet.states(),
        "told": {host: stage.fleet.run(host, *OUTAGES, since) for host in CLIENTS},
    }


def cut_off(stage: Stage, waker: Callable[[], Waker]) -> dict[str, Any]:
    """Kill a client and pull the Pi's cable, while hosts count."""
    fleet, off = stage.fleet, {}
    pi = next(host for host in fleet.hosts if host.name == SERVER)
    lost = mains(stage, "off")
    stage.all_in("counting")
    signal(stage, "nas", "SIGKILL")
    fleet.engine.call("network", "disconnect", fleet.network, fleet.container(SERVER))
    until_off(stage, off)
    fleet.engine.call(
        "network", "connect", "--ip", pi.address, "--mac-address", pi.mac, fleet.network,
        fleet.container(SERVER),
    )  # fmt: skip
    with waker():
        mains(stage, "on")
        until_back(stage)
    return {"off": {host: round(at - lost, 2) for host, at in off.items()}}


def read_only(stage: Stage, waker: Callable[[], Waker]) -> dict[str, Any]:
    """Let /var be read-only; give the mains back one second after the commit."""
    fleet, off = stage.fleet, {}
    for host in (SERVER, "nas"):
        pid = fleet.engine.call(
            "inspect", "--format", "{{.State.Pid}}", fleet.container(host), plain=True
        )
        assert fleet.engine.enter(int(pid), READ_ONLY)
        fleet.run(host, "systemctl", "restart", UNITS[host])
    until_back(stage)
    faults = stage.status(SERVER)["faults"]
    lost = mains(stage, "off")
    # Whoever is on its way down may be gone before anybody asks.
    stage.until(
        "a host goes",
        stage.hosts,
        lambda known: any(known[host]["phase"] in {"committed", "halting"} for host in CLIENTS),
        LONGEST,
    )
    time.sleep(1)
    with waker():
        mains(stage, "on")
        until_off(stage, off)
        until_back(stage)
    return {"faults": faults, "off": {host: round(at - lost, 2) for host, at in off.items()}}


def acts(stage: Stage) -> dict[str, Any]:
    """Play all of it."""

    def waker() -> Waker:
        return Waker.of(stage.fleet, None)

    stage.all_in("idle")
    record: dict[str, Any] = {"stand_still": stand_still(stage)}
    record["just_in_time"] = just_in_time(stage)
    paid_back(stage)
    record["cut_off"] = cut_off(stage, waker)
    paid_back(stage)
    record["read_only"] = read_only(stage, waker)
    return record


if __name__ == "__main__":
    sys.exit(play(sys.argv[1:], {SERVER: CLIENTS}, acts))
