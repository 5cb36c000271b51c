"""Three failures of the mains on the lab's fleet, and a record of what each host did when.

1. A blip shorter than `confirm`: nobody may notice.
2. An outage shorter than every deadline: all count down, and all stop.
3. An outage that lasts. In its midst a client is restarted and the server is killed. The hosts
   power themselves off, all but the one in dry run. Then the mains return, and they are switched
   on again.

Nothing is judged here but what later steps need; the tests judge the record, `outage.json`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

sys.path.insert(0, str(Path(__file__).parents[1] / "lab"))

from engine import LabError
from fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Callable

SERVER = "pi"
DRY_RUN = "desktop"
RESTARTED = "database"
LOGGED_IN = "nas"
# Not by `powmonman simulate`, whose start alone may outlast a blip on a busy machine.
BLIP = """
date +%s.%N; sed -i s/on/off/ /var/lib/mains.yml
sleep 1
sed -i s/off/on/ /var/lib/mains.yml; date +%s.%N
"""
QUIET = 4.0
PATIENCE = 20.0
LONGEST_OUTAGE = 90.0

T = TypeVar("T")


class Stage:
    """The fleet, the clock of the record, and the plug."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.clients = [host.name for host in fleet.hosts if host.name != SERVER]
        self.began = time.monotonic()
        self.asked = 0.0

    def at(self) -> float:
        """Return the record's time: seconds since it began."""
        return round(time.monotonic() - self.began, 2)

    def mains(self, word: str) -> float:
        """Pull the plug, or put it back; return when."""
        self.fleet.run(SERVER, "powmonman", "simulate", word)
        return self.at()

    def hosts(self) -> dict[str, dict[str, Any]]:
        """Return what the server knows of each host; `asked` is when it was asked."""
        self.asked = self.at()
        answer = self.fleet.run(SERVER, "sh", "-c", "powmonman status --json || :")
        rows: list[dict[str, Any]] = json.loads(answer)["clients"]
        return {row["name"]: row for row in rows}

    def power(self) -> str:
        """Return the power state that the server publishes."""
        answer = self.fleet.run(SERVER, "sh", "-c", "powmonman status --json || :")
        return str(next(iter(json.loads(answer)["upses"].values()))["state"])

    def boot_ids(self) -> dict[str, str]:
        """Return the boot id that each running host has."""
        return {
            host: self.fleet.run(host, "cat", "/proc/sys/kernel/random/boot_id").strip()
            for host in [*self.clients, SERVER]
        }

    def until(self, what: str, look: Callable[[], T], met: Callable[[T], bool], limit: float) -> T:
        """Look until `met`; return what was seen.

        Raises:
            LabError: It was not met within `limit` seconds.
        """
        end = time.monotonic() + limit
        while True:
            seen = look()
            if met(seen):
                return seen
            if time.monotonic() > end:
                raise LabError(f"not within {limit:.0f} s: {what}. Last seen: {seen}")
            time.sleep(0.1)

    def all_in(self, phase: str) -> dict[str, dict[str, Any]]:
        """Wait until every client is connected and in this phase."""
        return self.until(
            f"every client connected and {phase}",
            self.hosts,
            lambda rows: all(
                rows[host]["connected"] and rows[host]["phase"] == phase for host in self.clients
            ),
            PATIENCE,
        )


def blip(stage: Stage) -> dict[str, Any]:
    """Lose the mains for less than `confirm`, and watch whether anybody counts."""
    stage.all_in("idle")
    lost, back = map(float, stage.fleet.run(SERVER, "sh", "-c", BLIP).split())
    phases: set[str] = set()
    end = time.monotonic() + QUIET
    while time.monotonic() < end:
        phases |= {row["phase"] for row in stage.hosts().values()}
    return {
        "lasted": round(back - lost, 2),
        "phases": sorted(phases),
        "states": stage.fleet.states(),
    }


def short_outage(stage: Stage) -> dict[str, Any]:
    """Lose the mains until everybody counts, and put them back, while somebody is logged in."""
    login = subprocess.Popen(
        stage.fleet.ssh(LOGGED_IN),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    stage.until(
        f"a login on {LOGGED_IN}",
        lambda: stage.fleet.run(LOGGED_IN, "who"),
        lambda who: "admin" in who,
        PATIENCE,
    )
    lost = stage.mains("off")
    counting = stage.all_in("counting")
    counted = stage.at()
    back = stage.mains("on")
    stage.all_in("idle")
    screen, _ = login.communicate("exit\n")
    return {
        "screen": screen,
        "lost": lost,
        "counting": counted,
        "left": {host: counting[host]["left"] for host in stage.clients},
        "back": back,
        "cancelled": stage.at(),
        "states": stage.fleet.states(),
    }


def real_outage(stage: Stage) -> dict[str, Any]:
    """Lose the mains for good, and break what can break meanwhile."""
    lost = stage.mains("off")
    counting = stage.all_in("counting")
    seen = stage.at()
    # The answer is younger than the question and older than its arrival.
    due = {
        host: [round(moment + counting[host]["left"], 2) for moment in (stage.asked, seen)]
        for host in stage.clients
    }
    stage.fleet.run(RESTARTED, "systemctl", "restart", "powmonman-client.service")
    restarted = stage.at()
    # Killed, and then kept from being started again.
    stage.fleet.run(SERVER, "systemctl", "kill", "--signal=KILL", "powmonman-server.service")
    stage.fleet.run(SERVER, "systemctl", "stop", "powmonman-server.service")
    killed = stage.at()

    off: dict[str, float] = {}

    def look() -> dict[str, float]:
        for host, state in stage.fleet.states().items():
            if state == "exited":
                off.setdefault(host, stage.at())
        return off

    going = set(stage.clients) - {DRY_RUN}
    stage.until("every client but the one in dry run is off", look, going.issubset, LONGEST_OUTAGE)
    # The one in dry run must have let its own deadline pass.
    while stage.at() < due[DRY_RUN][1] + QUIET:
        look()
        time.sleep(0.1)
    return {
        "outage": counting[DRY_RUN]["outage"],
        "lost": lost,
        "counting": seen,
        "due": due,
        "client_restarted": restarted,
        "server_killed": killed,
        "off": off,
        "states": stage.fleet.states(),
    }


def recovery(stage: Stage, boot_ids: dict[str, str]) -> dict[str, Any]:
    """Put the mains back, switch everything on, and watch that it stays on."""
    back = stage.mains("on")
    stage.fleet.run(SERVER, "systemctl", "start", "powmonman-server.service")
    own = [
        stage.fleet.boot(host) for host, state in stage.fleet.states().items() if state == "exited"
    ]
    started = stage.at()
    stage.all_in("idle")
    connected = stage.at()
    power = stage.until("the mains are known to be back", stage.power, "on_mains".__eq__, PATIENCE)
    time.sleep(QUIET)
    return {
        "back": back,
        "started": started,
        "connected": connected,
        "power": power,
        "own_boot_ids": all(own),
        "boot_ids_before": boot_ids,
        "boot_ids_after": stage.boot_ids(),
        "states": stage.fleet.states(),
    }


def main(directory: Path) -> int:
    """Play all three, and write the record into the lab's directory."""
    try:
        stage = Stage(Fleet.running(directory))
        boot_ids = stage.boot_ids()
        record = {
            "blip": blip(stage),
            "short": short_outage(stage),
            "real": real_outage(stage),
            "recovery": recovery(stage, boot_ids),
        }
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    text = json.dumps(record, indent=2)
    (directory / "outage.json").write_text(text, "utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
