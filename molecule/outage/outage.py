"""A drill and two outages on hosts that wait for one another, and a record of who did what when.

1. A drill says when each host would go.
2. One host is switched off by hand, and must stay off.
3. The mains fail. Everybody goes, in order; the mains return, and real magic packets switch them on
   again, in reverse order. The first attempt to wake one of them is lost on the way.
4. The mains fail again, and one host never goes down. The server is killed twice: while a host
   waits, and in the midst of the recovery. The host that hangs is reset by hand.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "lab"))

from stage import PATIENCE, Stage, play
from waker import Waker

if TYPE_CHECKING:
    from collections.abc import Callable

    Rows = dict[str, dict[str, Any]]

SERVER = "pi"
WEB = ["web1", "web2"]
NAS = "nas"
HANGS = "hypervisor"
SPARE = "spare"
GOING = [*WEB, HANGS, NAS]
LOST_PACKETS = {"web1": 1}
QUIET = 4.0
LONGEST_OUTAGE = 60.0
LONGEST_RECOVERY = 60.0
WENT = "/srv/went"
HANG = "/srv/hangs"
COMMITS = ("journalctl", "--unit=powmonman-client", "--output=json", "--grep=shutting down now")


class Watch:
    """What the server says of each host whenever that changes, and when each host is off.

    Attributes:
        story: Of each host: when, and what was said of it.
        off: When each host was first seen powered off.
        finished: The same as podman wrote it down.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.rows: Rows = {}
        self.story: dict[str, list[list[Any]]] = {host: [] for host in GOING}
        self.off: dict[str, float] = {}
        self.finished: dict[str, float] = {}

    def look(self) -> Rows:
        """Ask once; a server that is dead for the moment has said nothing new."""
        stage = self._stage
        for host in stage.note_exits(self.off):
            if host not in self.finished:
                self.finished[host] = stage.moment(stage.fleet.finished(host))
        try:
            self.rows = stage.hosts()
        except ValueError:
            return self.rows
        for host, told in self.story.items():
            row = self.rows[host]
            said = [row["connected"], row["phase"]]
            if not told or told[-1][1:] != said:
                told.append([stage.at(), *said])
        return self.rows

    def until(self, what: str, met: Callable[[Rows], bool], limit: float) -> Rows:
        """Look until `met`; return what was seen."""
        return self._stage.until(what, self.look, met, limit)


def mains(stage: Stage, word: str) -> float:
    """Pull the plug, or put it back; return when."""
    stage.fleet.run(SERVER, "powmonman", "simulate", word)
    return stage.at()


def kill_server(stage: Stage) -> float:
    """Kill the server; systemd starts it again. Return when."""
    stage.fleet.run(SERVER, "systemctl", "kill", "--signal=KILL", "powmonman-server.service")
    return stage.at()


def drill(stage: Stage) -> dict[str, Any]:
    """Let the fleet say beforehand what an outage would do."""
    began = stage.at()
    answer = stage.fleet.run(SERVER, "sh", "-c", "powmonman drill --json || :")
    return {"began": began, "ended": stage.at(), "report": json.loads(answer)}


def switch_off(stage: Stage, host: str) -> None:
    """Switch a host off as its operator does."""
    stage.fleet.run(host, "systemctl", "poweroff")
    stage.until(f"{host} is off", lambda: stage.fleet.state(host), "exited".__eq__, PATIENCE)


def due(stage: Stage, watch: Watch) -> dict[str, list[float]]:
    """Wait until everybody counts; return between which moments each deadline lies."""
    counting = watch.until(
        "everybody counts",
        lambda rows: all(rows[host]["phase"] == "counting" for host in GOING),
        PATIENCE,
    )
    # The answer is younger than the question and older than its arrival.
    return {
        host: [round(moment + counting[host]["left"], 2) for moment in (stage.asked, stage.at())]
        for host in GOING
    }


def went(stage: Stage) -> dict[str, list[float]]:
    """Return when each host ran its commands, as it wrote down itself; one moment each time."""
    return {
        host: [stage.moment(float(line)) for line in stage.fleet.run(host, "cat", WENT).split()]
        for host in GOING
    }


def committed(stage: Stage) -> dict[str, list[float]]:
    """Return when each host committed, as its journal says; one moment each time."""
    told = {host: stage.fleet.run(host, *COMMITS).splitlines() for host in GOING}
    return {
        host: [stage.moment(int(json.loads(line)["__REALTIME_TIMESTAMP"]) / 1e6) for line in lines]
        for host, lines in told.items()
    }


def back(rows: Rows) -> set[str]:
    """Return who is connected and has nothing to do."""
    return {host for host in GOING if rows[host]["connected"] and rows[host]["phase"] == "idle"}


def heard(stage: Stage, waker: Waker) -> dict[str, Any]:
    """Return what the waker heard and did, by the clock of the record."""
    return {
        "packets": [asdict(each) | {"at": stage.since(each.at)} for each in waker.packets],
        "starts": [
            asdict(each) | {"at": stage.since(each.at), "running": stage.since(each.running)}
            for each in waker.starts
        ],
        "faults": waker.faults,
    }


def in_order(stage: Stage) -> dict[str, Any]:
    """Lose the mains until everybody is off, and put them back."""
    watch, boot_ids = Watch(stage), stage.boot_ids()
    with Waker.of(stage.fleet, LOST_PACKETS) as waker:
        lost = mains(stage, "off")
        deadlines = due(stage, watch)
        watch.until("everybody is off", lambda _: set(GOING) <= set(watch.off), LONGEST_OUTAGE)
        returned = mains(stage, "on")
        watch.until("everybody is back", lambda rows: back(rows) == set(GOING), LONGEST_RECOVERY)
        ended = stage.at()
        # Whoever has no need of it any more gets no packet either.
        time.sleep(QUIET)
    return {
        "lost": lost,
        "due": deadlines,
        "returned": returned,
        "ended": ended,
        "committed": committed(stage),
        "went": went(stage),
        "off": watch.off,
        "finished": watch.finished,
        "story": watch.story,
        "boot_ids_before": boot_ids,
        "boot_ids_after": stage.boot_ids(),
        "states": stage.fleet.states(),
        **heard(stage, waker),
    }


def broken(stage: Stage) -> dict[str, Any]:
    """Lose the mains while one host hangs, kill the server twice, and put the mains back."""
    fleet, watch, boot_ids = stage.fleet, Watch(stage), stage.boot_ids()
    fleet.run(HANGS, "touch", HANG)
    with Waker.of(fleet) as waker:
        lost = mains(stage, "off")
        deadlines = due(stage, watch)
        watch.until(
            "one host waits for those that have gone",
            lambda rows: (
                rows[HANGS]["phase"] == "waiting"
                and not any(rows[host]["phase"] in {"counting", "waiting"} for host in WEB)
            ),
            LONGEST_OUTAGE,
        )
        killed = [kill_server(stage)]
        # It had committed when the mains came back, and may still be on its way down.
        watch.until(
            f"{NAS} goes",
            lambda rows: rows[NAS]["phase"] in {"committed", "halting"} or NAS in watch.off,
            LONGEST_OUTAGE,
        )
        returned = mains(stage, "on")
        watch.until(f"{NAS} is back", lambda rows: NAS in back(rows) and NAS in watch.off, 60.0)
        nas_back = stage.at()
        killed.append(kill_server(stage))
        end = time.monotonic() + QUIET
        while time.monotonic() < end:
            watch.look()
            time.sleep(0.1)
        before_the_reset = fleet.states()
        fleet.run(HANGS, "rm", HANG)
        fleet.cut(HANGS)
        own = fleet.boot(HANGS)
        reset = stage.at()
        watch.until("everybody is back", lambda rows: back(rows) == set(GOING), LONGEST_RECOVERY)
        ended = stage.at()
        time.sleep(QUIET)
    return {
        "lost": lost,
        "due": deadlines,
        "killed": killed,
        "returned": returned,
        "nas_back": nas_back,
        "before_the_reset": before_the_reset,
        "reset": reset,
        "reset_own_boot_id": own,
        "ended": ended,
        "committed": committed(stage),
        "went": went(stage),
        "off": watch.off,
        "finished": watch.finished,
        "story": watch.story,
        "boot_ids_before": boot_ids,
        "boot_ids_after": stage.boot_ids(),
        "states": fleet.states(),
        **heard(stage, waker),
    }


def acts(stage: Stage) -> dict[str, Any]:
    """Play all of it."""
    stage.all_in("idle")
    drilled = drill(stage)
    switch_off(stage, SPARE)
    return {"drill": drilled, "order": in_order(stage), "broken": broken(stage)}


if __name__ == "__main__":
    sys.exit(play(sys.argv[1:], {SERVER: [*GOING, SPARE]}, acts))
