"""Three failures of the mains on the lab's fleet, and a record of what each host did when.

1. A blip shorter than `confirm`: nobody may notice.
2. An outage shorter than every deadline: all count down, and all stop.
3. An outage that lasts. In its midst a client is restarted and the server is killed. The hosts
   power themselves off, all but the one in dry run. Then the mains return, and they are switched
   on again.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "lab"))

from stage import PATIENCE, Stage, play

SERVER = "pi"
CLIENTS = ["database", "desktop", "hypervisor", "nas"]
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
LONGEST_OUTAGE = 90.0


def mains(stage: Stage, word: str) -> float:
    """Pull the plug, or put it back; return when."""
    stage.fleet.run(SERVER, "powmonman", "simulate", word)
    return stage.at()


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
    lost = mains(stage, "off")
    counting = stage.all_in("counting")
    counted = stage.at()
    back = mains(stage, "on")
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
    lost = mains(stage, "off")
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
        return stage.note_exits(off)

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
    back = mains(stage, "on")
    stage.fleet.run(SERVER, "systemctl", "start", "powmonman-server.service")
    own = stage.switch_on()
    started = stage.at()
    stage.all_in("idle")
    connected = stage.at()
    power = stage.until(
        "the mains are known to be back", stage.power, {"on_mains"}.__eq__, PATIENCE
    )
    time.sleep(QUIET)
    return {
        "back": back,
        "started": started,
        "connected": connected,
        "power": sorted(power),
        "own_boot_ids": own,
        "boot_ids_before": boot_ids,
        "boot_ids_after": stage.boot_ids(),
        "states": stage.fleet.states(),
    }


def acts(stage: Stage) -> dict[str, Any]:
    """Play all three, and what follows."""
    boot_ids = stage.boot_ids()
    return {
        "blip": blip(stage),
        "short": short_outage(stage),
        "real": real_outage(stage),
        "recovery": recovery(stage, boot_ids),
    }


if __name__ == "__main__":
    sys.exit(play(sys.argv[1:], {SERVER: CLIENTS}, acts))
