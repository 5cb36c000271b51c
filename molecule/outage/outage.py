"""Three outages and a drill on hosts that wait for one another, and a record of who did what when.

Everybody goes, in order; then the mains return, and real magic packets switch them on again, in
reverse order. One host is off beforehand, and must stay off.

1. The server is killed twice: while a host waits, and in the midst of the recovery. The first
   attempt to wake one host is lost on the way.
2. Nothing breaks. Beforehand a drill has said when each host would go.
3. One host never goes down. When it has been waited for long enough, the mains return, and whoever
   has just begun to go is on its way down. The one that hangs is reset by hand.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "lab"))

from act import GOING, HANGS, HYPERVISOR, NAS, SERVER, WEB, Act, since, went
from stage import PATIENCE, Stage, play

if TYPE_CHECKING:
    from act import Rows

SCENARIO = Path(__file__).parent
DRILL = SCENARIO.parents[1] / "playbooks" / "drill.yml"
SPARE = "spare"
LOST_PACKETS = {"web1": 1}
HANG = "/srv/hangs"


def drill(stage: Stage) -> dict[str, Any]:
    """Let the fleet say beforehand what an outage would do, as its operator would ask it."""
    began = stage.at()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "ansible", "playbook"),
            *("--inventory", str(SCENARIO / "inventory"), str(DRILL)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout, done.stderr, file=sys.stderr)
    return {
        "began": began,
        "ended": stage.at(),
        "rc": done.returncode,
        "told": done.stdout,
        "found": stage.status(SERVER)["drill"],
        "went": since(began, went(stage)),
    }


def switch_off(stage: Stage, host: str) -> None:
    """Switch a host off as its operator does."""
    stage.fleet.run(host, "systemctl", "poweroff")
    stage.until(f"{host} is off", lambda: stage.fleet.state(host), "exited".__eq__, PATIENCE)


def kills(stage: Stage) -> dict[str, Any]:
    """Kill the server while a host waits, and while it wakes them."""
    act = Act(stage, LOST_PACKETS)
    with act.waker:
        act.lose_the_mains()
        act.watch.until("a host waits for those that have gone", waits_for_gone)
        act.kill_the_server()
        act.until_off(*GOING)
        act.put_the_mains_back()
        act.until_back(NAS)
        act.kill_the_server()
        act.until_back(*GOING)
        # Whoever has no need of it any more gets no packet either.
        act.look_on()
    return act.end()


def undisturbed(stage: Stage) -> dict[str, Any]:
    """Let everything be as it was drilled."""
    act = Act(stage)
    with act.waker:
        act.lose_the_mains()
        act.until_off(*GOING)
        act.put_the_mains_back()
        act.until_back(*GOING)
    return act.end()


def hangs(stage: Stage) -> dict[str, Any]:
    """Let one host never go down, until somebody resets it."""
    fleet, act = stage.fleet, Act(stage)
    fleet.run(HANGS, "touch", HANG)
    with act.waker:
        act.lose_the_mains()
        act.watch.until(
            f"{NAS} goes",
            lambda rows: rows[NAS]["phase"] in {"committed", "halting"} or NAS in act.watch.off,
        )
        act.put_the_mains_back()
        act.until_back(*(host for host in GOING if host != HANGS))
        act.look_on()
        act.record["before_the_reset"] = fleet.states()
        fleet.run(HANGS, "rm", HANG)
        act.record["reset"] = stage.at()
        fleet.cut(HANGS)
        act.record["reset_own_boot_id"] = fleet.boot(HANGS)
        act.until_back(*GOING)
    return act.end()


def waits_for_gone(rows: Rows) -> bool:
    """Whether those have gone that one host still waits for, as far as the server knows."""
    return rows[HYPERVISOR]["phase"] == "waiting" and not any(
        rows[host]["phase"] in {"counting", "waiting"} for host in WEB
    )


def spent(stage: Stage) -> float:
    """Return the seconds on battery that are not paid back yet."""
    return max(ups["spent"] for ups in stage.status(SERVER)["upses"].values())


def measured(drilled: dict[str, Any], outage: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return how far the drill was from the outage that followed, and how long each took back.

    Seconds: of the commit since the loss, as drilled and real; from the return of the mains and
    from the packet that switched it on to when the server had it back.
    """
    foreseen = {row["name"]: row["committed"] for row in drilled["found"]["hosts"]}
    woken = {start["host"]: start["at"] for start in outage["starts"]}
    found = {}
    for host in GOING:
        real = outage["committed"][host][0] - outage["lost"]
        found[host] = {
            "drilled": foreseen[host],
            "real": round(real, 2),
            "error": round(foreseen[host] - real, 2),
            "back_after_the_mains": round(outage["came"][host] - outage["returned"], 2),
            "back_after_the_packet": round(outage["came"][host] - woken[host], 2),
        }
    return found


def acts(stage: Stage) -> dict[str, Any]:
    """Play all of it."""
    stage.all_in("idle")
    switch_off(stage, SPARE)
    first = kills(stage)
    stage.fleet.boot(SPARE)
    stage.all_in("idle")
    # What is still spent of the battery when a drill begins is paid back when its outage comes.
    stage.until("nothing is spent", lambda: spent(stage), (0.0).__eq__, PATIENCE)
    drilled = drill(stage)
    switch_off(stage, SPARE)
    second = undisturbed(stage)
    return {
        "kills": first,
        "drill": drilled,
        "undisturbed": second,
        "hangs": hangs(stage),
        "measured": measured(drilled, second),
    }


if __name__ == "__main__":
    sys.exit(play(sys.argv[1:], {SERVER: [*GOING, SPARE]}, acts))
